//! Who belongs to a group, and the changes of that. Owns the picture of a membership, what a change may
//! ask for, and why it was refused; leaves the driving to `change`.

use std::collections::BTreeSet;

use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};

use super::types::{C, StoredC, position};
use crate::ids::{NodeId, Position};

/// A group's membership, as this node knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// The entry that brought it; none before the group has members. A change names the one it was
    /// decided upon.
    pub at: Option<Position>,
    /// The voters; while a change of voters is half done, those it leads to.
    pub voters: BTreeSet<NodeId>,
    /// The voters a half-done change comes from: a majority of them is needed as well.
    pub leaving: Option<BTreeSet<NodeId>>,
    /// Replicas that are kept up and have no vote.
    pub learners: BTreeSet<NodeId>,
    /// Whether it is committed.
    pub settled: Settled,
}

/// Whether a membership is committed, and thus a further change may begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Settled {
    /// It is in this node's log and may still be replaced.
    #[default]
    No,
    /// It is committed.
    Yes,
}

impl Members {
    pub(super) fn new(effective: &StoredC, committed: &StoredC) -> Self {
        let membership = effective.membership();
        let mut configs = membership.get_joint_config().iter();
        let ids =
            |set: &BTreeSet<u64>| -> BTreeSet<NodeId> { set.iter().copied().map(NodeId).collect() };
        let voters = configs.next_back().map(ids).unwrap_or_default();
        let settled = if effective == committed { Settled::Yes } else { Settled::No };
        Self {
            at: effective.log_id().as_ref().map(position),
            voters,
            leaving: configs.next().map(ids),
            learners: membership.learner_ids().map(NodeId).collect(),
            settled,
        }
    }

    /// Whether the node is a voter or a learner, or a voter that is leaving.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.voters.contains(&node)
            || self.learners.contains(&node)
            || self.leaving.as_ref().is_some_and(|leaving| leaving.contains(&node))
    }
}

/// What becomes of a voter that is one no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demoted {
    /// It leaves the group.
    Leaves,
    /// It stays as a learner.
    Learns,
}

/// Why members were not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// This node does not lead the group. Nothing was changed.
    #[error("this node does not lead the group")]
    NotLeader {
        /// Who does, if that is known.
        leader: Option<NodeId>,
    },
    /// The change was decided upon a membership that is no longer in force. Nothing was changed.
    #[error("the members are those of {}, not of {}", now.map_or_else(|| "no entry".into(), |p| p.to_string()), seen)]
    Stale {
        /// The entry that the change was decided upon.
        seen: Position,
        /// The entry in force.
        now: Option<Position>,
    },
    /// Another change is under way. Nothing was changed.
    #[error("another change of the group's members is under way")]
    Busy,
    /// The change makes no sense, or would do harm. Nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// A replica has not caught up. The membership says whether it was added.
    #[error("replica {node} has not caught up: {reason}")]
    Behind {
        /// The replica.
        node: NodeId,
        /// How far it is, or why it will not get there.
        reason: String,
    },
    /// The change may have been made, in part or in whole: look at the members again.
    #[error("it is not known whether the members were changed: {0}")]
    Unknown(String),
}

impl ChangeError {
    pub(super) fn from_raft(
        fault: RaftError<C, ClientWriteError<C>>,
        seen: Position,
        now: Option<Position>,
    ) -> Self {
        match fault {
            RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => {
                Self::NotLeader { leader: to.leader_id.map(NodeId) }
            }
            RaftError::APIError(ClientWriteError::PreconditionFailed(_)) => {
                Self::Stale { seen, now }
            }
            RaftError::APIError(ClientWriteError::ChangeMembershipError(refused)) => {
                match refused {
                    ChangeMembershipError::InProgress(_)
                    | ChangeMembershipError::UncommittedLeaderLog(_) => Self::Busy,
                    other => Self::Refused(other.to_string()),
                }
            }
            other => Self::Unknown(other.to_string()),
        }
    }
}
