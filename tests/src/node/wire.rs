//! A wire to the gRPC endpoint of a node, which can be cut in the middle of whatever is on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

use super::NodeProcess;

/// How long a wire holds.
const HOLDS: Duration = Duration::from_millis(150);

/// A wire to a node, of which every connection that is open can be cut.
pub struct Wire {
    /// Where it begins, as a URL.
    pub address: String,
    cut: watch::Sender<u32>,
    taken: Arc<AtomicUsize>,
}

impl Wire {
    /// Lays one.
    pub async fn to(node: &NodeProcess) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let (cut, cuts) = watch::channel(0);
        let taken = Arc::new(AtomicUsize::new(0));
        let (target, count) = (node.grpc.clone(), Arc::clone(&taken));
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let (target, mut cuts) = (target.clone(), cuts.clone());
                tokio::spawn(async move {
                    let Ok(mut node) = TcpStream::connect(target).await else { return };
                    cuts.mark_unchanged();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut node) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Ok(Self { address, cut, taken })
    }

    /// Cuts every connection that is open.
    pub fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }

    /// How many connections it took.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Cuts it again and again for as long as something goes on.
    pub async fn cut_during<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let cutting = async {
            loop {
                sleep(HOLDS).await;
                self.cut();
            }
        };
        tokio::select! {
            done = work => done,
            () = cutting => unreachable!("it has no end"),
        }
    }
}
