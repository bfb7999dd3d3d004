//! What a node says of itself to those who run it: plain data, serialised as it stands.

use serde::{Deserialize, Serialize};

use crate::load::NodeLoad;

/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Whether a node can serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// All shards are open.
    pub ready: bool,
    /// What it still waits for; empty when ready.
    pub waiting_for: Vec<String>,
}

/// A node, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Node id.
    pub node: u64,
    /// The life of the cluster (changes with a forced recovery or a restore).
    pub lineage: u64,
    /// Whether it may own shards: its disk has room, and it does not stop.
    pub may_own: bool,
    /// The version of its program.
    #[serde(default)]
    pub version: String,
    /// Whether it checks what callers of its doors may.
    #[serde(default)]
    pub enforced: bool,
    /// What it does.
    #[serde(default)]
    pub load: NodeLoad,
    /// How many artifacts there are whose bytes it lacks; none of a node that has just started and does not know yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts_missing: Option<u64>,
    /// Its shards.
    pub shards: Vec<ShardStatus>,
    /// The meta group, if this node leads it; of a node that says so to another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<MetaStatus>,
}

/// The meta group, as its leader knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaStatus {
    /// Term of its epoch.
    pub term: u64,
    /// Nodes that vote in it.
    pub voters: Vec<u64>,
    /// Nodes that follow it without a vote.
    pub learners: Vec<u64>,
    /// The voters that a half-done change comes from.
    pub leaving: Vec<u64>,
    /// Entries that each other replica is not known to have.
    pub lags: Vec<(u64, u64)>,
    /// Whether a majority answers.
    #[serde(default)]
    pub answered: bool,
    /// How many entries are committed, once one of its own term is: all that was decided before is among them.
    #[serde(default)]
    pub committed: Option<u64>,
}

/// A shard on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardStatus {
    /// Shard id.
    pub shard: u16,
    /// Whether it serves here.
    pub open: bool,
    /// Term of the owner's epoch.
    pub term: u64,
    /// The owner, as this node knows it; 0 while there is none.
    pub owner: u64,
    /// Nodes that vote on the shard's log.
    pub voters: Vec<u64>,
    /// Nodes that are kept up without a vote.
    pub learners: Vec<u64>,
    /// The voters that a half-done change comes from.
    pub leaving: Vec<u64>,
    /// On the owner: entries that each other replica is not known to have.
    pub lags: Vec<(u64, u64)>,
    /// On the owner: changes a second, lately.
    pub messages_per_s: u64,
    /// Log index applied.
    pub applied: u64,
    /// Log index that the newest checkpoint stands for.
    pub checkpointed: u64,
    /// Twins in the table.
    pub twins: u64,
    /// About what its table takes up in memory.
    #[serde(default)]
    pub bytes: u64,
    /// Bytes of changes and outputs on their way.
    pub gate_bytes: u64,
    /// Twins with a running actor.
    pub active: u64,
}
