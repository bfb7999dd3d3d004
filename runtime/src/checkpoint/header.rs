//! What a checkpoint says of itself: its place in the log, the membership there, and what the
//! table's images add up to.

use crate::shard::table_index;
use bytes::Bytes;
use pollux_cluster::Position;
use pollux_twin::table::{self, Digest, Fence};
use pollux_twin::{Epoch, Time};
use rkyv::rancor::Error;
use rkyv::{Archive, Deserialize, Serialize};

/// The header of one shard's checkpoint, flat.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    term: u64,
    leader: u64,
    index: u64,
    membership: Vec<u8>,
    fence_term: u64,
    fence_leader: u64,
    generation: u64,
    number: u64,
    time_ms: u64,
    count: u64,
    sum: u64,
}

impl Header {
    pub(crate) fn new(position: Position, membership: &[u8], table: &table::Header) -> Self {
        assert_eq!(table_index(position), table.index, "a cut and its place are taken together");
        Self {
            term: position.term,
            leader: position.leader,
            index: position.index,
            membership: membership.to_vec(),
            fence_term: table.fence.epoch.term,
            fence_leader: table.fence.epoch.leader,
            generation: table.fence.generation,
            number: table.fence.number,
            time_ms: table.fence.time.ms,
            count: table.digest.count,
            sum: table.digest.sum,
        }
    }

    pub(crate) const fn position(&self) -> Position {
        Position { term: self.term, leader: self.leader, index: self.index }
    }

    pub(crate) fn membership(&self) -> Bytes {
        Bytes::copy_from_slice(&self.membership)
    }

    /// What the table restores itself by.
    pub(crate) const fn table(&self) -> table::Header {
        table::Header {
            index: table_index(self.position()),
            fence: Fence {
                epoch: Epoch { term: self.fence_term, leader: self.fence_leader },
                generation: self.generation,
                number: self.number,
                time: Time::from_ms(self.time_ms),
            },
            digest: Digest { count: self.count, sum: self.sum },
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        rkyv::to_bytes::<Error>(self)
            .expect("a header in memory can be written to memory")
            .into_vec()
    }

    /// The header in these bytes; flat, so there is no depth to bound.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        rkyv::from_bytes::<Self, Error>(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back() {
        let position = Position { term: 1, leader: 2, index: 3 };
        let table = table::Header {
            index: 4,
            fence: Fence { generation: 4, number: 5, ..Fence::default() },
            digest: Digest { count: 6, sum: 7 },
        };
        let header = Header::new(position, b"members", &table);
        let back = Header::decode(&header.encode()).unwrap();
        assert_eq!((back.position(), back.membership()), (position, Bytes::from("members")));
        assert_eq!(back.table(), table);
        assert!(Header::decode(b"noise").is_err());
    }
}
