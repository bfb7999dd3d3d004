//! The records of version 1, from before clusters of several nodes. Owns their shape, which never changes
//! again, and what they mean today; written only by tests.

use std::collections::BTreeMap;

use rkyv::{Archive, Deserialize, Serialize};

use super::command;
use super::node::{self, Formats, NodeState, Profile};
use super::place::{self, Goal};
use super::settings::Budget;
use super::state;
use crate::access::Access;
use crate::fleet::Fleet;

/// Level of a cluster whose records were read from version 1.
const LEVEL: u32 = 2;

#[derive(Archive, Serialize, Deserialize)]
pub(super) enum Command {
    Found { cluster: u128, shards: u32, fingerprint: u64, node_uuid: u128 },
    Join { node_uuid: u128, fingerprint: u64 },
    Start { node: u64, node_uuid: u128, starts: u64, fingerprint: u64 },
    Remove { node: u64 },
    Place { shard: u32, place: Place },
    Configure { fingerprint: u64 },
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct Node {
    uuid: u128,
    starts: u64,
    removed: bool,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct Place {
    replicas: Vec<u64>,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct Meta {
    cluster: u128,
    lineage: u64,
    fingerprint: u64,
    nodes: BTreeMap<u64, Node>,
    map: Vec<Place>,
    version: u64,
}

fn formats() -> Formats {
    Formats { oldest: LEVEL, newest: LEVEL }
}

fn profile(node: u64) -> Profile {
    Profile { formats: formats(), ..Profile::named(format!("node-{node}")) }
}

impl Command {
    /// What it means today. None for joining, which takes a token now and which no release of that
    /// version asked for.
    pub(super) fn today(self) -> Option<command::Command> {
        Some(match self {
            Self::Found { cluster, shards, fingerprint, node_uuid } => {
                let profile = profile(1);
                command::Command::Found { cluster, shards, fingerprint, node_uuid, profile }
            }
            Self::Start { node, node_uuid, starts, fingerprint } => {
                let formats = formats();
                command::Command::Start { node, node_uuid, starts, fingerprint, formats }
            }
            Self::Configure { fingerprint } => command::Command::Configure { fingerprint },
            Self::Remove { node } => command::Command::Remove { node },
            Self::Place { shard, place } => {
                let goal = Goal::of(place.replicas);
                command::Command::Place { group: shard.saturating_add(1), goal }
            }
            Self::Join { .. } => return None,
        })
    }
}

impl Meta {
    /// The state today: what was new since is at its beginning.
    pub(super) fn today(self) -> state::Meta {
        let place = |voters: Vec<u64>| place::Place::settled(Goal::of(voters));
        let last_node = self.nodes.last_key_value().map_or(0, |(id, _)| *id);
        let own = if self.lineage > 0 { place(vec![1]) } else { place::Place::default() };
        let node = |(id, node): (u64, Node)| {
            let state = if node.removed { NodeState::Removed } else { NodeState::Active };
            let profile = if node.removed { Profile::default() } else { profile(id) };
            (id, node::Node { uuid: node.uuid, starts: node.starts, profile, state })
        };
        state::Meta {
            cluster: self.cluster,
            lineage: self.lineage,
            fingerprint: self.fingerprint,
            level: if self.lineage > 0 { LEVEL } else { 0 },
            nodes: self.nodes.into_iter().map(node).collect(),
            last_node,
            own,
            map: self.map.into_iter().map(|old| place(old.replicas)).collect(),
            tokens: BTreeMap::new(),
            roots: BTreeMap::new(),
            paused: false,
            budget: Budget::default(),
            access: Access::default(),
            fleet: Fleet::default(),
            version: self.version,
        }
    }
}
