//! When the keys of an issuer are fetched. A machine: it is told what happened at what time, and says when the next
//! attempt is due.

use std::time::Duration;

use crate::limits::{ISSUER_AGE_MIN, ISSUER_RETRY_FIRST, ISSUER_RETRY_MAX, ISSUER_WISHES_APART};

/// See the module. Times are elapsed ones.
#[derive(Debug)]
pub(super) struct Refresh {
    /// Keys are fetched at least this often.
    every: Duration,
    due: Duration,
    failures: u32,
    /// When an attempt began last.
    begun: Option<Duration>,
    /// Whether one is under way, or due by a wish.
    awaited: bool,
}

impl Refresh {
    /// The first attempt is due at once.
    pub(super) fn new(every: Duration, now: Duration) -> Self {
        Self { every, due: now, failures: 0, begun: None, awaited: true }
    }

    /// When the next attempt is due.
    pub(super) const fn due(&self) -> Duration {
        self.due
    }

    /// Somebody shows what only newer keys could make good. Whether an attempt is under way or begins now; not so if
    /// one was just made, so that inventions do not make this node a burden.
    pub(super) fn wish(&mut self, now: Duration) -> bool {
        if self.awaited {
            return true;
        }
        if self.begun.is_some_and(|begun| now.saturating_sub(begun) < ISSUER_WISHES_APART) {
            return false;
        }
        self.due = now;
        self.awaited = true;
        true
    }

    /// An attempt begins.
    pub(super) fn begin(&mut self, now: Duration) {
        self.begun = Some(now);
        self.awaited = true;
    }

    /// Keys came, which are good for so long, if that was said.
    pub(super) fn came(&mut self, now: Duration, max_age: Option<Duration>) {
        self.awaited = false;
        self.failures = 0;
        let good = max_age.map_or(self.every, |age| age.max(ISSUER_AGE_MIN));
        self.due = now + good.min(self.every);
    }

    /// None came.
    pub(super) fn failed(&mut self, now: Duration) {
        self.awaited = false;
        let wait = ISSUER_RETRY_FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.due = now + wait.min(ISSUER_RETRY_MAX).min(self.every);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(600);

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn fetched(max_age: Option<Duration>) -> Refresh {
        let mut refresh = Refresh::new(EVERY, s(5));
        assert_eq!(refresh.due(), s(5));
        refresh.begin(s(5));
        refresh.came(s(6), max_age);
        refresh
    }

    #[test]
    fn the_answer_says_how_long_keys_are_good_within_bounds() {
        assert_eq!(fetched(None).due(), s(606));
        assert_eq!(fetched(Some(s(300))).due(), s(306));
        assert_eq!(fetched(Some(s(0))).due(), s(6) + ISSUER_AGE_MIN);
        assert_eq!(fetched(Some(s(1_000_000))).due(), s(606));
    }

    #[test]
    fn a_server_that_is_gone_is_asked_ever_less_often() {
        let mut refresh = fetched(None);
        let mut waits = Vec::new();
        for _ in 0..20 {
            refresh.begin(s(700));
            refresh.failed(s(700));
            waits.push(refresh.due() - s(700));
        }
        assert_eq!(
            waits[..3],
            [ISSUER_RETRY_FIRST, ISSUER_RETRY_FIRST * 2, ISSUER_RETRY_FIRST * 4]
        );
        assert_eq!(waits[19], ISSUER_RETRY_MAX);
        refresh.came(s(800), None);
        refresh.failed(s(900));
        assert_eq!(refresh.due(), s(900) + ISSUER_RETRY_FIRST);
    }

    #[test]
    fn wishes_are_granted_now_and_then() {
        let mut refresh = fetched(None);
        // Just fetched: what is not in there does not come by fetching again.
        assert!(!refresh.wish(s(7)));
        assert_eq!(refresh.due(), s(606));
        let later = s(5) + ISSUER_WISHES_APART;
        assert!(refresh.wish(later) && refresh.wish(later));
        assert_eq!(refresh.due(), later);
        refresh.begin(later);
        assert!(refresh.wish(later), "it is under way");
        refresh.came(later, None);
        for _ in 0..1000 {
            assert!(!refresh.wish(later + s(1)));
        }
    }
}
