//! An entry on its way through a group. Owns what its proposer is told, and the difference between
//! certainly not and perhaps.

use bytes::Bytes;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::raft::ClientWriteResult;
use openraft::type_config::alias::OneshotReceiverOf;

use super::types::{C, position};
use crate::ids::{NodeId, Position};

/// Why a proposal has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// The entry is certainly not in the log and never will be.
    #[error("the proposal was refused: {reason}")]
    Refused {
        /// Why.
        reason: String,
        /// Who leads instead, if that is known.
        leader: Option<NodeId>,
    },
    /// The entry may be in the log, or get there later.
    #[error("it is not known whether the proposal was committed: {0}")]
    Unknown(String),
}

impl ProposeError {
    pub(super) fn refused(reason: impl ToString) -> Self {
        Self::Refused { reason: reason.to_string(), leader: None }
    }

    pub(super) fn from_raft<E: std::error::Error>(fault: &RaftError<C, E>) -> Self
    where
        RaftError<C, E>: std::fmt::Display,
    {
        Self::refused(fault)
    }
}

/// What came of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Its place in the log.
    pub position: Position,
    /// What the state machine answered.
    pub answer: Bytes,
}

/// An entry that was handed to the group's core, in the order of the calls.
#[must_use = "only its answer says whether the entry was committed"]
pub struct Proposal {
    pub(super) answer: OneshotReceiverOf<C, ClientWriteResult<C>>,
}

impl Proposal {
    /// Waits until the entry is committed and applied on this node.
    ///
    /// # Errors
    /// [`ProposeError::Refused`] if it is certainly not in the log, [`ProposeError::Unknown`] if it
    /// may be.
    pub async fn applied(self) -> Result<Applied, ProposeError> {
        match self.answer.await {
            Ok(Ok(done)) => Ok(Applied { position: position(&done.log_id), answer: done.data }),
            Ok(Err(ClientWriteError::ForwardToLeader(to))) => Err(ProposeError::Refused {
                reason: to.to_string(),
                leader: to.leader_id.map(NodeId),
            }),
            Ok(Err(other)) => Err(ProposeError::Unknown(other.to_string())),
            Err(_) => Err(ProposeError::Unknown("the group has stopped".into())),
        }
    }
}
