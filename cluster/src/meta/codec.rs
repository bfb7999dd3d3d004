//! Commands, answers and the image of the meta group as bytes: a version byte, then rkyv. Owns the checks:
//! what is read is validated with a bounded depth, and nothing read can panic. Older versions can be read; what
//! is written is what every node of a cluster at its level can read.

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

use super::answer::Answer;
use super::command::Command;
use super::node::{ARTIFACTS_LEVEL, CONTROL_LEVEL, POLICY_FILTERS_LEVEL};
use super::state::Meta;
use super::{v1, v2, v3, v4};
use crate::access;
use crate::fault::Fault;
use crate::fleet;
use crate::limits::META_BYTES_MAX;

/// Newest version of what is written, in clusters of [`POLICY_FILTERS_LEVEL`]. A further one takes a level of its own
/// (`Formats::OURS`), and is written only in clusters that were raised to it.
const VERSION: u8 = 5;
/// Version of what is written in clusters of [`ARTIFACTS_LEVEL`], and of commands that did not change since.
const VERSION_OF_ARTIFACTS: u8 = 4;
/// Version of what is written in clusters of [`CONTROL_LEVEL`], and of commands that did not change since.
const VERSION_OF_CONTROL: u8 = 3;
/// Version of what is written in clusters of a lower level still, and of what did not change since.
const VERSION_UNTIL_CONTROL: u8 = 2;
/// The oldest version, which can still be read.
const VERSION_BEFORE: u8 = 1;
/// Deepest nesting of any of the types, with room.
const DEPTH_MAX: NonZeroUsize = NonZeroUsize::new(32).expect("32 is not zero");

type Check<'a> = Strategy<Validator<ArchiveValidator<'a>, SharedValidator>, Error>;

/// The version of a record and the rest of it.
fn split(bytes: &[u8]) -> Result<(u8, &[u8]), Fault> {
    if bytes.len() > META_BYTES_MAX {
        let length = bytes.len();
        return Err(malformed(format!("{length} bytes, at most {META_BYTES_MAX}")));
    }
    match bytes.split_first() {
        Some((version, body)) if (VERSION_BEFORE..=VERSION).contains(version) => {
            Ok((*version, body))
        }
        Some((other, _)) => Err(malformed(format!(
            "its version is {other}: should be {VERSION_BEFORE} to {VERSION}"
        ))),
        None => Err(malformed("it is empty".into())),
    }
}

fn malformed(problem: String) -> Fault {
    Fault::Group(format!("malformed record of the meta group: {problem}"))
}

fn decode<T>(body: &[u8]) -> Result<T, Fault>
where
    T: Archive,
    T::Archived: Portable + for<'a> CheckBytes<Check<'a>> + Deserialize<T, HighDeserializer<Error>>,
{
    let archive = ArchiveValidator::with_max_depth(body, Some(DEPTH_MAX));
    let mut validator = Validator::new(archive, SharedValidator::new());
    let archived = access_with_context::<T::Archived, _, Error>(body, &mut validator)
        .map_err(|e| malformed(e.to_string()))?;
    rkyv::deserialize::<T, Error>(archived).map_err(|e| malformed(e.to_string()))
}

fn versioned(version: u8, body: Result<rkyv::util::AlignedVec, Error>) -> Bytes {
    let body = body.expect("values of bounded size in memory can be written to memory");
    let mut out = Vec::with_capacity(body.len() + 1);
    out.push(version);
    out.extend_from_slice(&body);
    Bytes::from(out)
}

impl Command {
    /// The command as an entry of the meta group's log.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        versioned(self.version(), rkyv::to_bytes::<Error>(self))
    }

    /// The lowest version that has it.
    fn version(&self) -> u8 {
        let of = |change: &fleet::Change| match change.is_of_version_4() {
            true => VERSION_OF_ARTIFACTS,
            false => VERSION_OF_CONTROL,
        };
        match self {
            Self::Fleet(change) => of(change),
            Self::Access(order) => match &order.change {
                access::Change::Fleet(change) => of(change),
                access::Change::PutFilteredPolicy(_) => VERSION,
                _ => VERSION_OF_CONTROL,
            },
            _ => VERSION_UNTIL_CONTROL,
        }
    }

    /// The command in an entry.
    ///
    /// # Errors
    /// When the bytes are not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        match split(bytes)? {
            (VERSION_BEFORE, body) => {
                let today = decode::<v1::Command>(body)?.today();
                today.ok_or_else(|| {
                    malformed("no release of its version wrote such a command".into())
                })
            }
            (version, body) => {
                let command: Self = decode(body)?;
                let own = command.version();
                if own > version {
                    return Err(malformed(format!(
                        "a command of version {own} in one of {version}"
                    )));
                }
                Ok(command)
            }
        }
    }
}

impl Answer {
    /// The answer as a state machine gives it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        versioned(VERSION_UNTIL_CONTROL, rkyv::to_bytes::<Error>(self))
    }

    /// The answer in the bytes that [`Proposal::applied`](crate::Proposal::applied) gave.
    ///
    /// # Errors
    /// When the bytes are not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        // Answers are never kept, and have not changed since several nodes give them.
        match split(bytes)? {
            (VERSION_UNTIL_CONTROL, body) => decode(body),
            (other, _) => Err(malformed(format!("an answer of version {other}"))),
        }
    }
}

impl Meta {
    /// The whole state, for a checkpoint or a snapshot.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        if self.level < CONTROL_LEVEL {
            return versioned(VERSION_UNTIL_CONTROL, rkyv::to_bytes::<Error>(&v2::Meta::of(self)));
        }
        if self.level < ARTIFACTS_LEVEL {
            let before = v3::Meta::of(self);
            return versioned(VERSION_OF_CONTROL, rkyv::to_bytes::<Error>(&before));
        }
        if self.level < POLICY_FILTERS_LEVEL {
            let before = v4::Meta::of(self);
            return versioned(VERSION_OF_ARTIFACTS, rkyv::to_bytes::<Error>(&before));
        }
        versioned(VERSION, rkyv::to_bytes::<Error>(self))
    }

    /// The state in such bytes.
    ///
    /// # Errors
    /// When the bytes are not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        match split(bytes)? {
            (VERSION_BEFORE, body) => Ok(decode::<v1::Meta>(body)?.today()),
            (VERSION_UNTIL_CONTROL, body) => Ok(decode::<v2::Meta>(body)?.today()),
            (VERSION_OF_CONTROL, body) => Ok(decode::<v3::Meta>(body)?.today()),
            (VERSION_OF_ARTIFACTS, body) => Ok(decode::<v4::Meta>(body)?.today()),
            (_, body) => decode(body),
        }
    }
}
