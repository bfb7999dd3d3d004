//! What the balancer is told of nodes and groups. Owns its shape and what follows at once from it; leaves to
//! the runtime how it is gathered, and to leave out what is old.

use std::collections::{BTreeMap, BTreeSet};

use super::load::Load;
use crate::ids::GroupId;
use crate::limits::{CAUGHT_UP_ENTRIES, OWNER_RETURN_MS, SILENT_MS};

/// A node, as the meta group's leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeSeen {
    /// Since when nothing was heard of it.
    pub silent_ms: u64,
    /// For how long it has answered without a pause.
    pub up_ms: u64,
    /// Whether it says it may own: its disk keeps up and its clock agrees with the others'.
    pub may_own: bool,
}

impl NodeSeen {
    /// Whether it answers.
    #[must_use]
    pub const fn is_alive(&self) -> bool {
        self.silent_ms < SILENT_MS
    }
}

/// A group, as its leader reported it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupSeen {
    /// The node that leads it.
    pub leader: Option<u64>,
    /// The voters in force: one set, or the old and the new one during a joint change.
    pub voters: Vec<BTreeSet<u64>>,
    /// Members without a vote.
    pub learners: BTreeSet<u64>,
    /// How many entries each member's log is behind the leader's. One that is not known to agree with it
    /// anywhere is left out: it has not begun to catch up, however short the log.
    pub lag: BTreeMap<u64, u64>,
    /// What the group does.
    pub load: Load,
}

impl GroupSeen {
    /// Everyone who votes in any of the sets in force.
    #[must_use]
    pub fn all_voters(&self) -> BTreeSet<u64> {
        self.voters.iter().flatten().copied().collect()
    }

    /// Whether a node votes in all of the sets in force.
    #[must_use]
    pub fn votes(&self, node: u64) -> bool {
        !self.voters.is_empty() && self.voters.iter().all(|voters| voters.contains(&node))
    }

    /// Whether a member's log is close to the leader's.
    #[must_use]
    pub fn is_caught_up(&self, node: u64) -> bool {
        self.leader == Some(node)
            || self.lag.get(&node).is_some_and(|lag| *lag <= CAUGHT_UP_ENTRIES)
    }
}

/// Everything the balancer is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Nodes by id. One that is missing counts as silent since the observing began.
    pub nodes: BTreeMap<u64, NodeSeen>,
    /// Groups that somebody reported lately.
    pub groups: BTreeMap<GroupId, GroupSeen>,
}

impl Observed {
    /// Whether a node answers.
    #[must_use]
    pub fn is_alive(&self, node: u64) -> bool {
        self.nodes.get(&node).is_some_and(NodeSeen::is_alive)
    }

    /// Whether a node is there that will be given an owner's work once it has been for a while.
    #[must_use]
    pub fn awaits_owner(&self) -> bool {
        let young =
            |seen: &NodeSeen| seen.is_alive() && seen.may_own && seen.up_ms < OWNER_RETURN_MS;
        self.nodes.values().any(young)
    }

    /// The same a while later, if all nodes that are there stay.
    #[must_use]
    pub fn later(&self) -> Self {
        let mut later = self.clone();
        let there = later.nodes.values_mut().filter(|seen| seen.is_alive());
        there.for_each(|seen| seen.up_ms = seen.up_ms.max(OWNER_RETURN_MS));
        later
    }

    /// Whether a node can be given an owner's work: it answers, and has done so for a while.
    #[must_use]
    pub fn may_own(&self, node: u64) -> bool {
        let ready =
            |seen: &NodeSeen| seen.is_alive() && seen.may_own && seen.up_ms >= OWNER_RETURN_MS;
        self.nodes.get(&node).is_some_and(ready)
    }
}
