//! How far a group is on the way to its goal. Owns the order of a move: learner, caught up, owner out of the
//! way, voter, old one out, done. Everything follows from what is observed; nothing is remembered.

use std::collections::BTreeSet;

use super::observed::{GroupSeen, Observed};
use super::step::Action;
use crate::ids::GroupId;
use crate::meta::{Command, Place};

/// How far a group is on the way to its goal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The goal is reached, and the meta group knows.
    Settled,
    /// The members are right: the meta group should know.
    Reached(Action),
    /// Nothing has been done yet: this is the first step, and it begins to copy data.
    NotBegun(Action),
    /// It is under way, and this is next.
    Next(Action),
    /// It is under way: a member has yet to catch up.
    CatchingUp {
        /// The member.
        node: u64,
    },
    /// It cannot go on before this node is back, or another goal is set.
    WaitingFor {
        /// The node.
        node: u64,
    },
    /// Nobody leads the group, or nobody reported it.
    Leaderless,
}

impl Stage {
    /// Whether the move has begun and is not over.
    #[must_use]
    pub const fn is_under_way(&self) -> bool {
        matches!(self, Self::Next(_) | Self::CatchingUp { .. } | Self::WaitingFor { .. })
    }
}

/// The stage of a group.
#[must_use]
pub fn stage(group: GroupId, place: &Place, observed: &Observed) -> Stage {
    let Some(seen) = observed.groups.get(&group) else { return Stage::Leaderless };
    let Some(leader) = seen.leader else { return Stage::Leaderless };
    Way { group, place, seen, leader, observed }.stage()
}

struct Way<'a> {
    group: GroupId,
    place: &'a Place,
    seen: &'a GroupSeen,
    leader: u64,
    observed: &'a Observed,
}

impl Way<'_> {
    fn stage(&self) -> Stage {
        let voters = self.seen.all_voters();
        let goal: BTreeSet<u64> = self.place.goal.voters.iter().copied().collect();
        if let [_, new] = &self.seen.voters[..] {
            // Whoever began the joint change may be gone: end it, then look again.
            return self.set_voters(new);
        }
        if let Some(stage) = self.enlist(&voters, &goal) {
            return stage;
        }
        if voters != goal {
            return self.change_voters(&voters, &goal);
        }
        if let Some(stage) = self.change_learners() {
            return stage;
        }
        if self.place.is_settled() {
            return Stage::Settled;
        }
        let goal = self.place.goal.clone();
        let settle = Command::Settle { group: self.group.0, goal };
        Stage::Reached(Action::Decide(Box::new(settle)))
    }

    /// First every node that shall vote is a member and has caught up.
    fn enlist(&self, voters: &BTreeSet<u64>, goal: &BTreeSet<u64>) -> Option<Stage> {
        let is_late = |node: &u64| !voters.contains(node) && !self.seen.is_caught_up(*node);
        let (members, missing): (Vec<u64>, Vec<u64>) =
            goal.difference(voters).partition(|node| self.seen.learners.contains(node));
        if let Some(node) = missing.iter().find(|node| self.observed.is_alive(**node)) {
            let action = self.add(*node);
            let begun = members.iter().any(is_late);
            return Some(if begun { Stage::Next(action) } else { Stage::NotBegun(action) });
        }
        if let Some(node) = missing.first() {
            return Some(Stage::WaitingFor { node: *node });
        }
        let late = members.into_iter().find(is_late);
        late.map(|node| match self.observed.is_alive(node) {
            true => Stage::CatchingUp { node },
            false => Stage::WaitingFor { node },
        })
    }

    /// Last come those without a vote: the new ones up to date first, then the old ones out. One that is
    /// away holds nothing up: it is added whenever it comes.
    fn change_learners(&self) -> Option<Stage> {
        let (seen, goal) = (self.seen, &self.place.goal);
        let alive = || goal.learners.iter().filter(|node| self.observed.is_alive(**node));
        if let Some(node) = alive().find(|node| !seen.learners.contains(node)) {
            return Some(Stage::NotBegun(self.add(*node)));
        }
        if let Some(node) = alive().find(|node| !seen.is_caught_up(**node)) {
            return Some(Stage::CatchingUp { node: *node });
        }
        let node = *seen.learners.iter().find(|node| !goal.learners.contains(node))?;
        let (group, leader) = (self.group, self.leader);
        Some(Stage::Next(Action::RemoveLearner { group, leader, node }))
    }

    fn add(&self, node: u64) -> Action {
        Action::AddLearner { group: self.group, leader: self.leader, node }
    }

    /// Then the votes change, in one joint step; an owner that loses its vote hands over before.
    fn change_voters(&self, voters: &BTreeSet<u64>, goal: &BTreeSet<u64>) -> Stage {
        if goal.contains(&self.leader) {
            return self.set_voters(goal);
        }
        let ready = |node: &&u64| {
            voters.contains(node)
                && self.observed.is_alive(**node)
                && self.seen.is_caught_up(**node)
        };
        // The preferred owner is first in the goal's list.
        match self.place.goal.voters.iter().find(ready) {
            Some(to) => {
                let (group, leader) = (self.group, self.leader);
                Stage::Next(Action::Transfer { group, leader, to: *to })
            }
            None => self.set_voters(&voters.union(goal).copied().collect()),
        }
    }

    /// Votes change only to a set of which a majority is there and up to date.
    fn set_voters(&self, to: &BTreeSet<u64>) -> Stage {
        let there = |node: &&u64| self.observed.is_alive(**node) && self.seen.is_caught_up(**node);
        if to.iter().filter(there).count() * 2 > to.len() {
            let voters = to.iter().copied().collect();
            let (group, leader) = (self.group, self.leader);
            return Stage::Next(Action::SetVoters { group, leader, voters });
        }
        let node = to.iter().find(|node| !there(node)).copied().unwrap_or(self.leader);
        Stage::WaitingFor { node }
    }
}
