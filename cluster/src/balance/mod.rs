//! Who should own and hold what, and the steps that lead there. Owns the balancer as a pure machine on the
//! meta group's leader: from what is agreed and what is observed to a few steps at a time. A move's state is
//! what is observed (`stage`), so that the next leader goes on without a word from the last. Leaves to the
//! runtime the observing and the carrying out, to `placement` where replicas should be, and to the groups
//! themselves whether a step is safe at the moment it is taken.

mod balancer;
mod load;
mod moves;
mod observed;
mod owners;
mod rest;
mod stage;
mod step;
#[cfg(test)]
mod tests;

pub use balancer::Balancer;
pub use load::Load;
pub use moves::Change;
pub use observed::{GroupSeen, NodeSeen, Observed};
pub use rest::{Unrest, is_owned_as_meant, unrest};
pub use stage::{Stage, stage};
pub use step::{Action, Step, Why};
