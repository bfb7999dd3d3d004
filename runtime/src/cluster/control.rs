//! What those who run a cluster can have done, from any node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pollux_cluster::meta::{Answer, Command, Formats, NodeState, Place, Refusal};
use pollux_cluster::{GroupId, NodeId, Uuid};

use super::authorities::Authorities;
use super::forward::Forward;
use super::meta::Decider;
use super::rebalance::Urges;
use super::token::{self, Token};
use crate::clock::Clock;
use crate::pki::Certificates;
use crate::router::Router;
use crate::status::NodeStatus;
use crate::types::TypeBook;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Control {
    pub(super) node: NodeId,
    pub(super) decider: Decider,
    pub(super) forward: Forward,
    pub(super) router: Router,
    pub(super) clock: Clock,
    pub(super) types: Arc<TypeBook>,
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
    /// It may be done later.
    #[error("{0}")]
    NotYet(String),
}

impl Control {
    /// Waits until the types that the cluster agrees on now count here.
    pub(crate) async fn types_count(&self) {
        let version = self.meta().version;
        self.types.has(version).await;
    }

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
        self.others_have_artifacts(node).await?;
        self.decide(Command::Remove { node: node.0 }).await
    }

    /// Makes a node that holds a replica of a shard its preferred owner.
    pub(crate) async fn move_shard(&self, shard: u32, to: NodeId) -> Result<(), ControlFault> {
        let map = Arc::clone(&self.decider.picture().borrow().meta);
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

    /// Refuses where the bytes of an artifact may be on a node alone that shall be removed. Of one that does not answer
    /// they are out of reach anyway.
    async fn others_have_artifacts(&self, node: NodeId) -> Result<(), ControlFault> {
        let meta = self.meta();
        let state = meta.nodes.get(&node.0).map(|known| known.state);
        if state != Some(NodeState::Draining) {
            // It is refused, or nothing to do.
            return Ok(());
        }
        let answers = self.ask_all(&meta).await;
        let artifacts = meta.fleet.artifacts.len();
        match wanting(node.0, &meta.own, artifacts, &answers) {
            Some(why) => Err(ControlFault::NotYet(why)),
            None => Ok(()),
        }
    }

    pub(super) async fn decide(&self, command: Command) -> Result<(), ControlFault> {
        match self.decider.decide(command).await {
            Ok(Answer::Refused(refusal)) => Err(ControlFault::Refused(refusal)),
            Ok(_) => Ok(()),
            Err(fault) => Err(ControlFault::NoAnswer(fault.to_string())),
        }
    }
}

/// Why artifacts may be on a node alone that answers, for people.
fn wanting(
    node: u64,
    place: &Place,
    artifacts: usize,
    answers: &BTreeMap<u64, NodeStatus>,
) -> Option<String> {
    if !answers.contains_key(&node) {
        return None;
    }
    let voters: BTreeSet<_> = place.goal.voters.iter().chain(&place.acting).copied().collect();
    voters.into_iter().filter(|voter| *voter != node).find_map(|voter| {
        let status = answers.get(&voter);
        let why = match status.map(|status| status.artifacts_missing) {
            Some(Some(0)) => return None,
            Some(Some(missing)) => format!(
                "node {voter} lacks {missing} artifacts, of which node {node} may have the only bytes: wait until it \
                 has fetched them, as `pollux cluster status` shows, or remove artifacts that nobody has"
            ),
            _ if artifacts == 0 => return None,
            Some(None) => format!(
                "node {voter} does not say yet which artifacts it lacks, and node {node} may have their only bytes: \
                 try again in a moment"
            ),
            None => format!(
                "node {voter} does not answer, so that node {node} may have the only bytes of artifacts: start it \
                 again, or replace it, first"
            ),
        };
        Some(why)
    })
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

#[cfg(test)]
mod tests {
    use pollux_cluster::meta::Goal;

    use super::*;

    #[test]
    fn a_node_stays_while_others_lack_artifacts() {
        let said = |missing: &[(u64, Option<u64>)], artifacts| {
            let status = |(node, artifacts_missing): &(u64, Option<u64>)| {
                let text = format!(r#"{{"node":{node},"lineage":1,"may_own":true,"shards":[]}}"#);
                let status: NodeStatus = serde_json::from_str(&text).unwrap();
                (*node, NodeStatus { artifacts_missing: *artifacts_missing, ..status })
            };
            let answers = missing.iter().map(status).collect();
            wanting(1, &Place::settled(Goal::of([2, 3])), artifacts, &answers)
        };
        let all = Some(0);
        assert_eq!(said(&[(1, all), (2, all), (3, all), (4, Some(9))], 5), None, "4 has no vote");
        let told = said(&[(1, all), (2, all), (3, Some(2))], 5).unwrap();
        assert!(told.contains("node 3 lacks 2 artifacts") && told.contains("wait"), "{told}");
        let told = said(&[(1, all), (2, all)], 5).unwrap();
        assert!(told.contains("node 3 does not answer"), "{told}");
        let told = said(&[(1, all), (2, None), (3, all)], 5).unwrap();
        assert!(told.contains("node 2 does not say yet"), "{told}");
        assert_eq!(said(&[(1, all), (2, None)], 0), None, "there are none");
        assert_eq!(said(&[(2, all), (3, Some(2))], 5), None, "its bytes are out of reach");
    }
}
