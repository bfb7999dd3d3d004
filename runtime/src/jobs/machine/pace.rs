//! How fast a job goes: its rules, its stages, and the tokens of its rate.

use super::super::limits::JUDGED_FROM;
use super::{Machine, Totals};

/// When a device is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// Once its twin took the call.
    Taken,
    /// Once the device acknowledged the version that was written.
    Acknowledged,
    /// Once its command is over.
    Answered,
}

/// How a job goes about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) finish: Finish,
    /// 0: as many as go.
    pub(crate) rate_per_s: u32,
    /// 0: no batches.
    pub(crate) batch: u64,
    /// 0: none.
    pub(crate) canary: u64,
    pub(crate) abort_above_percent: Option<u64>,
    pub(crate) timeout_ms: u64,
    pub(crate) retries: u32,
    pub(crate) retry_after_ms: u64,
}

impl Rules {
    /// How many devices may have been begun with, as things stand: the canary, then a batch at a time, each once all
    /// before are over.
    pub(super) fn stage(&self, totals: &Totals) -> u64 {
        let (begun, over) = (totals.begun, totals.over());
        if begun < self.canary || (begun == self.canary && over < begun) {
            return self.canary;
        }
        if self.batch == 0 {
            return u64::MAX;
        }
        let past = begun - self.canary;
        let whole = past.div_ceil(self.batch) * self.batch;
        let further = if whole == past && over == begun { self.batch } else { 0 };
        self.canary + whole + further
    }

    /// Whether too many failed.
    pub(super) fn is_to_abort(&self, totals: &Totals, devices: u64) -> bool {
        let Some(percent) = self.abort_above_percent else { return false };
        let (over, failed) = (totals.over(), totals.failed + totals.unknown);
        let above = |of: u64| failed * 100 > of * percent;
        let judged = over >= JUDGED_FROM || (self.canary > 0 && over >= self.canary);
        (judged && above(over)) || above(devices)
    }
}

/// Leave to begin with devices, in thousandths.
#[derive(Debug)]
pub(super) struct Tokens {
    /// None: as many as go.
    rate_per_s: Option<u64>,
    left: u64,
    at_ms: u64,
}

/// What one device takes.
const ONE: u64 = 1_000;
/// Of a second's worth, what may be saved up, and what is waited for so that a write is worth its while.
const SAVED: u64 = 10;
const WAITED_FOR: u64 = 20;

impl Tokens {
    pub(super) fn new(now_ms: u64, rate_per_s: u32) -> Self {
        let rate_per_s = (rate_per_s > 0).then(|| u64::from(rate_per_s));
        Self { rate_per_s, left: ONE, at_ms: now_ms }
    }

    /// Nothing was saved up while nothing could go.
    pub(super) fn restart(&mut self, now_ms: u64) {
        (self.left, self.at_ms) = (ONE, now_ms);
    }

    /// How many may go now.
    pub(super) fn have(&mut self, now_ms: u64) -> u64 {
        let Some(rate) = self.rate_per_s else { return u64::MAX };
        let passed = now_ms.saturating_sub(self.at_ms);
        self.at_ms = self.at_ms.max(now_ms);
        let most = (rate * ONE / SAVED).max(ONE);
        self.left = self.left.saturating_add(rate.saturating_mul(passed)).min(most);
        self.left / ONE
    }

    pub(super) fn take(&mut self, count: u64) {
        if self.rate_per_s.is_some() {
            self.left = self.left.saturating_sub(count * ONE);
        }
    }

    /// When some may go, if so many want to.
    pub(super) fn at(&self, wanted: u64) -> Option<u64> {
        let rate = self.rate_per_s?;
        let worth = (rate / WAITED_FOR).max(1).min(wanted) * ONE;
        let missing = worth.saturating_sub(self.left);
        Some(self.at_ms + missing.div_ceil(rate))
    }
}

impl Machine {
    /// How many more devices may be begun with for the first time, by the stage.
    pub(super) fn stage_room(&self) -> u64 {
        self.rules.stage(&self.totals).saturating_sub(self.totals.begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(canary: u64, batch: u64, percent: Option<u64>) -> Rules {
        Rules {
            finish: Finish::Taken,
            rate_per_s: 0,
            batch,
            canary,
            abort_above_percent: percent,
            timeout_ms: 1,
            retries: 0,
            retry_after_ms: 1,
        }
    }

    fn totals(begun: u64, done: u64, failed: u64) -> Totals {
        Totals { begun, under_way: begun - done - failed, done, failed, ..Totals::default() }
    }

    #[test]
    fn stages() {
        for (canary, batch, begun, over, expected) in [
            (0, 0, 5, 0, u64::MAX),
            (3, 0, 0, 0, 3),
            (3, 0, 3, 2, 3),
            (3, 0, 3, 3, u64::MAX),
            (0, 10, 0, 0, 10),
            (0, 10, 4, 4, 10),
            (0, 10, 10, 9, 10),
            (0, 10, 10, 10, 20),
            (3, 10, 3, 3, 13),
            (3, 10, 13, 12, 13),
            (3, 10, 13, 13, 23),
        ] {
            let stage = rules(canary, batch, None).stage(&totals(begun, over, 0));
            assert_eq!(stage, expected, "{canary} {batch} {begun} {over}");
        }
    }

    #[test]
    fn too_many_failures() {
        for (canary, percent, done, failed, aborts) in [
            (0, None, 0, 100, false),
            // Too few to judge by, and still to be made up for.
            (0, Some(10), 5, 5, false),
            (0, Some(10), 18, 2, false),
            (0, Some(10), 17, 3, true),
            // Nothing makes up for it any more.
            (0, Some(10), 0, 11, true),
            (0, Some(0), 0, 1, true),
            (5, Some(10), 4, 1, true),
            (5, Some(20), 4, 1, false),
        ] {
            let totals = totals(done + failed, done, failed);
            let said = rules(canary, 0, percent).is_to_abort(&totals, 100);
            assert_eq!(said, aborts, "{canary} {percent:?} {done} {failed}");
        }
    }

    #[test]
    fn a_rate_is_kept_over_any_second() {
        let mut tokens = Tokens::new(0, 100);
        let mut went = 0;
        for now_ms in (0..=10_000).step_by(7) {
            let have = tokens.have(now_ms);
            tokens.take(have);
            went += have;
            assert!(went <= 1 + now_ms / 10, "{went} by {now_ms}");
        }
        assert!(went >= 990, "{went}");
        assert_eq!(tokens.have(100_000), 10, "little is saved up");
        tokens.take(10);
        assert_eq!(tokens.at(1), Some(100_010));
        assert_eq!(tokens.at(1_000), Some(100_050));
    }
}
