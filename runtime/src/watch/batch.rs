//! Changes of a watch that are told together: the first at once, and after that as many as come in a moment.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use crate::limits::{WATCH_BATCH_EACH, WATCH_BATCH_EVERY, WATCH_ITEM_BYTES};

/// The watches of a node that tell in batches: each holds a clone, and the node one.
pub(crate) type InBatches = Arc<()>;

/// How long after a message the next one may go, with so many watches: the more there are, the more each tells at once.
fn pause(all: &InBatches) -> Duration {
    let watches = u32::try_from(Arc::strong_count(all) - 1).unwrap_or(u32::MAX);
    WATCH_BATCH_EVERY.max(WATCH_BATCH_EACH.saturating_mul(watches))
}

/// See the module.
pub(super) struct Batch {
    all: InBatches,
    changes: Vec<Bytes>,
    bytes: usize,
    /// The next one is not told before.
    due: Instant,
}

impl Batch {
    pub(super) fn new(all: InBatches) -> Self {
        Self { all, changes: Vec::new(), bytes: 0, due: Instant::now() }
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
        // Who has more to tell than one message takes is not held up.
        let is_full = std::mem::take(&mut self.bytes) > WATCH_ITEM_BYTES / 2;
        let pause = if is_full { WATCH_BATCH_EVERY } else { pause(&self.all) };
        self.due = Instant::now() + pause;
        Some(std::mem::take(&mut self.changes))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_is_told_at_once_and_the_next_in_a_moment() {
        let all = InBatches::default();
        let mut batch = Batch::new(Arc::clone(&all));
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

    #[tokio::test(start_paused = true)]
    async fn the_more_tell_in_batches_the_longer_they_wait() {
        let all = InBatches::default();
        let mut batches: Vec<_> = (0..1_000).map(|_| Batch::new(Arc::clone(&all))).collect();
        let wait = |batch: &mut Batch, bytes| {
            batch.push(Bytes::from(vec![0; bytes]));
            batch.take();
            batch.due - Instant::now()
        };
        assert_eq!(wait(&mut batches[0], 100), WATCH_BATCH_EACH * 1_000);
        assert_eq!(wait(&mut batches[0], WATCH_ITEM_BYTES), WATCH_BATCH_EVERY, "there is more");
        batches.truncate(1);
        assert_eq!(wait(&mut batches[0], 100), WATCH_BATCH_EVERY);
    }
}
