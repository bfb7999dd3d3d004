//! Where replicas should be. Owns a pure function from the nodes and the present goals to better ones:
//! every shard on as many nodes and zones as it needs, nodes filled by their weight, and as little moved as
//! that takes; and the words for what cannot be done better. Leaves to `balance` when a goal is taken up, and
//! which of the replicas should own by live load.

mod board;
mod council;
mod even;
mod fill;
mod host;
mod note;
#[cfg(test)]
mod tests;

pub use council::plan_council;
pub use host::{Host, Standing};
pub use note::Note;

use crate::meta::Goal;
use board::Board;

/// Goals for all shards, and what stands in the way of better ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// One for each shard, in order. An empty one where no node can take a replica.
    pub goals: Vec<Goal>,
    /// Why it is not better, for people.
    pub notes: Vec<Note>,
}

/// Plans all shards anew, from where they are meant to be now (empty goals for new ones). The same input
/// gives the same plan, and a plan made from its own result is that result.
#[must_use]
pub fn plan(hosts: &[Host], current: &[Goal], replicas: u32) -> Plan {
    let mut board = Board::new(hosts, current, replicas);
    for shard in 0..board.shards() {
        board.keep(shard);
    }
    for shard in 0..board.shards() {
        board.fill(shard);
    }
    for shard in 0..board.shards() {
        board.spread(shard);
    }
    board.even();
    board.choose_owners();
    let notes = note::notes(&board);
    Plan { goals: board.into_goals(), notes }
}
