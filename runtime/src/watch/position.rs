//! The resume token of a watch: the cluster's lineage and a cursor per shard, as URL-safe text.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pollux_twin::ShardId;
use pollux_twin::id::SLOTS;
use thiserror::Error;

use super::ring::Cursor;

/// The token's format.
const FORMAT: u8 = 1;
/// Bytes of one shard's cursor: shard, index, ordinal.
const CURSOR_BYTES: usize = 2 + 8 + 4;

/// Where a watch stands in each of its shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The life of the cluster that the indexes belong to (safety rule 24).
    pub lineage: u64,
    /// Cursor of each shard watched.
    pub cursors: Vec<(ShardId, Cursor)>,
}

/// Why a text is not a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("position is not one that a watch gave; begin without one, or use the last one received")]
pub struct PositionError;

impl Position {
    /// The token for clients.
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(9 + self.cursors.len() * CURSOR_BYTES);
        bytes.push(FORMAT);
        bytes.extend_from_slice(&self.lineage.to_le_bytes());
        for (shard, cursor) in &self.cursors {
            bytes.extend_from_slice(&shard.0.to_le_bytes());
            bytes.extend_from_slice(&cursor.index.to_le_bytes());
            bytes.extend_from_slice(&cursor.ordinal.to_le_bytes());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position in a client's token.
    pub fn parse(text: &str) -> Result<Self, PositionError> {
        let bytes_max = 9 + usize::from(SLOTS) * CURSOR_BYTES;
        if text.len() > bytes_max * 2 {
            return Err(PositionError);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| PositionError)?;
        let (&format, rest) = bytes.split_first().ok_or(PositionError)?;
        let (lineage, rest) = rest.split_first_chunk::<8>().ok_or(PositionError)?;
        if format != FORMAT || rest.len() % CURSOR_BYTES != 0 {
            return Err(PositionError);
        }
        let cursors = rest.chunks_exact(CURSOR_BYTES).map(|chunk| {
            let (shard, rest) = chunk.split_first_chunk::<2>()?;
            let (index, rest) = rest.split_first_chunk::<8>()?;
            let (ordinal, _) = rest.split_first_chunk::<4>()?;
            let cursor =
                Cursor { index: u64::from_le_bytes(*index), ordinal: u32::from_le_bytes(*ordinal) };
            Some((ShardId(u16::from_le_bytes(*shard)), cursor))
        });
        let cursors = cursors.collect::<Option<_>>().ok_or(PositionError)?;
        Ok(Self { lineage: u64::from_le_bytes(*lineage), cursors })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_and_noise_does_not() {
        let cursor = Cursor { index: 77, ordinal: 3 };
        let position =
            Position { lineage: 9, cursors: vec![(ShardId(2), cursor), (ShardId(15), cursor)] };
        assert_eq!(Position::parse(&position.encode()), Ok(position));
        for noise in ["", "AA", "!!", "AQAAAAAAAAAJAgA"] {
            assert_eq!(Position::parse(noise), Err(PositionError), "{noise}");
        }
    }
}
