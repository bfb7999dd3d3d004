//! The state of the whole cluster, put together from what each node knows of itself.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use pollux_cluster::balance::{NodeSeen, Observed, is_owned_as_meant, unrest};
use pollux_cluster::meta::{Meta, NodeState};
use pollux_cluster::{Group, GroupId, NodeId};
use pollux_proto::v1;

use super::Kind;
use super::control::Control;
use super::seen::{groups, meta_status, owners};
use crate::limits::STATUS_MS_MAX;
use crate::load::NodeLoad;
use crate::router::Router;
use crate::status::{NodeStatus, VERSION};

/// Whom a status is put together from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Every node.
    AllNodes,
    /// The one that is asked, which waits for nobody.
    ThisNode,
}

/// What this node knows of itself, and of the meta group if it leads that.
fn of(router: &Router, meta: &Group) -> NodeStatus {
    NodeStatus { meta: meta_status(meta), ..router.status() }
}

/// The same, for another node.
pub(super) fn for_peer(router: &Router, meta: &Group) -> Vec<u8> {
    serde_json::to_vec(&of(router, meta)).expect("plain structs of numbers are JSON")
}

/// What a node says that has no shards yet.
pub(super) fn of_starting(node: NodeId, lineage: u64) -> Vec<u8> {
    let (shards, version) = (Vec::new(), VERSION.to_owned());
    let status = NodeStatus {
        node: node.0,
        lineage,
        may_own: false,
        version,
        enforced: false,
        load: NodeLoad::default(),
        artifacts_missing: None,
        shards,
        meta: None,
    };
    serde_json::to_vec(&status).expect("plain structs of numbers are JSON")
}

