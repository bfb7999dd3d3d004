//! Where the replicas of a group are meant to be, and where they may still be. Owns the bookkeeping of one
//! group's goal and what it leaves behind; leaves the membership in force to the group itself.

use std::collections::BTreeSet;

use rkyv::{Archive, Deserialize, Serialize};

/// Where the replicas of a group are meant to be.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize,
)]
pub struct Goal {
    /// The nodes that should vote, the preferred owner first. Their number is odd.
    pub voters: Vec<u64>,
    /// The nodes that should hold a copy without a vote.
    pub learners: Vec<u64>,
}

impl Goal {
    /// One voter for each of these nodes, the first one preferred as the owner.
    #[must_use]
    pub fn of(voters: impl Into<Vec<u64>>) -> Self {
        Self { voters: voters.into(), learners: Vec::new() }
    }

    /// Every node in it, voters first.
    pub fn members(&self) -> impl Iterator<Item = u64> + '_ {
        self.voters.iter().chain(&self.learners).copied()
    }

    /// The node that should own.
    #[must_use]
    pub fn preferred(&self) -> Option<u64> {
        self.voters.first().copied()
    }

    /// The same nodes with another preferred owner; unchanged if it does not vote.
    #[must_use]
    pub fn preferring(&self, owner: u64) -> Self {
        let mut goal = self.clone();
        if let Some(at) = goal.voters.iter().position(|node| *node == owner) {
            goal.voters[..=at].rotate_right(1);
        }
        goal
    }

    /// The same with one node in the place of another.
    #[must_use]
    pub fn replacing(&self, old: u64, new: u64) -> Self {
        let swap = |node: &u64| if *node == old { new } else { *node };
        Self {
            voters: self.voters.iter().map(swap).collect(),
            learners: self.learners.iter().map(swap).collect(),
        }
    }
}

/// A group's goal and what is known of the way there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Place {
    /// Where the replicas are meant to be.
    pub goal: Goal,
    /// The voters of the last goal that was reached. Until the present goal is reached the group may
    /// still need their majority.
    pub acting: Vec<u64>,
    /// Nodes outside the goal that may still hold a replica, in order.
    pub leaving: Vec<u64>,
}

impl Place {
    /// A group whose replicas are where they should be.
    #[must_use]
    pub fn settled(goal: Goal) -> Self {
        Self { acting: goal.voters.clone(), goal, leaving: Vec::new() }
    }

    /// Whether the goal was reached and nothing is left behind.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let voters: BTreeSet<_> = self.goal.voters.iter().collect();
        self.leaving.is_empty() && voters == self.acting.iter().collect()
    }

    /// Whether the node may hold a replica.
    #[must_use]
    pub fn may_hold(&self, node: u64) -> bool {
        self.goal.members().any(|member| member == node)
            || self.leaving.contains(&node)
            || self.acting.contains(&node)
    }

    /// Whether the node votes, or should, or did until the goal is reached.
    #[must_use]
    pub fn votes(&self, node: u64) -> bool {
        self.goal.voters.contains(&node) || self.acting.contains(&node)
    }

    /// Whether a majority is left when only those remain that `stays` names: of the voters on the way
    /// and, if they differ, of those that act until then.
    #[must_use]
    pub fn keeps_majority(&self, stays: impl Fn(u64) -> bool) -> bool {
        let kept =
            |voters: &[u64]| voters.iter().filter(|node| stays(**node)).count() * 2 > voters.len();
        kept(&self.goal.voters) && kept(&self.acting)
    }

    /// Sets another goal; who is not in it any more is leaving.
    pub(super) fn aim(&mut self, goal: Goal) {
        let all: BTreeSet<u64> =
            self.goal.members().chain(self.leaving.drain(..)).chain(self.acting.clone()).collect();
        self.leaving = all.into_iter().filter(|node| !goal.members().any(|m| m == *node)).collect();
        self.goal = goal;
    }

    /// Leaves out a node that holds a replica without a vote.
    pub(super) fn drop(&mut self, node: u64) {
        if self.goal.learners.contains(&node) {
            let mut goal = self.goal.clone();
            goal.learners.retain(|learner| *learner != node);
            self.aim(goal);
        }
    }

    /// Puts a new node where an old one was.
    pub(super) fn replace(&mut self, old: u64, new: u64) {
        if self.may_hold(old) {
            self.aim(self.goal.replacing(old, new));
        }
    }
}
