//! What becomes of a group, and why directories cannot be recovered. Owns the sentences that people decide by.

use std::fmt;

use crate::ids::{GroupId, Position};

/// What may be missing from a recovered group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// A majority is there: everything acknowledged is.
    Nothing,
    /// The newest changes, if only lost nodes had them. Versions have to jump, so that none is given
    /// twice.
    Newest {
        /// The voters whose directories are missing.
        missing: Vec<u64>,
    },
    /// No directory holds the group: it begins empty.
    Everything {
        /// The voters whose directories are missing.
        missing: Vec<u64>,
    },
}

/// What becomes of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The group.
    pub group: GroupId,
    /// The node whose log goes on, by its old id.
    pub node: u64,
    /// The last entry of that log; none where nobody holds the group.
    pub last: Option<Position>,
    /// What may be missing.
    pub loss: Loss,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, node, last, loss } = self;
        match (last, loss) {
            (Some(last), Loss::Nothing) => {
                write!(f, "{group}: goes on at {last} of node {node}; nothing is lost")
            }
            (Some(last), Loss::Newest { missing } | Loss::Everything { missing }) => write!(
                f,
                "{group}: goes on at {last} of node {node}; what only {} had is lost",
                Nodes(missing)
            ),
            (None, _) => {
                write!(f, "{group}: no directory holds it; it begins empty on node {node}")
            }
        }
    }
}

struct Nodes<'a>(&'a [u64]);

impl fmt::Display for Nodes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<String> = self.0.iter().map(u64::to_string).collect();
        write!(f, "node{} {}", if nodes.len() == 1 { "" } else { "s" }, nodes.join(", "))
    }
}

/// Why directories cannot be recovered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoverFault {
    /// None was given.
    #[error("no data directory was given: name every one that is left")]
    NoDirectory,
    /// Two belong to different clusters.
    #[error(
        "the directories of nodes {node} and {than} belong to different clusters: leave one out"
    )]
    OtherCluster {
        /// A node of one cluster.
        node: u64,
        /// A node of another.
        than: u64,
    },
    /// One was left behind by an earlier recovery.
    #[error(
        "the directory of node {node} is of lineage {lineage}, others are of {newest_lineage}: leave \
         it out"
    )]
    OldLineage {
        /// The node.
        node: u64,
        /// Its lineage.
        lineage: u64,
        /// The newest one.
        newest_lineage: u64,
    },
    /// Two directories say that they are the same node's.
    #[error("two directories say they are node {0}'s: leave the copy out")]
    Twice(u64),
    /// The cluster never had such a node, as far as the newest of them knows.
    #[error("the cluster knows no node {0}: leave its directory out")]
    UnknownNode(u64),
    /// Nobody knows what the cluster agreed on.
    #[error("no directory knows the cluster's nodes and shards: at least one that does is needed")]
    NoMeta,
}
