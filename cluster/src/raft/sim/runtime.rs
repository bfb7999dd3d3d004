//! The consensus library's randomness from a seed. Owns where chance comes from in tests.

use std::cell::Cell;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::super::runtime::{Instant, Parts, Runtime};
use super::watch::OrderedWatch;

thread_local! {
    /// What the next source of chance on this thread is made from; none for a real one.
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From now on all chance on this thread comes from the seed.
pub(super) fn seed_this_thread(seed: u64) {
    SEED.set(Some(seed));
}

/// tokio, seeded.
pub(crate) type SeededRuntime = Runtime<Seeded>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Seeded;

impl Parts for Seeded {
    type Rng = ChaCha8Rng;
    type Watch = OrderedWatch;

    fn rng() -> ChaCha8Rng {
        match SEED.get() {
            Some(seed) => {
                // Each source gets a stream of its own: ChaCha makes far more of it than a count.
                SEED.set(Some(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)));
                ChaCha8Rng::seed_from_u64(seed)
            }
            None => ChaCha8Rng::seed_from_u64(rand::random()),
        }
    }

    fn wakes_at(deadline: Instant) -> Instant {
        deadline
    }
}
