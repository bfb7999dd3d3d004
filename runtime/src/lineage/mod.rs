//! A cluster's next life: data directories as they are at the first moment of a lineage (safety rule 24).
//! `seed` writes logs and checkpoints of groups that begin with a state.

mod seed;

pub(crate) use seed::{PARTS, Seed, SeedShard};
