//! Carries out the steps that the steward asks for, on the node that leads the group. Whether a step is safe
//! at the moment it is taken, the group itself says.

use std::collections::BTreeSet;

use pollux_cluster::balance::Action;
use pollux_cluster::{Demoted, Group, GroupId, NodeId};
use pollux_twin::ShardId;
use serde::{Deserialize, Serialize};

use super::meta::Decider;
use crate::shard::HandOver;
use crate::shards::Shards;

/// A step, as one node asks another for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Order {
    group: u32,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum What {
    /// A new member without a vote.
    Add(u64),
    /// These are the voters; who loses its vote stays without one.
    Vote(BTreeSet<u64>),
    /// A member without a vote leaves.
    Remove(u64),
    /// The leadership goes to this one.
    HandOver(u64),
}

impl Order {
    /// The order for an action, and who leads the group; none for what the meta group decides.
    pub(super) fn of(action: &Action) -> Option<(NodeId, Self)> {
        let (group, leader, what) = match action {
            Action::Decide(_) => return None,
            Action::AddLearner { group, leader, node } => (group, leader, What::Add(*node)),
            Action::SetVoters { group, leader, voters } => {
                (group, leader, What::Vote(voters.iter().copied().collect()))
            }
            Action::RemoveLearner { group, leader, node } => (group, leader, What::Remove(*node)),
            Action::Transfer { group, leader, to } => (group, leader, What::HandOver(*to)),
        };
        Some((NodeId(*leader), Self { group: group.0, what }))
    }
}

/// Carries orders out on this node. Cheap to clone.
#[derive(Clone)]
pub(super) struct Steps {
    pub(super) decider: Decider,
    pub(super) shards: Shards,
}

impl Steps {
    /// Carries an order out; why it was not done, for people.
    pub(super) async fn carry_out(&self, order: Order) -> Result<(), String> {
        let (group, hand_over) = self.group(GroupId(order.group))?;
        let members = group.metrics().members;
        let seen = members.at.ok_or("the group has no members")?;
        tracing::info!(group = %group.id(), ?order.what, "a step of a move");
        match order.what {
            What::Add(node) => {
                group.add_learner(NodeId(node), seen).await.map_err(|e| e.to_string())
            }
            // Whoever began the change may be gone: end it first, then look again.
            What::Vote(_) if members.leaving.is_some() => {
                group.settle(seen).await.map_err(|e| e.to_string())
            }
            What::Vote(voters) => {
                let voters = voters.into_iter().map(NodeId).collect();
                let changed = group.change_voters(&voters, Demoted::Learns, seen).await;
                changed.map_err(|e| e.to_string())
            }
            What::Remove(node) => group.remove(NodeId(node), seen).await.map_err(|e| e.to_string()),
            What::HandOver(to) => {
                // What the steward knows may be a moment old, and a node that stops must get nothing.
                if !self.decider.may_own(NodeId(to)).await {
                    return Err(format!("node {to} does not say that it may own"));
                }
                match hand_over {
                    Some(hand_over) => {
                        hand_over.run(NodeId(to), self.decider.device_address(NodeId(to))).await
                    }
                    None => {
                        group.hand_over(Some(NodeId(to))).await.map(drop).map_err(|e| e.to_string())
                    }
                }
            }
        }
    }

    fn group(&self, id: GroupId) -> Result<(Group, Option<HandOver>), String> {
        let Some(shard) = id.0.checked_sub(1) else {
            return Ok((self.decider.group().clone(), None));
        };
        let held = u16::try_from(shard).ok().and_then(|shard| self.shards.held(ShardId(shard)));
        let held = held.ok_or_else(|| format!("{id} is not here"))?;
        Ok((held.group().clone(), Some(held.hand_over())))
    }
}
