//! A node as placement sees it. Owns how many replicas so many nodes can carry.

use crate::meta::{Labels, Meta, NodeState};

/// Whether a node can be counted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may hold and take replicas.
    Fit,
    /// It has been silent for long: what it holds should be elsewhere, if there is an elsewhere.
    Lost,
    /// It must not hold anything any more.
    Leaving,
}

/// A node as placement sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its id.
    pub id: u64,
    /// What its owner said of it.
    pub labels: Labels,
    /// Whether it can be counted on.
    pub standing: Standing,
}

impl Host {
    /// The members of a cluster, in order; `lost` says who has been silent for long.
    pub fn of(meta: &Meta, lost: impl Fn(u64) -> bool) -> Vec<Self> {
        let host = |(id, node): (u64, &crate::meta::Node)| Self {
            id,
            labels: node.profile.labels.clone(),
            standing: match node.state {
                NodeState::Active if lost(id) => Standing::Lost,
                NodeState::Active => Standing::Fit,
                NodeState::Draining | NodeState::Removed => Standing::Leaving,
            },
        };
        meta.members().map(host).collect()
    }
}

/// How many replicas of a kind a group should have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) voters: usize,
    pub(super) learners: usize,
}

impl Shape {
    /// An odd number of voters, and a learner where there is one node more: of two voters both would
    /// have to be there, which is less available than one.
    pub(super) fn for_nodes(nodes: usize, replicas: u32) -> Self {
        let copies = nodes.min(replicas as usize);
        let learners = usize::from(copies > 0 && copies.is_multiple_of(2));
        Self { voters: copies - learners, learners }
    }
}
