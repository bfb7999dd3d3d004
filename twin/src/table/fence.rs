//! The fence of a shard's log: whose entries take effect, and what came of one.
//!
//! Safety rules 1, 4 and 5: an opening counts if it is above all before it; a batch counts if it is
//! the direct successor within the newest opening. All replicas decide alike, from the log alone.

use crate::entry::Epoch;
use crate::time::Time;

/// How far a shard's log has come: the newest opening and the last batch that took effect in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fence {
    /// Epoch of the newest opening.
    pub epoch: Epoch,
    /// Its generation.
    pub generation: u64,
    /// Number of the last batch in it that took effect; zero for none.
    pub number: u64,
    /// The shard's time: the latest that any entry carried.
    pub time: Time,
}

/// What came of an entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect.
    Took {
        /// The shard's time after it.
        time: Time,
    },
    /// It was not the successor of what came before, or its opening was not the newest: no effect.
    Skipped,
}

impl Outcome {
    /// How long [`Outcome::to_bytes`] is.
    pub const BYTES: usize = 9;

    /// As bytes, for the answer to whoever proposed the entry.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        if let Self::Took { time } = self {
            bytes[0] = 1;
            bytes[1..].copy_from_slice(&time.ms.to_le_bytes());
        }
        bytes
    }

    /// Back from [`Outcome::to_bytes`]; `None` if the bytes are something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let (first, time) = bytes.split_first_chunk::<1>()?;
        match first[0] {
            0 => Some(Self::Skipped),
            1 => {
                Some(Self::Took { time: Time::from_ms(u64::from_le_bytes(time.try_into().ok()?)) })
            }
            _ => None,
        }
    }
}

impl Fence {
    /// Lets an opening through, if it is above the one before.
    pub(super) fn open(&mut self, epoch: Epoch, generation: u64, time: Time) -> Outcome {
        if (epoch, generation) <= (self.epoch, self.generation) {
            return Outcome::Skipped;
        }
        self.time = self.time.max(time);
        *self = Self { epoch, generation, number: 0, time: self.time };
        Outcome::Took { time: self.time }
    }

    /// Lets a batch through, if it is the direct successor in the newest opening.
    pub(super) fn batch(
        &mut self,
        epoch: Epoch,
        generation: u64,
        number: u64,
        time: Time,
    ) -> Outcome {
        let current = (self.epoch, self.generation, self.number.wrapping_add(1));
        if self.generation == 0 || (epoch, generation, number) != current {
            return Outcome::Skipped;
        }
        self.number = number;
        self.time = self.time.max(time);
        Outcome::Took { time: self.time }
    }
}
