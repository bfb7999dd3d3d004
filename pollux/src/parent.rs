//! A child of this program ends with it: its standard input is a pipe that closes with whoever holds it.

use tokio::sync::oneshot;

/// Ends when standard input does, if that is what was asked for: the parent is gone.
pub(crate) async fn gone(asked: bool) {
    if !asked {
        return std::future::pending().await;
    }
    let (closed, wait) = oneshot::channel();
    // A thread of its own: a read of standard input cannot be called off.
    std::thread::spawn(move || {
        let ended = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        closed.send(ended.is_ok())
    });
    // Either way there is no parent to listen to any more.
    let _ = wait.await;
}