impl Control {
    /// Asks the nodes, and puts their answers beside what the meta group knows.
    pub(crate) async fn status(&self, asked: Asked) -> v1::ClusterStatusResponse {
        let picture = self.decider.picture().borrow().clone();
        let meta = picture.meta;
        let answers = match asked {
            Asked::AllNodes => self.ask_all(&meta).await,
            Asked::ThisNode => {
                BTreeMap::from([(self.node.0, of(&self.router, self.decider.group()))])
            }
        };
        let owners = owners(&answers);
        let meta_voters = self.decider.group().metrics().members.voters;
        let mut nodes: Vec<_> = meta.nodes.iter().map(|(id, node)| shown(*id, node)).collect();
        for node in &mut nodes {
            let answer = answers.get(&node.id);
            node.answers = answer.is_some();
            node.may_own = answer.is_some_and(|status| status.may_own);
            node.load = answer.map(|status| load(&status.load));
            node.artifacts_missing =
                answer.and_then(|status| status.artifacts_missing).unwrap_or_default();
            node.version = answer.map(|status| status.version.clone()).unwrap_or_default();
            node.meta_voter = meta_voters.contains(&NodeId(node.id));
            let holds = answer.map_or(0, |status| status.shards.len());
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
                (out.messages_per_s, out.bytes) = (owned.messages_per_s, owned.bytes);
                out.lag = owned.lags.iter().map(|(_, lag)| *lag).max().unwrap_or(0);
            }
            out
        });
        let shards: Vec<_> = shards.collect();
        let observed = observed(&answers);
        let unsettled = unsettled(&meta, &answers, &observed, &shards);
        v1::ClusterStatusResponse {
            cluster: format!("{:032x}", meta.cluster),
            lineage: meta.lineage,
            node: self.node.0,
            notes: self.notes(&nodes, &shards).into_iter().chain(open_doors(&answers)).collect(),
            nodes,
            shards,
            balancing: !meta.paused,
            settled: unsettled.is_none(),
            unsettled: unsettled.unwrap_or_default(),
            owned_as_meant: is_owned_as_meant(&meta, &observed),
            level: meta.level,
        }
    }

    /// What is not as it should be, as far as this node can see.
    fn notes(&self, nodes: &[v1::ClusterNode], shards: &[v1::ClusterShard]) -> Vec<String> {
        let mut notes = notes(nodes, shards);
        let alarms = self.certificates.alarms(self.clock.wall());
        notes.extend(alarms.into_iter().map(|alarm| format!("on node {}, {alarm}", self.node)));
        notes
    }

    /// What each node that answers knows of itself.
    pub(super) async fn ask_all(&self, meta: &Meta) -> BTreeMap<u64, NodeStatus> {
        let there = meta.members().map(|(id, _)| id);
        let asked = there.map(|id| async move {
            if id == self.node.0 {
                return Some((id, of(&self.router, self.decider.group())));
            }
            let patience = Duration::from_millis(STATUS_MS_MAX);
            let asked = self.forward.ask(NodeId(id), Kind::Status, Bytes::new(), patience).await;
            let status = serde_json::from_slice(&asked.ok()?).ok()?;
            Some((id, status))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

/// Nodes that let everybody in, beside others that do not: by them everybody comes to all twins.
fn open_doors(answers: &BTreeMap<u64, NodeStatus>) -> Option<String> {
    let ready = answers.iter().filter(|(_, status)| !status.shards.is_empty());
    let (closed, open): (Vec<_>, Vec<_>) = ready.partition(|(_, status)| status.enforced);
    let open: Vec<_> = open.into_iter().map(|(id, _)| id.to_string()).collect();
    (!closed.is_empty() && !open.is_empty()).then(|| {
        format!(
            "access is open at node {}, and so are all twins to whoever reaches its gRPC or HTTP: set access.mode \
             = \"enforced\" there, too",
            open.join(" and ")
        )
    })
}

/// The nodes that answer, and what the groups' leaders say.
fn observed(answers: &BTreeMap<u64, NodeStatus>) -> Observed {
    let there = |(id, status): (&u64, &NodeStatus)| {
        (*id, NodeSeen { silent_ms: 0, up_ms: u64::MAX, may_own: status.may_own })
    };
    Observed { nodes: answers.iter().map(there).collect(), groups: groups(answers) }
}

/// What keeps the cluster from rest, for people.
fn unsettled(
    meta: &Meta,
    answers: &BTreeMap<u64, NodeStatus>,
    observed: &Observed,
    shards: &[v1::ClusterShard],
) -> Option<String> {
    let unrest = unrest(meta, observed).map(|unrest| unrest.to_string());
    let closed = shards.iter().find(|shard| !shard.open);
    unrest
        .or_else(|| {
            closed.map(|shard| format!("{} is yet to be opened", GroupId::shard(shard.shard)))
        })
        .or_else(|| missing(meta, answers))
}

/// A replica that a node has not opened yet since its start: its group's leader counts it as there until it
/// has been silent for a while.
fn missing(meta: &Meta, answers: &BTreeMap<u64, NodeStatus>) -> Option<String> {
    meta.map.iter().zip(0_u16..).find_map(|(place, shard)| {
        let opened = |node: &u64| {
            answers
                .get(node)
                .is_none_or(|status| status.shards.iter().any(|held| held.shard == shard))
        };
        let node = place.goal.members().find(|node| !opened(node))?;
        Some(format!("node {node} is yet to open {}", GroupId::shard(shard.into())))
    })
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
        level_oldest: node.profile.formats.oldest,
        level_newest: node.profile.formats.newest,
        ..Default::default()
    }
}

fn load(load: &NodeLoad) -> v1::NodeLoad {
    let hot = load.hot.iter();
    let within = load.acks_within_us.iter();
    v1::NodeLoad {
        uptime_ms: load.uptime_ms,
        devices: load.devices,
        acks: load.acks,
        acks_within: within.map(|(us, count)| v1::CountWithin { us: *us, count: *count }).collect(),
        calls: load.calls,
        batches: load.batches,
        watches: load.watches,
        overloads: load.overloads,
        cpu_ms: load.cpu_ms,
        resident_bytes: load.resident_bytes,
        issuer_keys_at_ms: load.issuer_keys_at_ms,
        hot: hot.map(|(twin, n)| v1::HotTwin { twin: twin.clone(), messages_per_s: *n }).collect(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::ShardStatus;

    #[test]
    fn an_open_door_beside_closed_ones_is_told() {
        let said = |nodes: &[(u64, bool)]| {
            let status = |(node, enforced): &(u64, bool)| {
                let status = NodeStatus {
                    node: *node,
                    lineage: 1,
                    may_own: true,
                    version: String::new(),
                    enforced: *enforced,
                    load: NodeLoad::default(),
                    artifacts_missing: None,
                    shards: vec![ShardStatus::default()],
                    meta: None,
                };
                (*node, status)
            };
            open_doors(&nodes.iter().map(status).collect())
        };
        assert_eq!(said(&[(1, false), (2, false)]), None);
        assert_eq!(said(&[(1, true), (2, true)]), None);
        let told = said(&[(1, true), (2, false), (3, false)]).unwrap();
        assert!(told.contains("at node 2 and 3"), "{told}");
    }
}
