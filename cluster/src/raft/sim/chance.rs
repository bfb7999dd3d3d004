//! The world's own source of chance, and the hash that says whether two runs were the same.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A seeded stream of numbers; clones share it.
#[derive(Clone)]
pub(super) struct Chance(Arc<Mutex<ChaCha8Rng>>);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(ChaCha8Rng::seed_from_u64(seed))))
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&self, low: u64, high: u64) -> u64 {
        self.0.lock().unwrap().random_range(low..=high)
    }

    /// So many milliseconds.
    pub(super) fn millis(&self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// True once in `many` times.
    pub(super) fn one_in(&self, many: u64) -> bool {
        self.between(1, many) == 1
    }

    /// One of several; none if there is none.
    pub(super) fn pick<T: Clone>(&self, of: &[T]) -> Option<T> {
        let last = of.len().checked_sub(1)? as u64;
        of.get(usize::try_from(self.between(0, last)).ok()?).cloned()
    }
}

/// A hash of what happened, in order (FNV-1a over numbers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash(pub(super) u64);

impl Hash {
    pub(super) const NOTHING: Self = Self(0xcbf2_9ce4_8422_2325);

    pub(super) fn add(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
