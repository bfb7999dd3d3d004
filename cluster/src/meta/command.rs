//! What can be asked of the meta group and what it answers. Owns the words; what they do is in `state`.

use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};

use super::state::Place;

/// A decided wish, an entry of the meta group's log.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Command {
    /// The first command of a cluster: its name, its fixed numbers, and its first node. Repeating
    /// the same one changes nothing.
    Found {
        /// The cluster's random name.
        cluster: u128,
        /// The number of shards, fixed for good.
        shards: u32,
        /// Fingerprint of the configuration that all nodes must share.
        fingerprint: u64,
        /// The first node's disk.
        node_uuid: u128,
    },
    /// A node without an id asks for one.
    Join {
        /// Its disk's random name.
        node_uuid: u128,
        /// Fingerprint of its cluster-wide configuration.
        fingerprint: u64,
    },
    /// A node starts. Refused if its counter does not grow: the disk went back in time.
    Start {
        /// The node's id.
        node: u64,
        /// Its disk's random name.
        node_uuid: u128,
        /// The start counter of its data directory.
        starts: u64,
        /// Fingerprint of its cluster-wide configuration.
        fingerprint: u64,
    },
    /// A node leaves for good; its id is never given again.
    Remove {
        /// The node's id.
        node: u64,
    },
    /// Where a shard is meant to be.
    Place {
        /// The shard.
        shard: u32,
        /// Its intended replicas.
        place: Place,
    },
    /// The configuration that all nodes must share has changed.
    Configure {
        /// Fingerprint of the new one.
        fingerprint: u64,
    },
}

/// The meta group's answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Answer {
    /// It is done, or was done before.
    Done,
    /// The node has this id.
    Node(u64),
    /// Nothing was changed.
    Refused(Refusal),
}

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Refusal {
    /// The bytes are not a command that this release knows.
    Malformed,
    /// The cluster has not been founded.
    NotFounded,
    /// The cluster has been founded differently.
    OtherCluster,
    /// No such node, or it was removed.
    UnknownNode,
    /// The node's id belongs to another disk.
    OtherDisk,
    /// The start counter is not above the highest one seen.
    WentBack {
        /// The highest one seen.
        seen: u64,
    },
    /// The cluster-wide configuration differs from the agreed one.
    OtherConfiguration,
    /// No such shard, or a place without replicas, with unknown ones, or with too many.
    BadPlace,
    /// The node still holds replicas.
    StillPlaced,
    /// A limit of the meta group is reached.
    Full,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not a command this release knows"),
            Self::NotFounded => f.write_str("the cluster has not been founded"),
            Self::OtherCluster => f.write_str("the cluster was founded differently"),
            Self::UnknownNode => f.write_str("the cluster has no such node"),
            Self::OtherDisk => f.write_str("the node's id belongs to another disk"),
            Self::WentBack { seen } => write!(
                f,
                "the data directory went back in time: the cluster has seen start {seen} of it; \
                 use node replace"
            ),
            Self::OtherConfiguration => {
                f.write_str("the cluster-wide configuration differs from the agreed one")
            }
            Self::BadPlace => f.write_str("the place names no replicas, unknown ones or too many"),
            Self::StillPlaced => f.write_str("the node still holds replicas"),
            Self::Full => f.write_str("the cluster has as many nodes as it can have"),
        }
    }
}
