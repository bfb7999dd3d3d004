//! How fast snapshots leave a node, all of them together. Owns whose turn is when; what is sent is others'.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::Instant;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;

use super::types::C;
use crate::limits::SNAPSHOT_BURST_MS;

/// So many bytes a second, which all snapshots of a node share. Cheap to clone.
#[derive(Clone)]
pub struct SnapshotPace {
    shared: Arc<Shared>,
}

struct Shared {
    began: InstantOf<C>,
    pace: Mutex<Pace>,
}

impl SnapshotPace {
    /// A pace of so many bytes a second, one at least.
    #[must_use]
    pub fn new(bytes_per_s: u64) -> Self {
        let pace = Mutex::new(Pace::new(bytes_per_s));
        Self { shared: Arc::new(Shared { began: C::now(), pace }) }
    }

    /// Waits until so many bytes may go.
    pub(super) async fn pass(&self, bytes: usize) {
        let Shared { began, pace } = self.shared.as_ref();
        let wait = {
            let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
            pace.take(began.elapsed(), bytes as u64)
        };
        if !wait.is_zero() {
            C::sleep(wait).await;
        }
    }
}

impl fmt::Debug for SnapshotPace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.pace.fmt(f)
    }
}

/// A bucket that fills evenly. It may be emptied below nothing: what is larger than it goes as well, and
/// those that come later wait for what is owed.
#[derive(Debug)]
struct Pace {
    bytes_per_s: u64,
    /// When all that was taken so far is paid for.
    paid: Duration,
}

impl Pace {
    const BURST: Duration = Duration::from_millis(SNAPSHOT_BURST_MS);

    fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s: bytes_per_s.max(1), paid: Duration::ZERO }
    }

    /// Takes so many bytes at `now`, which never goes back; gives how long they have to wait.
    fn take(&mut self, now: Duration, bytes: u64) -> Duration {
        let turn = self.paid.max(now);
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_s);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.paid = turn.saturating_add(cost);
        turn.saturating_sub(now.saturating_add(Self::BURST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_pace() {
        // A thousand bytes a second: a byte costs a millisecond.
        let mut pace = Pace::new(1000);
        assert_eq!(pace.take(ms(0), SNAPSHOT_BURST_MS), ms(0));
        assert_eq!(pace.take(ms(0), 10), ms(0));
        assert_eq!(pace.take(ms(0), 10), ms(10));
        assert_eq!(pace.take(ms(0), 10), ms(20), "each waits for those before it");
        assert_eq!(pace.take(ms(25), 10), ms(5));
    }

    #[test]
    fn what_was_not_used_is_not_saved_beyond_a_burst() {
        let mut pace = Pace::new(1000);
        pace.take(ms(0), 10);
        assert_eq!(pace.take(ms(1_000_000), SNAPSHOT_BURST_MS + 1), ms(0));
        assert_eq!(pace.take(ms(1_000_000), 1), ms(1));
    }

    #[test]
    fn a_piece_larger_than_the_bucket_goes_and_is_paid_for() {
        let mut pace = Pace::new(1000);
        assert_eq!(pace.take(ms(0), 1_000_000), ms(0));
        assert_eq!(pace.take(ms(0), 1), ms(1_000_000 - SNAPSHOT_BURST_MS));
        let mut slowest = Pace::new(0);
        assert_eq!(slowest.take(ms(0), u64::MAX), ms(0));
        assert!(slowest.take(ms(0), u64::MAX) > ms(1), "no overflow");
    }

    #[test]
    fn over_a_long_time_it_is_what_was_asked_for() {
        let (mut pace, mut now) = (Pace::new(3_000_000), Duration::ZERO);
        for bytes in (0..1000).map(|n| 1 + n * 7919 % 65_536) {
            now += pace.take(now, bytes);
        }
        let sent: u64 = (0..1000).map(|n| 1 + n * 7919 % 65_536).sum();
        let asked = Duration::from_secs_f64(sent as f64 / 3_000_000.0);
        assert!(now <= asked && now + ms(SNAPSHOT_BURST_MS + 25) >= asked, "{now:?} {asked:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn all_share_one_pace() {
        let pace = SnapshotPace::new(1_000_000);
        let began = C::now();
        let send = |pace: SnapshotPace| async move {
            for _ in 0..10 {
                pace.pass(100_000).await;
            }
        };
        tokio::join!(send(pace.clone()), send(pace.clone()), send(pace));
        let took = began.elapsed();
        assert!(took >= ms(2_700) && took <= ms(3_000), "3 MB at 1 MB/s took {took:?}");
    }
}
