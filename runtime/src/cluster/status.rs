//! The state of the whole cluster, put together from what each node knows of itself.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use pollux_cluster::NodeId;
use pollux_cluster::meta::{Meta, NodeState};
use pollux_proto::v1;

use super::Kind;
use super::control::Control;
use crate::limits::STATUS_MS_MAX;
use crate::router::Router;
use crate::status::{NodeStatus, ShardStatus};

/// What this node knows of itself, for another.
pub(super) fn of(router: &Router) -> Vec<u8> {
    serde_json::to_vec(&router.status()).expect("plain structs of numbers are JSON")
}

/// What a node says that has no shards yet.
pub(super) fn of_starting(node: NodeId, lineage: u64) -> Vec<u8> {
    let status = NodeStatus { node: node.0, lineage, may_own: false, shards: Vec::new() };
    serde_json::to_vec(&status).expect("plain structs of numbers are JSON")
}

impl Control {
    /// Asks every node, and puts their answers beside what the meta group knows.
    pub(crate) async fn status(&self) -> v1::ClusterStatusResponse {
        let picture = self.decider.picture().borrow().clone();
        let meta = picture.meta;
        let answers = self.ask_all(&meta).await;
        let owners = owners(&answers);
        let meta_voters = self.decider.group().metrics().members.voters;
        let mut nodes: Vec<_> = meta.nodes.iter().map(|(id, node)| shown(*id, node)).collect();
        for node in &mut nodes {
            node.answers = answers.contains_key(&node.id);
            node.meta_voter = meta_voters.contains(&NodeId(node.id));
            let holds = answers.get(&node.id).map_or(0, |status| status.shards.len());
            node.replicas = u32::try_from(holds).unwrap_or(u32::MAX);
            let owned = owners.values().filter(|owned| owned.owner == node.id).count();
            node.owned = u32::try_from(owned).unwrap_or(u32::MAX);
        }
        let shards = meta.map.iter().zip(0_u16..).map(|(place, shard)| {
            let mut out = v1::ClusterShard {
                shard: shard.into(),
                intended: place.goal.members().collect(),
                ..Default::default()
            };
            if let Some(owned) = owners.get(&shard) {
                (out.owner, out.term, out.open) = (owned.owner, owned.term, owned.open);
                (out.voters, out.learners) = (owned.voters.clone(), owned.learners.clone());
                (out.twins, out.applied) = (owned.twins, owned.applied);
                out.lag = owned.lags.iter().map(|(_, lag)| *lag).max().unwrap_or(0);
            }
            out
        });
        let shards: Vec<_> = shards.collect();
        v1::ClusterStatusResponse {
            cluster: format!("{:032x}", meta.cluster),
            lineage: meta.lineage,
            node: self.node.0,
            notes: self.notes(&nodes, &shards),
            nodes,
            shards,
            balancing: !meta.paused,
        }
    }

    /// What is not as it should be, as far as this node can see.
    fn notes(&self, nodes: &[v1::ClusterNode], shards: &[v1::ClusterShard]) -> Vec<String> {
        let mut notes = notes(nodes, shards);
        let alarms = self.expiry.alarms(self.clock.wall());
        notes.extend(alarms.into_iter().map(|alarm| format!("on node {}, {alarm}", self.node)));
        notes
    }

    /// What each node that answers knows of itself.
    pub(super) async fn ask_all(&self, meta: &Meta) -> BTreeMap<u64, NodeStatus> {
        let there = meta.members().map(|(id, _)| id);
        let asked = there.map(|id| async move {
            if id == self.node.0 {
                return Some((id, self.router.status()));
            }
            let patience = Duration::from_millis(STATUS_MS_MAX);
            let asked = self.forward.ask(NodeId(id), Kind::Status, Bytes::new(), patience).await;
            let status = serde_json::from_slice(&asked.ok()?).ok()?;
            Some((id, status))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

/// What the owner of each shard says of it: whoever leads in the newest epoch.
fn owners(answers: &BTreeMap<u64, NodeStatus>) -> BTreeMap<u16, ShardStatus> {
    let mut owners: BTreeMap<u16, ShardStatus> = BTreeMap::new();
    for (node, status) in answers {
        for shard in status.shards.iter().filter(|shard| shard.owner == *node) {
            let newest = owners.get(&shard.shard).is_none_or(|other| other.term < shard.term);
            if newest {
                owners.insert(shard.shard, shard.clone());
            }
        }
    }
    owners
}

fn shown(id: u64, node: &pollux_cluster::meta::Node) -> v1::ClusterNode {
    v1::ClusterNode {
        id,
        name: node.profile.name.clone(),
        zone: node.profile.labels.zone.clone(),
        weight: node.profile.labels.weight,
        state: match node.state {
            NodeState::Active => "active",
            NodeState::Draining => "draining",
            NodeState::Removed => "removed",
        }
        .into(),
        devices: node.profile.addresses.devices.clone(),
        grpc: node.profile.addresses.grpc.clone(),
        http: node.profile.addresses.http.clone(),
        peers: node.profile.addresses.peers.clone(),
        ..Default::default()
    }
}

/// What is not as it should be, and why.
fn notes(nodes: &[v1::ClusterNode], shards: &[v1::ClusterShard]) -> Vec<String> {
    let there: Vec<_> = nodes.iter().filter(|node| node.state != "removed").collect();
    let mut notes = Vec::new();
    for node in there.iter().filter(|node| !node.answers) {
        notes.push(format!(
            "node {} does not answer: start it again, or replace it if its disk is gone",
            node.id
        ));
    }
    match there.len() {
        1 => notes.push("one node: nothing survives the loss of its disk; add two more".into()),
        2 => notes.push(
            "two nodes: one votes and the other learns, since with two votes the loss of either \
             would stop the shards; add a third"
                .into(),
        ),
        _ => {}
    }
    let without = shards.iter().filter(|shard| shard.owner == 0).count();
    if without > 0 {
        notes.push(format!("{without} shards have no owner that answers"));
    }
    let waits = |shard: &&v1::ClusterShard| {
        let has = |node: &u64| shard.voters.contains(node) || shard.learners.contains(node);
        shard.owner != 0 && !shard.intended.iter().all(has)
    };
    let moving = shards.iter().filter(waits).count();
    if moving > 0 {
        notes.push(format!("{moving} shards wait for replicas that they are meant to have"));
    }
    notes
}
