//! A shard's log entries as bytes: one format byte, then rkyv, read back with a bounded depth.

use std::num::NonZeroUsize;

use bytes::Bytes;
use pollux_twin::Entry;
use rkyv::api::{access_with_context, deserialize_using};
use rkyv::de::Pool;
use rkyv::rancor::{Error, Strategy};
use rkyv::validation::Validator;
use rkyv::validation::archive::ArchiveValidator;
use rkyv::validation::shared::SharedValidator;
use thiserror::Error;

use crate::limits::ENTRY_DEPTH_MAX;

/// The format written by this version; older ones would be read beside it.
const FORMAT: u8 = 1;

/// An entry of the log that cannot be read.
#[derive(Debug, Error)]
pub(crate) enum CodecFault {
    /// Written by a newer version.
    #[error("read log entry of format {0}; this version knows format {FORMAT}")]
    Format(u8),
    /// No bytes at all.
    #[error("read log entry: it is empty")]
    Empty,
    /// Not what a node writes.
    #[error("read log entry: {0}")]
    Damaged(Error),
}

/// The entry's bytes.
pub(crate) fn encode(entry: &Entry) -> Bytes {
    let bytes =
        rkyv::to_bytes::<Error>(entry).expect("an entry in memory can be written to memory");
    let mut framed = Vec::with_capacity(bytes.len() + 1);
    framed.extend_from_slice(&bytes);
    // The format byte goes last: rkyv finds its root at the end of the slice before it.
    framed.push(FORMAT);
    framed.into()
}

/// The entry in these bytes.
pub(crate) fn decode(bytes: &[u8]) -> Result<Entry, CodecFault> {
    let (format, body) = bytes.split_last().ok_or(CodecFault::Empty)?;
    if *format != FORMAT {
        return Err(CodecFault::Format(*format));
    }
    let depth = NonZeroUsize::new(ENTRY_DEPTH_MAX);
    let mut validator =
        Validator::new(ArchiveValidator::with_max_depth(body, depth), SharedValidator::new());
    let archived = access_with_context::<rkyv::Archived<Entry>, _, Error>(body, &mut validator)
        .map_err(CodecFault::Damaged)?;
    let mut pool = Pool::new();
    deserialize_using::<Entry, _, Error>(archived, Strategy::<_, Error>::wrap(&mut pool))
        .map_err(CodecFault::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pollux_twin::{Epoch, Time};

    #[test]
    fn entries_come_back_and_damage_is_refused() {
        let entry = Entry::Open {
            epoch: Epoch { term: 3, leader: 1 },
            generation: 7,
            time: Time::from_ms(5),
        };
        let bytes = encode(&entry);
        assert_eq!(decode(&bytes).unwrap(), entry);
        assert!(matches!(decode(&[]), Err(CodecFault::Empty)));
        let mut newer = bytes.to_vec();
        *newer.last_mut().unwrap() = 9;
        assert!(matches!(decode(&newer), Err(CodecFault::Format(9))));
        assert!(matches!(decode(&bytes[bytes.len() - 3..]), Err(CodecFault::Damaged(_))));
    }
}
