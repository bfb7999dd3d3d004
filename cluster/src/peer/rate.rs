//! How often something may happen. Owns a bucket of permits that fills evenly; pure, the time is given.

use std::time::Duration;

/// At most so many a second, and as many at once.
#[derive(Debug)]
pub(super) struct Rate {
    per_s: u64,
    /// In thousandths of one.
    left: u64,
    at: Duration,
}

impl Rate {
    pub(super) const fn new(per_s: u64) -> Self {
        Self { per_s, left: per_s * 1000, at: Duration::ZERO }
    }

    /// Takes one permit, if there is one at `now`, which never goes back.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        self.at += Duration::from_millis(passed);
        let more = passed.saturating_mul(self.per_s);
        self.left = self.left.saturating_add(more).min(self.per_s * 1000);
        if self.left < 1000 {
            return false;
        }
        self.left -= 1000;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_come_back_evenly() {
        let mut rate = Rate::new(4);
        let at = Duration::from_millis;
        let took = |rate: &mut Rate, now| (0..10).filter(|_| rate.take(at(now))).count();
        assert_eq!(took(&mut rate, 0), 4);
        assert_eq!(took(&mut rate, 249), 0);
        assert_eq!(took(&mut rate, 250), 1);
        assert_eq!(took(&mut rate, 1000), 3);
        assert_eq!(took(&mut rate, 1_000_000), 4);
    }
}
