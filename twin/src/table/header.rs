//! The header of a checkpoint: what its images stand for, as a record of fixed length.

use super::{Digest, Fence};
use crate::entry::Epoch;
use crate::time::Time;

/// The only form written and read so far.
const VERSION: u64 = 1;
/// Numbers in a header: version, checksum, then the fields.
const WORDS: usize = 10;

/// What a checkpoint stands for. The digest is over all its images, not only the new ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The log index up to which all is in.
    pub index: u64,
    /// The log's fence there.
    pub fence: Fence,
    /// Count and digest of all images.
    pub digest: Digest,
}

impl Header {
    /// How long [`Header::to_bytes`] is.
    pub const BYTES: usize = 8 * WORDS;

    /// As bytes, with a version and a checksum.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let Fence { epoch, generation, number, time } = self.fence;
        let Digest { count, sum } = self.digest;
        let fields =
            [self.index, epoch.term, epoch.leader, generation, number, time.ms, count, sum];
        let words = [VERSION, checksum(&fields)].into_iter().chain(fields);
        let mut bytes = [0; Self::BYTES];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Back from [`Header::to_bytes`]; `None` if the bytes are something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let (words, _) = bytes.as_chunks::<8>();
        let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
        let (version, sum) = (words.next()?, words.next()?);
        let fields: [u64; WORDS - 2] = core::array::from_fn(|_| words.next().unwrap_or(0));
        if version != VERSION || sum != checksum(&fields) {
            return None;
        }
        let [index, term, leader, generation, number, ms, count, sum] = fields;
        let epoch = Epoch { term, leader };
        let fence = Fence { epoch, generation, number, time: Time::from_ms(ms) };
        Some(Self { index, fence, digest: Digest { count, sum } })
    }
}

fn checksum(fields: &[u64]) -> u64 {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    for field in fields {
        hash.update(&field.to_le_bytes());
    }
    hash.digest()
}
