//! Where the meta group should be. Owns its shape: up to five voters in as many zones as there are, and every
//! other node following without a vote, so that each knows what was agreed.

use super::board::Board;
use super::host::{Host, Shape, Standing};
use crate::limits::{META_LEARNERS_MAX, META_VOTERS_MAX};
use crate::meta::Goal;

/// Plans the meta group anew, from where it is meant to be now.
#[must_use]
pub fn plan_council(hosts: &[Host], current: &Goal) -> Goal {
    let before = [Goal::of(current.voters.clone())];
    let mut board = Board::new(hosts, &before, META_VOTERS_MAX);
    board.shape = Shape { learners: 0, ..board.shape };
    board.keep(0);
    board.fill(0);
    board.spread(0);
    board.choose_owners();
    let mut goal = board.into_goals().pop().unwrap_or_default();
    // One that is lost follows again when it comes back. One that drains follows until it is removed: it
    // must hear that its shards are elsewhere by now, and cannot start anew without hearing of that.
    let follows = |host: &&Host| {
        let known = host.standing == Standing::Fit || current.members().any(|m| m == host.id);
        known && !goal.voters.contains(&host.id)
    };
    let learners = hosts.iter().filter(follows).map(|host| host.id).take(META_LEARNERS_MAX);
    goal.learners = learners.collect();
    goal
}
