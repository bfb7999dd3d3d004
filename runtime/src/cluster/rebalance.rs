//! Evening everything on request: the way from any node to the steward on the node that leads the meta group,
//! and what is told of the moves. What they are, the balancer decides.

use std::time::Duration;

use bytes::Bytes;
use pollux_cluster::balance::Change;
use pollux_cluster::{GroupId, NodeId};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::Kind;
use super::control::{Control, ControlFault};
use crate::limits::{META_DECIDE_MS_MAX, META_LOOK_MS, STEP_MS_MAX};

/// Whether it is only said what would be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Rebalance {
    /// It is begun.
    Now,
    /// Nothing is changed.
    Rehearsed,
}

/// A group whose replicas or owner should change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Planned {
    /// The shard; none for the meta group.
    pub(crate) shard: Option<u32>,
    /// Who votes now, the preferred owner first.
    pub(crate) from_voters: Vec<u64>,
    /// Who votes afterwards.
    pub(crate) to_voters: Vec<u64>,
    /// Who holds a copy without a vote now.
    pub(crate) from_learners: Vec<u64>,
    /// Who does afterwards.
    pub(crate) to_learners: Vec<u64>,
    /// Why.
    pub(crate) why: String,
}

impl Planned {
    fn of(change: Change) -> Self {
        let Change { group, from, to, why } = change;
        Self {
            shard: (group != GroupId::META).then(|| group.0 - 1),
            from_voters: from.voters,
            to_voters: to.voters,
            from_learners: from.learners,
            to_learners: to.learners,
            why: why.to_string(),
        }
    }
}

/// What a steward is asked.
pub(super) struct Urge {
    pub(super) what: Rebalance,
    reply: oneshot::Sender<Result<Vec<Planned>, NotHere>>,
}

/// This node does not lead the meta group: somebody else's steward must be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NotHere;

impl Urge {
    /// Answers with what is to be moved; none where this node's steward does not lead.
    pub(super) fn answer(self, changes: Option<Vec<Change>>) {
        let planned = changes.map(|all| all.into_iter().map(Planned::of).collect());
        // Whoever asked may have gone.
        let _ = self.reply.send(planned.ok_or(NotHere));
    }
}

/// The way to the steward of this node. Cheap to clone.
#[derive(Clone)]
pub(super) struct Urges(mpsc::Sender<Urge>);

impl Urges {
    pub(super) const fn new(sender: mpsc::Sender<Urge>) -> Self {
        Self(sender)
    }

    /// Asks the steward here.
    async fn ask(&self, what: Rebalance) -> Result<Vec<Planned>, NotHere> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Urge { what, reply }).await.map_err(|_| NotHere)?;
        answer.await.map_err(|_| NotHere)?
    }

    /// Asks it for another node, which sent this.
    pub(super) async fn ask_for_peer(&self, payload: &[u8]) -> Option<Vec<u8>> {
        let what = serde_json::from_slice(payload).ok()?;
        let answer = self.ask(what).await;
        Some(serde_json::to_vec(&answer).expect("numbers and texts are JSON"))
    }
}

impl Control {
    /// Has replicas and owners evened, or says what that would move.
    pub(crate) async fn rebalance(&self, what: Rebalance) -> Result<Vec<Planned>, ControlFault> {
        let end = self.clock.elapsed() + Duration::from_millis(META_DECIDE_MS_MAX);
        loop {
            if let Ok(planned) = self.urges.ask(what).await {
                return Ok(planned);
            }
            let leader = self.decider.group().leadership().borrow().leader;
            if let Some(leader) = leader.filter(|leader| *leader != self.node)
                && let Some(planned) = self.ask_there(leader, what).await
            {
                return Ok(planned);
            }
            if self.clock.elapsed() >= end {
                let text = "no node leads the meta group; see `pollux cluster status`";
                return Err(ControlFault::NoAnswer(text.into()));
            }
            tokio::time::sleep(Duration::from_millis(META_LOOK_MS)).await;
        }
    }

    async fn ask_there(&self, node: NodeId, what: Rebalance) -> Option<Vec<Planned>> {
        let payload = Bytes::from(serde_json::to_vec(&what).expect("a word is JSON"));
        let patience = Duration::from_millis(STEP_MS_MAX);
        let answer = self.forward.ask(node, Kind::Rebalance, payload, patience).await.ok()?;
        serde_json::from_slice::<Result<Vec<Planned>, NotHere>>(&answer).ok()?.ok()
    }
}
