//! A cluster's next life: data directories as they are at the first moment of a lineage (safety rule 24).
//!
//! `seed` writes logs and checkpoints of groups that begin with a state. `survey` reads what a directory
//! of the life before holds, `recover` makes the next life of several such directories, whose deciding
//! half is `pollux_cluster::recover`, and `swap` puts it in the place of the old one.

mod recover;
mod seed;
mod survey;
mod swap;
#[cfg(test)]
mod tests;

pub use recover::{Directories, Found, LineageFault, Plan, survey};
pub(crate) use seed::{PARTS, Seed, SeedShard};
