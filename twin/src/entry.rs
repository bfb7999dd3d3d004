//! What stands in a shard's log: openings and batches of changes.
#![expect(missing_docs, reason = "rkyv derives resolvers whose fields nobody can document")]

mod codec;

use alloc::vec::Vec;

use rkyv::{Archive, Deserialize, Serialize};

pub use self::codec::EntryError;
use crate::change::Change;
use crate::id::TwinKey;
use crate::time::Time;

/// Who owned a shard: the Raft term and the leader's node. Compared in order, never counted.
#[derive(
    Archive,
    Serialize,
    Deserialize,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
)]
pub struct Epoch {
    /// Raft term.
    pub term: u64,
    /// Node id of the leader in that term.
    pub leader: u64,
}

/// One entry of a shard's log.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub enum Entry {
    /// An owner begins a generation; nothing is served before this is applied (safety rule 4).
    Open {
        /// Its epoch.
        epoch: Epoch,
        /// Generation within the epoch.
        generation: u64,
        /// The shard's time.
        time: Time,
    },
    /// Changes of many twins, in the order decided.
    Batch {
        /// The epoch of the opening it belongs to.
        epoch: Epoch,
        /// The generation of that opening.
        generation: u64,
        /// Running number in the generation, from 1: apply skips what is not the successor.
        number: u64,
        /// The shard's time, never going back.
        time: Time,
        /// Whose change, and the change.
        changes: Vec<(TwinKey, Change)>,
    },
}
