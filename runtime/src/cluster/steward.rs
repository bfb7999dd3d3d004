//! On the node that leads the meta group: looks at all nodes, and has done what the balancer wants. What
//! that is, `pollux_cluster::balance` decides from what is seen, so that whoever leads next goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pollux_cluster::balance::{Action, Balancer, GroupSeen, Load, NodeSeen, Observed, Step};
use pollux_cluster::meta::{Answer, Meta};
use pollux_cluster::{GroupId, GroupMetrics, NodeId};
use tokio_util::sync::CancellationToken;

use super::Kind;
use super::control::Control;
use super::steps::{Order, Steps};
use crate::limits::{STEP_MS_MAX, STEWARD_LOOK_MS};
use crate::status::{NodeStatus, ShardStatus};

/// See the module.
pub(super) struct Steward {
    pub(super) control: Control,
    pub(super) steps: Steps,
}

/// What is remembered of a node between two looks.
#[derive(Clone, Copy)]
struct Heard {
    last_ms: u64,
    since_ms: u64,
}

impl Steward {
    /// Looks again and again until the node stops.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut leading: Option<(Balancer, BTreeMap<u64, Heard>)> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(STEWARD_LOOK_MS)) => {}
            }
            if self.control.decider.group().leadership().borrow().ours.is_none() {
                leading = None;
                continue;
            }
            let meta = Arc::clone(&self.control.decider.picture().borrow().meta);
            let answers = self.control.ask_all(&meta).await;
            let now_ms = self.control.clock.elapsed_ms();
            let (balancer, heard) =
                leading.get_or_insert_with(|| (Balancer::new(now_ms), BTreeMap::new()));
            let observed = self.observe(now_ms, &meta, &answers, heard);
            for step in balancer.turn(now_ms, &meta, &observed) {
                self.take(step);
            }
        }
    }

    fn observe(
        &self,
        now_ms: u64,
        meta: &Meta,
        answers: &BTreeMap<u64, NodeStatus>,
        heard: &mut BTreeMap<u64, Heard>,
    ) -> Observed {
        let mut nodes = BTreeMap::new();
        for (id, _) in meta.members() {
            let answer = answers.get(&id);
            let known = heard.entry(id).or_insert(Heard { last_ms: now_ms, since_ms: now_ms });
            match answer {
                Some(_) => known.last_ms = now_ms,
                None => known.since_ms = now_ms,
            }
            let silent_ms = match answer {
                Some(_) => 0,
                // One that never answered is not there yet.
                None => now_ms.saturating_sub(known.last_ms).max(STEWARD_LOOK_MS),
            };
            let up_ms = now_ms.saturating_sub(known.since_ms);
            let may_own = answer.is_some_and(|status| status.may_own);
            nodes.insert(id, NodeSeen { silent_ms, up_ms, may_own });
        }
        heard.retain(|id, _| nodes.contains_key(id));
        let mut groups = BTreeMap::from([(GroupId::META, self.seen_here())]);
        for (node, status) in answers {
            for shard in status.shards.iter().filter(|shard| shard.owner == *node) {
                groups.insert(GroupId::shard(u32::from(shard.shard)), seen(shard));
            }
        }
        Observed { nodes, groups }
    }

    /// The meta group, which this node leads.
    fn seen_here(&self) -> GroupSeen {
        let GroupMetrics { leadership, members, replicas, .. } =
            self.control.decider.group().metrics();
        let ids = |nodes: &BTreeSet<NodeId>| nodes.iter().map(|node| node.0).collect();
        let mut voters: Vec<BTreeSet<u64>> = members.leaving.iter().map(ids).collect();
        voters.push(ids(&members.voters));
        GroupSeen {
            leader: leadership.leader.map(|leader| leader.0),
            voters,
            learners: ids(&members.learners),
            lag: replicas
                .iter()
                .filter(|replica| replica.matched.is_some())
                .map(|replica| (replica.node.0, replica.lag_entries))
                .collect(),
            load: Load::default(),
        }
    }

    /// Has a step taken, without waiting for it: what is not seen is asked for again.
    fn take(&self, step: Step) {
        let Step { action, why } = step;
        let (control, steps) = (self.control.clone(), self.steps.clone());
        tokio::spawn(async move {
            let done = match (&action, Order::of(&action)) {
                (Action::Decide(command), _) => {
                    match control.decider.decide((**command).clone()).await {
                        Ok(Answer::Refused(refusal)) => Err(refusal.to_string()),
                        Ok(_) => Ok(()),
                        Err(fault) => Err(fault.to_string()),
                    }
                }
                (_, Some((leader, order))) if leader == control.node => {
                    steps.carry_out(order).await
                }
                (_, Some((leader, order))) => ask(&control, leader, &order).await,
                (_, None) => Ok(()),
            };
            match done {
                Ok(()) => tracing::debug!(?action, %why, "a step of the balancer is done"),
                Err(problem) => {
                    tracing::info!(?action, %why, problem, "a step was not done; it is tried again");
                }
            }
        });
    }
}

async fn ask(control: &Control, leader: NodeId, order: &Order) -> Result<(), String> {
    let order = serde_json::to_vec(order).expect("numbers are JSON");
    let patience = Duration::from_millis(STEP_MS_MAX);
    let answer = control.forward.ask(leader, Kind::Step, order.into(), patience).await;
    let answer = answer.map_err(|fault| fault.to_string())?;
    serde_json::from_slice(&answer).unwrap_or_else(|error| Err(error.to_string()))
}

/// A shard as its owner tells of it.
fn seen(shard: &ShardStatus) -> GroupSeen {
    let set = |nodes: &[u64]| nodes.iter().copied().collect::<BTreeSet<u64>>();
    let mut voters = Vec::new();
    if !shard.leaving.is_empty() {
        voters.push(set(&shard.leaving));
    }
    voters.push(set(&shard.voters));
    GroupSeen {
        leader: Some(shard.owner),
        voters,
        learners: set(&shard.learners),
        lag: shard.lags.iter().copied().collect(),
        load: Load {
            messages_per_s: shard.messages_per_s,
            sessions: shard.active,
            // Tables do not tell their bytes; the hash makes them alike.
            bytes: 0,
        },
    }
}
