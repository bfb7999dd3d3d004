//! How long to wait before the next attempt: fast at first, then doubling, always with jitter.
//! Counting failures is the session's.

use std::time::Duration;

use crate::limits::{BACKOFF_BASE_MS, BACKOFF_FIRST_MS, BACKOFF_MAX_MS};

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The waits between rounds of attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first round begins within this time, and goes on as fast when an address fails.
    pub first_ms: u64,
    /// Longest wait after one failed round of all addresses; doubles with each.
    pub base_ms: u64,
    /// Longest wait at all.
    pub max_ms: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first_ms: BACKOFF_FIRST_MS, base_ms: BACKOFF_BASE_MS, max_ms: BACKOFF_MAX_MS }
    }
}

impl Backoff {
    /// The wait after `failures` failed rounds in a row.
    pub(crate) fn wait_ms(self, failures: u32, jitter: &mut Jitter) -> u64 {
        if failures == 0 {
            return jitter.below(self.first_ms + 1);
        }
        let doubled = self.base_ms.saturating_mul(1 << (failures - 1).min(20));
        let longest = doubled.min(self.max_ms).max(1);
        longest / 2 + jitter.below(longest.div_ceil(2) + 1)
    }
}

/// A small seeded source of jitter (SplitMix64, Steele et al. 2014): eight bytes a device.
#[derive(Clone, Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; zero if the bound is zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_round_is_fast_then_doubles_to_the_longest() {
        let backoff = Backoff { first_ms: 100, base_ms: 500, max_ms: 4_000 };
        let mut jitter = Jitter::new(7);
        for _ in 0..100 {
            assert!(backoff.wait_ms(0, &mut jitter) <= 100);
        }
        for (failures, longest) in [(1, 500), (2, 1_000), (3, 2_000), (4, 4_000), (900, 4_000)] {
            for _ in 0..100 {
                let wait = backoff.wait_ms(failures, &mut jitter);
                assert!((longest / 2..=longest + 1).contains(&wait), "{failures}: {wait}");
            }
        }
    }
}
