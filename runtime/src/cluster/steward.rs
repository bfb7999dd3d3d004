//! On the node that leads the meta group: looks at all nodes, and has done what the balancer wants. What
//! that is, `pollux_cluster::balance` decides from what is seen, so that whoever leads next goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pollux_cluster::NodeId;
use pollux_cluster::balance::{Action, Balancer, NodeSeen, Observed, Step};
use pollux_cluster::meta::{Answer, Meta};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Kind;
use super::control::Control;
use super::rebalance::{Rebalance, Urge};
use super::seen::groups;
use super::steps::{Order, Steps};
use super::tenants::Rounds;
use crate::limits::{STEP_MS_MAX, STEWARD_LOOK_MS};
use crate::status::NodeStatus;

/// See the module.
pub(super) struct Steward {
    pub(super) control: Control,
    pub(super) steps: Steps,
    pub(super) urged: mpsc::Receiver<Urge>,
    pub(super) rounds: Rounds,
}

/// What is remembered of a node between two looks.
#[derive(Clone, Copy)]
struct Heard {
    last_ms: u64,
    since_ms: u64,
}

impl Steward {
    /// Looks again and again, and when it is urged to, until the node stops.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut leading: Option<(Balancer, BTreeMap<u64, Heard>)> = None;
        loop {
            let urge = tokio::select! {
                () = stop.cancelled() => return,
                urge = self.urged.recv() => urge,
                () = tokio::time::sleep(Duration::from_millis(STEWARD_LOOK_MS)) => None,
            };
            if self.control.decider.group().leadership().borrow().ours.is_none() {
                leading = None;
                self.rounds.rest();
                if let Some(urge) = urge {
                    urge.answer(None);
                }
                continue;
            }
            let meta = Arc::clone(&self.control.decider.picture().borrow().meta);
            self.rounds.turn(&self.control, &meta);
            let answers = self.control.ask_all(&meta).await;
            let now_ms = self.control.clock.elapsed_ms();
            let (balancer, heard) =
                leading.get_or_insert_with(|| (Balancer::new(now_ms), BTreeMap::new()));
            let observed = Self::observe(now_ms, &meta, &answers, heard);
            if let Some(urge) = urge {
                if urge.what == Rebalance::Now {
                    balancer.urge();
                }
                urge.answer(Some(balancer.rehearse(now_ms, &meta, &observed)));
            }
            for step in balancer.turn(now_ms, &meta, &observed) {
                self.take(step);
            }
        }
    }

    fn observe(
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
        Observed { nodes, groups: groups(answers) }
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
