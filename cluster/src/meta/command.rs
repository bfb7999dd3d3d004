//! What can be asked of the meta group. Owns the words; what they do is in `rules`. Where time matters it
//! comes in with the command, by the proposing leader's clock.

use rkyv::{Archive, Deserialize, Serialize};

use super::node::{Formats, Profile};
use super::place::Goal;
use super::settings::Budget;
use crate::access::Order;
use crate::fleet;

/// A node without an id, and what lets it in.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Newcomer {
    /// Hash of its token.
    pub token: [u8; 32],
    /// Its disk's random name.
    pub node_uuid: u128,
    /// Fingerprint of its cluster-wide configuration.
    pub fingerprint: u64,
    /// What it says of itself.
    pub profile: Profile,
    /// The time, in milliseconds since 1970.
    pub now_ms: u64,
}

/// A decided wish, an entry of the meta group's log. Repeating one that was done changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Command {
    /// The first command of a cluster: its name, its fixed numbers, and its first node.
    Found {
        /// The cluster's random name.
        cluster: u128,
        /// The number of shards, fixed for good.
        shards: u32,
        /// Fingerprint of the configuration that all nodes must share.
        fingerprint: u64,
        /// The first node's disk.
        node_uuid: u128,
        /// What the first node says of itself.
        profile: Profile,
    },
    /// A token that lets one node in.
    IssueToken {
        /// Its hash.
        hash: [u8; 32],
        /// How long it is worth something.
        ttl_ms: u64,
        /// The time, in milliseconds since 1970.
        now_ms: u64,
    },
    /// A token shall let nobody in any more.
    RevokeToken {
        /// Its hash.
        hash: [u8; 32],
    },
    /// A node without an id asks for one.
    Join(Newcomer),
    /// A new node takes the place of one whose disk is lost. The old id is never used again.
    Replace {
        /// The id of the node that is gone.
        old: u64,
        /// The new one.
        newcomer: Newcomer,
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
        /// What its program can read and write.
        formats: Formats,
    },
    /// A node says what it is like now.
    Advertise {
        /// The node's id.
        node: u64,
        /// Its disk's random name.
        node_uuid: u128,
        /// What it says.
        profile: Profile,
    },
    /// A node shall give away all it owns and holds.
    Drain {
        /// The node's id.
        node: u64,
    },
    /// A draining node shall take part again.
    Undrain {
        /// The node's id.
        node: u64,
    },
    /// A node that holds nothing leaves for good; its id is never given again.
    Remove {
        /// The node's id.
        node: u64,
    },
    /// Where a group is meant to be.
    Place {
        /// The group's number: 0 is the meta group, `1 + shard` a shard.
        group: u32,
        /// Its intended replicas.
        goal: Goal,
    },
    /// A group's replicas are where they are meant to be, and nowhere else.
    Settle {
        /// The group's number.
        group: u32,
        /// The goal that was reached; another one meanwhile is refused.
        goal: Goal,
    },
    /// The balancer shall begin nothing of its own accord.
    Pause,
    /// The balancer shall go on.
    Resume,
    /// How much the balancer may do.
    Budget(Budget),
    /// The configuration that all nodes must share has changed.
    Configure {
        /// Fingerprint of the new one.
        fingerprint: u64,
    },
    /// Every node can run at this level: from now on it may be written.
    Finish {
        /// The new level.
        level: u32,
    },
    /// A further authority whose certificates all nodes accept.
    TrustRoot {
        /// Its generation, one above the newest.
        generation: u32,
        /// Its certificate, in DER.
        certificate: Vec<u8>,
    },
    /// An authority that nobody shall accept any more.
    RetireRoot {
        /// Its generation.
        generation: u32,
    },
    /// History begins anew, after a restore: positions of earlier lineages mean nothing any more.
    RaiseLineage {
        /// The new lineage.
        lineage: u64,
    },
    /// A change of principals, tokens or policies, or something for the audit. Behind a pointer, so that it
    /// leaves the bytes of all others as they were.
    Access(Box<Order>),
    /// Something about devices in general that comes about by itself, and that the audit need not show.
    Fleet(Box<fleet::Change>),
}
