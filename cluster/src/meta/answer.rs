//! What the meta group answers, and why it refuses. Owns the words and their sentences.

use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};

use crate::ids::GroupId;
use crate::limits::TOKEN_SKEW_MS;

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
    /// No such node.
    UnknownNode,
    /// The node was removed or replaced.
    GoneNode {
        /// Its id.
        node: u64,
    },
    /// The node's id belongs to another disk.
    OtherDisk,
    /// The disk belongs to a node already.
    KnownDisk {
        /// Its id.
        node: u64,
    },
    /// The start counter is not above the highest one seen.
    WentBack {
        /// The highest one seen.
        seen: u64,
    },
    /// The cluster-wide configuration differs from the agreed one.
    OtherConfiguration,
    /// The node's program cannot run at the cluster's level.
    Formats {
        /// The cluster's level, or the one asked for.
        level: u32,
        /// The lowest level the node can run at.
        oldest: u32,
        /// The highest one.
        newest: u32,
        /// The node; 0 when it has no id.
        node: u64,
    },
    /// The level is below the present one.
    BadLevel {
        /// The present one.
        level: u32,
    },
    /// A node of this name is there.
    NameTaken {
        /// Its id.
        node: u64,
    },
    /// Something is out of its range.
    Invalid {
        /// What, and what would be right.
        why: String,
    },
    /// No such token was issued, or it was revoked or has long expired.
    UnknownToken,
    /// The token's time is over, or has not come by the clock of the leader.
    TokenExpired,
    /// The token has let a node in.
    TokenUsed {
        /// The node.
        node: u64,
    },
    /// Too many of something.
    Full {
        /// Of what.
        what: String,
        /// The most there can be.
        most: u64,
    },
    /// The place cannot be.
    BadPlace {
        /// Why, and what would be right.
        why: String,
    },
    /// The group's goal is another one by now.
    OtherGoal,
    /// The node still holds replicas.
    StillPlaced {
        /// The node.
        node: u64,
        /// Groups of which it may hold a replica.
        groups: u32,
        /// The first of them.
        first: u32,
    },
    /// Without the node, groups would have no majority.
    NeededForMajority {
        /// The node.
        node: u64,
        /// How many groups.
        groups: u32,
        /// The first of them.
        first: u32,
    },
    /// No other node could take what the node holds.
    LastNode {
        /// The node.
        node: u64,
    },
    /// An authority cannot come or go like this.
    BadRoot {
        /// Why, and what would be right.
        why: String,
    },
    /// The lineage is not above the present one.
    OldLineage {
        /// The present one.
        lineage: u64,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not a command this release knows"),
            Self::NotFounded => f.write_str("the cluster has not been founded"),
            Self::OtherCluster => f.write_str("the cluster was founded differently"),
            Self::UnknownNode => f.write_str("the cluster has no such node"),
            Self::GoneNode { node } => write!(
                f,
                "node {node} was removed for good: empty its data directory and join it as a new node"
            ),
            Self::OtherDisk => f.write_str(
                "the node's id belongs to another disk: for an emptied disk use \
                 `pollux node join --replace`",
            ),
            Self::KnownDisk { node } => write!(f, "this disk belongs to node {node} already"),
            Self::WentBack { seen } => write!(
                f,
                "the data directory went back in time: the cluster has seen start {seen} of it; \
                 use `pollux node join --replace`"
            ),
            Self::OtherConfiguration => {
                f.write_str("the cluster-wide configuration differs from the agreed one")
            }
            Self::Formats { level, oldest, newest, node } => {
                let who = if *node == 0 { "this program".into() } else { format!("node {node}") };
                write!(
                    f,
                    "level {level}: {who} runs at levels {oldest} to {newest}; upgrade it first"
                )
            }
            Self::BadLevel { level } => write!(f, "the cluster is at level {level} already"),
            Self::NameTaken { node } => write!(f, "node {node} has this name: choose another one"),
            Self::Invalid { why } | Self::BadPlace { why } | Self::BadRoot { why } => {
                f.write_str(why)
            }
            Self::UnknownToken => f.write_str("the cluster issued no such token, or took it back"),
            Self::TokenExpired => write!(
                f,
                "the token has expired, or the clocks of two nodes differ by more than {} s: \
                 issue another one",
                TOKEN_SKEW_MS / 1000
            ),
            Self::TokenUsed { node } => {
                write!(f, "the token has let in node {node}: issue another one")
            }
            Self::Full { what, most } => write!(f, "the cluster can have at most {most} {what}"),
            Self::OtherGoal => f.write_str("the group is meant to be elsewhere by now"),
            Self::StillPlaced { node, groups, first } => write!(
                f,
                "node {node} holds a replica of {}: drain it first, and remove it when it holds none",
                Groups(*groups, *first)
            ),
            Self::NeededForMajority { node, groups, first } => write!(
                f,
                "without node {node} there is no majority of {}: drain it while it runs; if it is \
                 lost, bring other nodes of those groups back, or use cluster recover",
                Groups(*groups, *first)
            ),
            Self::LastNode { node } => write!(
                f,
                "node {node} is the last active node: let another one join or undrain one first"
            ),
            Self::OldLineage { lineage } => {
                write!(f, "the cluster is at lineage {lineage} already")
            }
        }
    }
}

/// How many groups, and one of them by name.
struct Groups(u32, u32);

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(groups, first) = self;
        write!(f, "{}", GroupId(*first))?;
        match groups.saturating_sub(1) {
            0 => Ok(()),
            1 => f.write_str(" and one other group"),
            others => write!(f, " and {others} other groups"),
        }
    }
}
