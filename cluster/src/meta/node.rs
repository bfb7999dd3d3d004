//! A node as the cluster knows it. Owns what a node may say of itself and the check of it; leaves to `rules`
//! how a node comes, changes and goes.

use rkyv::{Archive, Deserialize, Serialize};

use crate::limits::{ADDRESS_BYTES_MAX, NAME_BYTES_MAX, WEIGHT_DEFAULT, WEIGHT_MAX};

/// Where a node can be reached, each `host:port`; empty where it offers nothing. They differ behind
/// address translation, load balancers and in Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Addresses {
    /// By devices, over QUIC.
    pub devices: String,
    /// By services, with gRPC.
    pub grpc: String,
    /// By services and people, with HTTP.
    pub http: String,
    /// By the other nodes.
    pub peers: String,
}

/// What placement knows of a node.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Labels {
    /// What fails together with it: a rack, a building. Replicas of a shard are spread over zones.
    pub zone: String,
    /// Its share of replicas and owners, relative to the others.
    pub weight: u32,
    /// Sessions it should take at most; 0 says nothing.
    pub capacity: u64,
}

impl Default for Labels {
    fn default() -> Self {
        Self { zone: String::new(), weight: WEIGHT_DEFAULT, capacity: 0 }
    }
}

/// From this level on, nodes give a key to each write that came without one (safety rule 15).
pub const ENTRY_KEYS_LEVEL: u32 = 3;

/// From this level on there is a registry of devices, whoever may do what is known, and nodes ask each other what
/// programs of the level before do not know.
pub const CONTROL_LEVEL: u32 = 4;

/// From this level on there are artifacts, and nodes fetch their bytes from each other.
pub const ARTIFACTS_LEVEL: u32 = 5;

/// From this level on policies may have filters, by which the twin itself decides who may do what to it; several
/// consumers may share a subscription, whose record says so; and nodes tell each other telemetry as it comes.
pub const POLICY_FILTERS_LEVEL: u32 = 6;

/// The cluster levels that a node's program can run at. A level stands for a set of formats of wire, log,
/// images and settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Formats {
    /// The lowest level.
    pub oldest: u32,
    /// The highest level.
    pub newest: u32,
}

impl Formats {
    /// Those of this program.
    pub const OURS: Self = Self { oldest: 3, newest: 6 };

    /// Whether the program can run in a cluster of this level.
    #[must_use]
    pub const fn hold(self, level: u32) -> bool {
        self.oldest <= level && level <= self.newest
    }
}

impl Default for Formats {
    fn default() -> Self {
        Self::OURS
    }
}

/// What a node says of itself when it comes and whenever it starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Profile {
    /// For people; no two nodes of a cluster have the same.
    pub name: String,
    /// Where it can be reached.
    pub addresses: Addresses,
    /// What placement knows of it.
    pub labels: Labels,
    /// What its program can read and write.
    pub formats: Formats,
    /// Generation of the authority that issued its certificate; 0 before there is one.
    pub authority: u32,
}

impl Profile {
    /// A profile with a name and nothing else.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// What is wrong with it, if anything.
    pub(super) fn fault(&self) -> Option<String> {
        let Labels { zone, weight, .. } = &self.labels;
        if self.name.is_empty() || !printable(&self.name) {
            return Some(format!("a name has 1 to {NAME_BYTES_MAX} printable characters"));
        }
        if !printable(zone) {
            return Some(format!("a zone has at most {NAME_BYTES_MAX} printable characters"));
        }
        if !(1..=WEIGHT_MAX).contains(weight) {
            return Some(format!(
                "weight {weight} should be 1 to {WEIGHT_MAX}; drain a node that should hold nothing"
            ));
        }
        let Addresses { devices, grpc, http, peers } = &self.addresses;
        let bad = [devices, grpc, http, peers].into_iter().find(|address| !reachable(address))?;
        Some(format!(
            "address '{bad}' should be host:port of at most {ADDRESS_BYTES_MAX} characters"
        ))
    }
}

fn printable(text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic())
}

fn reachable(address: &str) -> bool {
    let parts = address.rsplit_once(':');
    let good = |(host, port): (&str, &str)| {
        let port = port.parse::<u16>().is_ok_and(|port| port > 0);
        port && !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic())
    };
    address.is_empty() || address.len() <= ADDRESS_BYTES_MAX && parts.is_some_and(good)
}

/// How a node stands to the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum NodeState {
    /// It takes part.
    #[default]
    Active,
    /// It gives away what it owns and holds, and gets nothing new.
    Draining,
    /// Gone for good; kept so that its disk is recognised.
    Removed,
}

/// A node as the cluster knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Node {
    /// Its disk's random name.
    pub uuid: u128,
    /// The highest start counter seen; 0 before its first start.
    pub starts: u64,
    /// What it said of itself last.
    pub profile: Profile,
    /// How it stands to the cluster.
    pub state: NodeState,
}

impl Node {
    /// Whether it is still of the cluster.
    #[must_use]
    pub fn is_member(&self) -> bool {
        self.state != NodeState::Removed
    }

    /// Takes the node out for good. What only members need is dropped.
    pub(crate) fn remove(&mut self) {
        self.state = NodeState::Removed;
        self.profile = Profile::default();
    }
}
