//! What replicas say to each other.

use std::sync::Arc;

use pollux_twin::TwinKey;
use pollux_twin::table::Header;

use crate::world::log::Slot;

/// A place in a log: the term first, as that is how far two logs are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::world) struct Place {
    pub(in crate::world) term: u64,
    pub(in crate::world) index: u64,
}

/// One message; all may be lost, doubled, and come late.
#[derive(Clone, Debug, Hash)]
pub(in crate::world) enum Message {
    /// Would you elect me (`feels`), or: elect me.
    Ask { term: u64, last: Place, feels: bool },
    /// The answer.
    Grant { term: u64, feels: bool, granted: bool },
    /// Entries that follow `prev`; without either it is only heard.
    Append { term: u64, prev: Place, entries: Vec<Slot>, commit: u64, round: u64 },
    /// So much is on disk; or, if it does not fit, no more than this can.
    Appended { term: u64, fits: bool, matched: u64, round: u64 },
    /// A whole state, for one that the log no longer reaches.
    State { term: u64, place: Place, header: [u8; Header::BYTES], images: Images },
    /// Stand for election now: a hand-off.
    Stand { term: u64 },
}

/// Images of a state, as they go over the wire.
pub(in crate::world) type Images = Arc<Vec<(TwinKey, Arc<[u8]>)>>;

impl Message {
    /// The term that it speaks of.
    pub(in crate::world) const fn term(&self) -> u64 {
        match self {
            Self::Ask { term, .. }
            | Self::Grant { term, .. }
            | Self::Append { term, .. }
            | Self::Appended { term, .. }
            | Self::State { term, .. }
            | Self::Stand { term } => *term,
        }
    }
}
