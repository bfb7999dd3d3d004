//! The names of groups, nodes, places in a log, and leaders. Owns their order; leaves to the
//! consensus library how they come to be.

use std::cmp::Ordering;
use std::fmt;

/// A replicated group of this cluster: 0 is the meta group, `1 + shard` a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

impl GroupId {
    /// The group that holds what the whole cluster agrees on.
    pub const META: Self = Self(0);

    /// The group of a shard.
    #[must_use]
    pub const fn shard(shard: u32) -> Self {
        Self(shard + 1)
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::META { f.write_str("meta") } else { write!(f, "shard {}", self.0 - 1) }
    }
}

/// A node of the cluster. Never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A leader's identity. Compared, never counted: between two epochs any number may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// The term of the election.
    pub term: u64,
    /// The node that was elected.
    pub leader: u64,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.leader)
    }
}

/// A place in a group's log and the leader that wrote it. Ordered by index, then by epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Position {
    /// The term of the leader that wrote the entry.
    pub term: u64,
    /// The node that was this leader.
    pub leader: u64,
    /// The place, from 0.
    pub index: u64,
}

impl Position {
    /// The leader that wrote the entry at this place.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        Epoch { term: self.term, leader: self.leader }
    }
}

impl Ord for Position {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.index, self.epoch()).cmp(&(other.index, other.epoch()))
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.epoch())
    }
}
