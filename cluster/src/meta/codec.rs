//! Commands, answers and the image of the meta group as bytes: a version byte, then rkyv. Owns the checks:
//! what is read is validated with a bounded depth, and nothing read can panic.

use std::num::NonZeroUsize;

use bytes::Bytes;
use rkyv::api::access_with_context;
use rkyv::api::high::HighDeserializer;
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::{Error, Strategy};
use rkyv::validation::Validator;
use rkyv::validation::archive::ArchiveValidator;
use rkyv::validation::shared::SharedValidator;
use rkyv::{Archive, Deserialize, Portable};

use super::command::{Answer, Command};
use super::state::Meta;
use crate::fault::Fault;
use crate::limits::META_BYTES_MAX;

/// Version of everything below.
const VERSION: u8 = 1;
/// Deepest nesting of any of the types, with room.
const DEPTH_MAX: NonZeroUsize = NonZeroUsize::new(32).expect("32 is not zero");

type Check<'a> = Strategy<Validator<ArchiveValidator<'a>, SharedValidator>, Error>;

fn decode<T>(bytes: &[u8]) -> Result<T, Fault>
where
    T: Archive,
    T::Archived: Portable + for<'a> CheckBytes<Check<'a>> + Deserialize<T, HighDeserializer<Error>>,
{
    let malformed = |e: String| Fault::Group(format!("malformed record of the meta group: {e}"));
    if bytes.len() > META_BYTES_MAX {
        return Err(malformed(format!("{} bytes, at most {META_BYTES_MAX}", bytes.len())));
    }
    let Some((&VERSION, body)) = bytes.split_first() else {
        return Err(malformed(format!("its version should be {VERSION}")));
    };
    let archive = ArchiveValidator::with_max_depth(body, Some(DEPTH_MAX));
    let mut validator = Validator::new(archive, SharedValidator::new());
    let archived = access_with_context::<T::Archived, _, Error>(body, &mut validator)
        .map_err(|e| malformed(e.to_string()))?;
    rkyv::deserialize::<T, Error>(archived).map_err(|e| malformed(e.to_string()))
}

fn versioned(body: Result<rkyv::util::AlignedVec, Error>) -> Bytes {
    let body = body.expect("values of bounded size in memory can be written to memory");
    let mut out = Vec::with_capacity(body.len() + 1);
    out.push(VERSION);
    out.extend_from_slice(&body);
    Bytes::from(out)
}

impl Command {
    /// The command as an entry of the meta group's log.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        versioned(rkyv::to_bytes::<Error>(self))
    }

    /// The command in an entry.
    ///
    /// # Errors
    /// When the bytes are not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        decode(bytes)
    }
}

impl Answer {
    /// The answer as a state machine gives it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        versioned(rkyv::to_bytes::<Error>(self))
    }

    /// The answer in the bytes that [`Proposal::applied`](crate::Proposal::applied) gave.
    ///
    /// # Errors
    /// When the bytes are not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        decode(bytes)
    }
}

impl Meta {
    /// The whole state, for a checkpoint or a snapshot.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        versioned(rkyv::to_bytes::<Error>(self))
    }

    /// The state in such bytes.
    ///
    /// # Errors
    /// When the bytes are not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        decode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::{Place, Refusal};

    #[test]
    fn bytes_come_back_and_garbage_is_refused() {
        let place = Place { replicas: vec![1, 2, 3] };
        let command = Command::Place { shard: 7, place };
        let bytes = command.encode();
        assert_eq!(Command::decode(&bytes).unwrap(), command);
        // Unaligned on purpose: entries lie where the log puts them.
        let shifted = [&[0][..], &bytes].concat();
        assert_eq!(Command::decode(&shifted[1..]).unwrap(), command);
        for end in 0..bytes.len() {
            let _ = Command::decode(&bytes[..end]);
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.to_vec();
            bad[at] ^= 0xff;
            let _ = Command::decode(&bad);
        }
        Command::decode(&[2, 0, 0]).unwrap_err();
        let answer = Answer::Refused(Refusal::WentBack { seen: 3 });
        assert_eq!(Answer::decode(&answer.encode()).unwrap(), answer);
        let mut meta = Meta::default();
        meta.apply(Command::Found { cluster: 1, shards: 16, fingerprint: 2, node_uuid: 3 });
        assert_eq!(Meta::decode(&meta.encode()).unwrap(), meta);
    }
}
