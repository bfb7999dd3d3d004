//! Changes of a watch that are told together: the first at once, and after that as many as come in a moment.

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use crate::limits::{WATCH_BATCH_EVERY, WATCH_ITEM_BYTES};

/// See the module.
pub(super) struct Batch {
    changes: Vec<Bytes>,
    bytes: usize,
    /// The next one is not told before.
    due: Instant,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self { changes: Vec::new(), bytes: 0, due: Instant::now() }
    }

    /// Waits until the next one may be told.
    pub(super) async fn due(&self) {
        if Instant::now() < self.due {
            sleep_until(self.due).await;
        }
    }

    /// Whether a change of so many bytes has room in it: one always has.
    pub(super) const fn has_room(&self, bytes: usize) -> bool {
        self.changes.is_empty() || self.bytes + bytes <= WATCH_ITEM_BYTES
    }

    pub(super) fn push(&mut self, change: Bytes) {
        self.bytes += change.len();
        self.changes.push(change);
    }

    /// What there is to tell, if there is something.
    pub(super) fn take(&mut self) -> Option<Vec<Bytes>> {
        if self.changes.is_empty() {
            return None;
        }
        self.bytes = 0;
        self.due = Instant::now() + WATCH_BATCH_EVERY;
        Some(std::mem::take(&mut self.changes))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_is_told_at_once_and_the_next_in_a_moment() {
        let mut batch = Batch::new();
        assert_eq!(batch.take(), None);
        assert!(batch.due().now_or_never().is_some());
        let large = Bytes::from(vec![0; WATCH_ITEM_BYTES + 1]);
        assert!(batch.has_room(large.len()), "it would never be told");
        batch.push(large.clone());
        assert!(!batch.has_room(1));
        assert_eq!(batch.take(), Some(vec![large]));
        assert!(batch.has_room(WATCH_ITEM_BYTES) && batch.due().now_or_never().is_none());
        tokio::time::advance(WATCH_BATCH_EVERY).await;
        assert!(batch.due().now_or_never().is_some());
    }
}
