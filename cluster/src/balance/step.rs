//! What the balancer wants done next, and why. Owns the words; leaves the doing to the runtime. Every step may
//! be lost, late or repeated: it is asked for again as long as its effect is not seen.

use std::fmt;

use crate::ids::GroupId;
use crate::meta::Command;

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Propose this to the meta group.
    Decide(Box<Command>),
    /// The group's leader adds a member without a vote and brings it up to date.
    AddLearner {
        /// The group.
        group: GroupId,
        /// Who leads it.
        leader: u64,
        /// The new member.
        node: u64,
    },
    /// The group's leader changes the voters, jointly. Who has no vote any more stays without one.
    SetVoters {
        /// The group.
        group: GroupId,
        /// Who leads it.
        leader: u64,
        /// The new voters.
        voters: Vec<u64>,
    },
    /// The group's leader drops a member without a vote.
    RemoveLearner {
        /// The group.
        group: GroupId,
        /// Who leads it.
        leader: u64,
        /// The member.
        node: u64,
    },
    /// The group's owner hands over (safety rule 7).
    Transfer {
        /// The group.
        group: GroupId,
        /// The present owner.
        leader: u64,
        /// The next one.
        to: u64,
    },
}

/// Why it should be done; the more urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// A node is drained.
    Drain,
    /// A node is lost.
    Lost,
    /// A move that was begun.
    Unfinished,
    /// There are nodes for more replicas.
    Grow,
    /// The preferred owner can own again.
    Return,
    /// Replicas are unevenly spread over nodes or zones.
    Even,
    /// Nodes are unevenly loaded.
    Load,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drain => "a node is drained",
            Self::Lost => "a node is lost",
            Self::Unfinished => "it was begun",
            Self::Grow => "there are nodes for more replicas",
            Self::Return => "the preferred owner can own again",
            Self::Even => "replicas are unevenly spread",
            Self::Load => "nodes are unevenly loaded",
        })
    }
}

/// Something to be done, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub action: Action,
    /// Why.
    pub why: Why,
}
