//! How often a device may dial: a burst, then evenly, whatever nodes tell it. Whom to dial is the
//! route's.

use std::time::Duration;

use crate::limits::{DIAL_EVERY_MS, DIALS_BURST};

/// Allowance of dials. One moment holds it (Turner's leaky bucket as a meter, 1986): when all of the
/// burst would be there again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    whole_at: Duration,
}

const EVERY: Duration = Duration::from_millis(DIAL_EVERY_MS);
const BURST: Duration = Duration::from_millis(DIAL_EVERY_MS * (DIALS_BURST - 1));

impl Pace {
    /// When the next dial is allowed.
    pub(crate) const fn ready_at(self) -> Duration {
        self.whole_at.saturating_sub(BURST)
    }

    /// A dial is made.
    pub(crate) fn take(&mut self, now: Duration) {
        self.whole_at = self.whole_at.max(now) + EVERY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_evenly() {
        let mut pace = Pace::default();
        let mut now = Duration::from_secs(5);
        for _ in 0..DIALS_BURST {
            assert!(pace.ready_at() <= now);
            pace.take(now);
        }
        for _ in 0..5 {
            assert_eq!(pace.ready_at(), now + EVERY);
            now = pace.ready_at();
            pace.take(now);
        }
        now += 2 * EVERY;
        pace.take(now);
        assert!(pace.ready_at() <= now, "it grows back");
    }
}
