//! What those who run a cluster can have done, from any node.

use std::time::Duration;

use pollux_cluster::meta::{Answer, Command, Formats, Refusal};
use pollux_cluster::{GroupId, NodeId, Uuid};

use super::authorities::Authorities;
use super::forward::Forward;
use super::meta::Decider;
use super::rebalance::Urges;
use super::token::{self, Token};
use crate::clock::Clock;
use crate::pki::Certificates;
use crate::router::Router;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Control {
    pub(super) node: NodeId,
    pub(super) decider: Decider,
    pub(super) forward: Forward,
    pub(super) router: Router,
    pub(super) clock: Clock,
    pub(super) authorities: Authorities,
    pub(super) certificates: Certificates,
    /// The way to this node's steward.
    pub(super) urges: Urges,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlFault {
    /// The meta group refuses.
    #[error("{0}")]
    Refused(Refusal),
    /// No majority of the meta group answers.
    #[error("{0}")]
    NoAnswer(String),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
}

impl Control {
    /// Makes a token by which one node may join within `good_for`: the token, and until when.
    pub(crate) async fn create_join_token(
        &self,
        good_for: Duration,
    ) -> Result<(String, u64), ControlFault> {
        let secret = Uuid::random().map_err(|error| ControlFault::NoAnswer(error.to_string()))?;
        let token = Token { ca: self.authorities.fingerprint(), secret: secret.0.to_le_bytes() };
        let hash = token::hash(&token.secret);
        let now_ms = self.clock.wall().ms;
        let ttl_ms = u64::try_from(good_for.as_millis()).unwrap_or(u64::MAX);
        self.decide(Command::IssueToken { hash, ttl_ms, now_ms }).await?;
        Ok((token.to_string(), now_ms.saturating_add(ttl_ms)))
    }

    /// Moves everything away from a node, or takes that back.
    pub(crate) async fn drain(&self, node: NodeId, drain: Drain) -> Result<(), ControlFault> {
        let command = match drain {
            Drain::Begin => Command::Drain { node: node.0 },
            Drain::Undo => Command::Undrain { node: node.0 },
        };
        self.decide(command).await
    }

    /// Takes a drained node out for good.
    pub(crate) async fn remove(&self, node: NodeId) -> Result<(), ControlFault> {
        self.decide(Command::Remove { node: node.0 }).await
    }

    /// Makes a node that holds a replica of a shard its preferred owner.
    pub(crate) async fn move_shard(&self, shard: u32, to: NodeId) -> Result<(), ControlFault> {
        let map = std::sync::Arc::clone(&self.decider.picture().borrow().meta);
        let place = usize::try_from(shard).ok().and_then(|at| map.map.get(at));
        let place = place.ok_or_else(|| {
            ControlFault::Invalid(format!("there is no shard {shard}: there are {}", map.map.len()))
        })?;
        if !place.goal.voters.contains(&to.0) {
            return Err(ControlFault::Invalid(format!(
                "node {to} does not vote on shard {shard}: nodes {:?} do",
                place.goal.voters
            )));
        }
        let group = GroupId::shard(shard).0;
        self.decide(Command::Place { group, goal: place.goal.preferring(to.0) }).await
    }

    /// Stops or resumes moves for the sake of balance.
    pub(crate) async fn set_balancing(&self, balancing: Balancing) -> Result<(), ControlFault> {
        self.decide(match balancing {
            Balancing::Paused => Command::Pause,
            Balancing::Resumed => Command::Resume,
        })
        .await
    }

    /// Raises the level at which the cluster writes: to this one, or to the highest of this program.
    pub(crate) async fn finish_upgrade(&self, level: Option<u32>) -> Result<u32, ControlFault> {
        let level = level.unwrap_or(Formats::OURS.newest);
        self.decide(Command::Finish { level }).await?;
        Ok(level)
    }

    pub(super) async fn decide(&self, command: Command) -> Result<(), ControlFault> {
        match self.decider.decide(command).await {
            Ok(Answer::Refused(refusal)) => Err(ControlFault::Refused(refusal)),
            Ok(_) => Ok(()),
            Err(fault) => Err(ControlFault::NoAnswer(fault.to_string())),
        }
    }
}

/// Whether a node is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drain {
    /// From now on.
    Begin,
    /// No longer.
    Undo,
}

/// Whether shards are moved for the sake of balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Balancing {
    /// Not.
    Paused,
    /// Again.
    Resumed,
}
