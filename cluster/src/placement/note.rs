//! Why placement could not do better. Owns the sentences that `status` shows.

use std::collections::BTreeSet;
use std::fmt;

use super::board::Board;
use super::host::Standing;

/// Why placement could not do better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// There is no node that could take a replica.
    NoNode,
    /// There are fewer nodes than a shard should have replicas.
    FewNodes {
        /// Nodes that can hold replicas.
        nodes: usize,
        /// Replicas a shard should have.
        replicas: u32,
    },
    /// A lost node's replicas have nowhere to go.
    NoSpare {
        /// The lost node.
        node: u64,
        /// Shards of which it holds a replica.
        shards: usize,
    },
    /// A draining node keeps replicas while another node is lost.
    Stays {
        /// The draining node.
        node: u64,
        /// Shards of which it holds a replica.
        shards: usize,
    },
    /// Nodes are labelled with fewer zones than a shard should have replicas.
    FewZones {
        /// Zones that can hold replicas.
        zones: usize,
        /// Replicas a shard should have.
        replicas: u32,
    },
    /// A node holds more than its weight says, because its zone has no other for it.
    Crowded {
        /// The node.
        node: u64,
        /// Replicas on it.
        held: usize,
        /// Replicas that its weight would give it.
        share: usize,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNode => f.write_str("no node can take a replica: let one join, or undrain one"),
            Self::FewNodes { nodes: 1, .. } => f.write_str(
                "one node: each shard has one replica, and is gone while the node is; let two more \
                 join",
            ),
            Self::FewNodes { nodes: 2, .. } => f.write_str(
                "two nodes: each shard has one voter and one learner, because two voters would stand \
                 still when either is gone; a third node makes it three voters",
            ),
            Self::FewNodes { nodes, replicas } => write!(
                f,
                "{nodes} nodes cannot carry {replicas} replicas of a shard; let {} more join",
                (*replicas as usize).saturating_sub(*nodes)
            ),
            Self::NoSpare { node, shards } => write!(
                f,
                "node {node} is silent, and no other node can take its replicas of {shards} shards; \
                 bring it back, replace it, or let another node join"
            ),
            Self::Stays { node, shards } => write!(
                f,
                "node {node} keeps its replicas of {shards} shards while another node is lost; bring \
                 that one back, remove it, or let another node join"
            ),
            Self::FewZones { zones, replicas } => write!(
                f,
                "{zones} zones for {replicas} replicas: losing one zone can cost a shard its \
                 majority; nodes in another zone would prevent that"
            ),
            Self::Crowded { node, held, share } => write!(
                f,
                "node {node} holds {held} replicas where its weight says {share}: its zone has too \
                 few nodes"
            ),
        }
    }
}

/// A node may hold this many percent of its share before it is worth a word.
const CROWDED_PERCENT: usize = 125;

/// What can be said of a finished board.
pub(super) fn notes(board: &Board<'_>) -> Vec<Note> {
    let mut notes = Vec::new();
    let usable = board.usable();
    let replicas = board.replicas;
    if usable == 0 {
        return vec![Note::NoNode];
    }
    if usable < replicas as usize {
        notes.push(Note::FewNodes { nodes: usable, replicas });
    }
    for (at, host) in board.hosts.iter().enumerate() {
        let shards = board.held(at);
        if host.standing == Standing::Lost && shards > 0 {
            notes.push(Note::NoSpare { node: host.id, shards });
        }
        if host.standing == Standing::Leaving && shards > 0 {
            notes.push(Note::Stays { node: host.id, shards });
        }
    }
    let fit = || board.hosts.iter().filter(|host| host.standing == Standing::Fit);
    let zones: BTreeSet<&str> = fit().map(|host| host.labels.zone.as_str()).collect();
    let labelled = zones.iter().any(|zone| !zone.is_empty());
    if labelled && zones.len() < (replicas as usize).min(usable) {
        notes.push(Note::FewZones { zones: zones.len(), replicas });
    }
    let copies: usize = (0..board.hosts.len()).map(|at| board.held(at)).sum();
    let weights: usize = fit().map(|host| host.labels.weight as usize).sum();
    for (at, host) in board.hosts.iter().enumerate().filter(|(_, h)| h.standing == Standing::Fit) {
        let share = (copies * host.labels.weight as usize / weights.max(1)).min(board.shards());
        let held = board.held(at);
        if labelled && held * 100 > share * CROWDED_PERCENT + 100 {
            notes.push(Note::Crowded { node: host.id, held, share });
        }
    }
    notes
}
