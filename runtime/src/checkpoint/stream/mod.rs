//! A shard's whole state as a stream of chunks, from one replica to another: its bytes, pure. Leaves
//! where images come from and go to others (`shard::machine`, `incoming`).
//!
//! A chunk is a format byte, its number, a CRC-32C over all chunks so far, then a piece of the stream of
//! records: a head (what the state stands for), one record an image, an end (count and digest). A record
//! may span chunks. Whatever is damaged, missing, doubled or out of order is found at once by the
//! numbers and the checksum that each chunk inherits, and whatever was left out by the digest.

mod read;
#[cfg(test)]
mod tests;
mod write;

use pollux_cluster::Position;
use pollux_twin::table::{Digest, Fence, Header as TableHeader};
use pollux_twin::{Epoch, ShardId, Time};
pub(crate) use read::{Piece, Reader, StreamFault};
pub(crate) use write::Writer;

use crate::shard::table_index;

/// The only form written and read so far.
const FORMAT: u8 = 1;
/// Format, number, checksum.
const CHUNK_HEAD_BYTES: usize = 1 + 4 + 4;
/// Begins each kind of record.
const HEAD: u8 = b'h';
const IMAGE: u8 = b'i';
const END: u8 = b'e';
/// Bytes of a head after its kind: the shard, then eight numbers.
const HEAD_BYTES: usize = 2 + 8 * 8;
/// Bytes before an image's key and content: kind, length of the key, length of the content.
const IMAGE_HEAD_BYTES: usize = 1 + 2 + 4;
/// Bytes of an end after its kind: count and digest.
const END_BYTES: usize = 2 * 8;

/// What a stream stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) shard: ShardId,
    pub(crate) position: Position,
    pub(crate) fence: Fence,
}

impl Head {
    /// What the table restores itself by.
    pub(crate) const fn table(&self, digest: Digest) -> TableHeader {
        TableHeader { index: table_index(self.position), fence: self.fence, digest }
    }

    fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let Self { shard, position, fence } = self;
        let Fence { epoch, generation, number, time } = fence;
        let numbers = [
            position.term,
            position.leader,
            position.index,
            epoch.term,
            epoch.leader,
            generation,
            number,
            time.ms,
        ];
        let mut bytes = [0; HEAD_BYTES];
        let (first, rest) = bytes.split_at_mut(2);
        first.copy_from_slice(&shard.0.to_le_bytes());
        for (place, number) in rest.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; HEAD_BYTES]) -> Self {
        let (shard, rest) = bytes.split_first_chunk::<2>().expect("a head is longer");
        let mut numbers = rest.as_chunks::<8>().0.iter().map(|number| u64::from_le_bytes(*number));
        let mut next = || numbers.next().expect("a head holds eight numbers");
        let position = Position { term: next(), leader: next(), index: next() };
        let epoch = Epoch { term: next(), leader: next() };
        let (generation, number, time) = (next(), next(), Time::from_ms(next()));
        let fence = Fence { epoch, generation, number, time };
        Self { shard: ShardId(u16::from_le_bytes(*shard)), position, fence }
    }
}

/// The checksum of a chunk, which goes on from that of the one before.
fn checksum(before: u32, number: u32, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(before, &number.to_le_bytes()), body)
}
