//! Where a watch stands, as an opaque text that a caller keeps and hands back.

use std::collections::BTreeMap;
use std::fmt;

use pollux_twin::ShardId;
use pollux_twin::id::SLOTS;
use rkyv::{Archive, Deserialize, Serialize};
use thiserror::Error;

use crate::limits::POSITION_BYTES_MAX;

/// A place in each of some shards' logs, all of one lineage (safety rule 24).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The lineage of the cluster's logs: a position of another lineage means nothing.
    pub lineage: u64,
    /// What was seen last of each shard.
    pub shards: BTreeMap<ShardId, Place>,
}

/// A place in a shard's log.
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
pub struct Place {
    /// The entry's index.
    pub index: u64,
    /// The change's number within the entry.
    pub ordinal: u32,
}

/// A text that is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a position; use one that a watch gave, unchanged")]
pub struct PositionError;

/// What a position begins with: the version of this form.
const MARK: &str = "p1";

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MARK}.{:x}", self.lineage)?;
        for (shard, place) in &self.shards {
            write!(f, ".{:x}-{:x}-{:x}", shard.0, place.index, place.ordinal)?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Position {
    type Err = PositionError;

    /// Reads only what [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, PositionError> {
        let parsed = parse(text).ok_or(PositionError)?;
        if parsed.to_string() == text { Ok(parsed) } else { Err(PositionError) }
    }
}

fn parse(text: &str) -> Option<Position> {
    if text.len() > POSITION_BYTES_MAX {
        return None;
    }
    let mut parts = text.strip_prefix(MARK)?.strip_prefix('.')?.split('.');
    let lineage = u64::from_str_radix(parts.next()?, 16).ok()?;
    let mut shards = BTreeMap::new();
    for part in parts {
        let mut numbers = part.splitn(3, '-');
        let shard = u16::from_str_radix(numbers.next()?, 16).ok().filter(|n| *n < SLOTS)?;
        let index = u64::from_str_radix(numbers.next()?, 16).ok()?;
        let ordinal = u32::from_str_radix(numbers.next()?, 16).ok()?;
        shards.insert(ShardId(shard), Place { index, ordinal });
    }
    Some(Position { lineage, shards })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_into_text_and_back() {
        let place = |index, ordinal| Place { index, ordinal };
        for shards in [
            BTreeMap::new(),
            BTreeMap::from([(ShardId(0), place(1, 0))]),
            BTreeMap::from([(ShardId(0), place(1, 2)), (ShardId(4095), place(u64::MAX, u32::MAX))]),
        ] {
            let position = Position { lineage: 0xfeed, shards };
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        let full = Position {
            lineage: u64::MAX,
            shards: (0..SLOTS).map(|n| (ShardId(n), place(u64::MAX, u32::MAX))).collect(),
        };
        assert_eq!(full.to_string().parse(), Ok(full));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "p1", "p2.0", "p1.", "p1.0.", "p1.0.0-0", "p1.0.1000-0-0", "p1.+1", "p1.00"]
        {
            assert_eq!(text.parse::<Position>(), Err(PositionError), "{text}");
        }
        assert_eq!("p1.0.1-0-0.0-0-0".parse::<Position>(), Err(PositionError), "out of order");
    }
}
