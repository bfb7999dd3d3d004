//! Lets all else that is ready go first before a connection writes, so that what its streams have to say goes out in
//! one write and not in one for each: a call of the system costs more than making what it carries.

use std::task::{Context, Poll};

/// Whether a connection has waited before its writes.
#[derive(Debug, Default)]
pub(super) struct Turn {
    waited: bool,
}

impl Turn {
    /// Ready at once but for the first time since it was [over](Self::over): then the task comes back after those
    /// that are ready now, of which the executor keeps a queue.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.waited {
            return Poll::Ready(());
        }
        self.waited = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// All that there was is written.
    pub(super) const fn over(&mut self) {
        self.waited = false;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_write_waits_once_until_it_is_over() {
        let mut turn = Turn::default();
        let poll = |turn: &mut Turn| poll_fn(|cx| turn.poll(cx)).now_or_never();
        assert_eq!(poll(&mut turn), None);
        assert_eq!((poll(&mut turn), poll(&mut turn)), (Some(()), Some(())));
        turn.over();
        assert_eq!(poll(&mut turn), None);
        poll_fn(|cx| turn.poll(cx)).await;
        turn.over();
        poll_fn(|cx| turn.poll(cx)).await;
    }
}
