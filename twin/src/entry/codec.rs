//! An entry as bytes in a shard's log: one version byte, then rkyv.
//!
//! The log has its own checksum; a reader still trusts nothing and validates with a bounded depth
//! (safety rule 26).

use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroUsize;

use rkyv::rancor::Error;
use rkyv::validation::Validator;
use rkyv::validation::archive::ArchiveValidator;
use rkyv::validation::shared::SharedValidator;

use super::{ArchivedEntry, Entry};
use crate::change::{Change, Effect, Mark};
use crate::id::TwinKey;

/// The newest form, of entries with a deletion that can be undone: there are some from level 4 on.
const VERSION: u8 = 4;
/// The form of others with a change of the registry: there are some from level 4 on.
const VERSION_REGISTERED: u8 = 3;
/// The form of others with a key that a node made: there are some from level 3 on.
const VERSION_KEYED: u8 = 2;
/// The form of all others. Each form is the one before with something more that may stand in it.
const VERSION_FIRST: u8 = 1;
/// Nested archived parts: a patch at the greatest depth that is decided, several parts a level.
const DEPTH_MAX: NonZeroUsize = NonZeroUsize::new(160).expect("not zero");

/// Why bytes are not an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryError {
    /// Written by another version of the format; `None` if there is not a single byte.
    Version {
        /// The version byte found.
        found: Option<u8>,
    },
    /// Not written by an owner, or corrupt.
    Content,
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { found: Some(found) } => {
                write!(
                    f,
                    "read entry: format {found}; this version reads formats {VERSION_FIRST} to {VERSION}"
                )
            }
            Self::Version { found: None } => f.write_str("read entry: it is empty"),
            Self::Content => f.write_str("read entry: the content is unsound"),
        }
    }
}

impl core::error::Error for EntryError {}

impl Entry {
    /// The entry as bytes for the log.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        bytes.push(self.version());
        rkyv::api::high::to_bytes_in::<_, Error>(self, bytes)
            .expect("writing to memory does not fail")
    }

    /// The entry of such bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let body = match bytes.split_first() {
            Some((&(VERSION_FIRST..=VERSION), body)) => body,
            other => return Err(EntryError::Version { found: other.map(|(first, _)| *first) }),
        };
        let archive = ArchiveValidator::with_max_depth(body, Some(DEPTH_MAX));
        let mut validator = Validator::new(archive, SharedValidator::new());
        let archived =
            rkyv::api::access_with_context::<ArchivedEntry, _, Error>(body, &mut validator)
                .map_err(|_| EntryError::Content)?;
        if !has_sound_keys(archived) {
            return Err(EntryError::Content);
        }
        rkyv::deserialize::<Self, Error>(archived).map_err(|_| EntryError::Content)
    }

    /// The lowest form that can hold it, so that programs which do not know the newer ones read all else.
    fn version(&self) -> u8 {
        let Self::Batch { changes, .. } = self else { return VERSION_FIRST };
        let of = |(_, change): &(TwinKey, Change)| match change {
            Change { effect: Effect::Buried { .. } | Effect::Forgotten, .. } => VERSION,
            Change { effect: Effect::Registered(_), .. } => VERSION_REGISTERED,
            Change { mark, .. } if mark.is_of_types() => VERSION_REGISTERED,
            Change { mark: Mark::EntryKey(_), .. } => VERSION_KEYED,
            _ => VERSION_FIRST,
        };
        changes.iter().map(of).max().unwrap_or(VERSION_FIRST)
    }
}

/// A key is the one part whose deserialising can fail, and rkyv lets go of the whole list, unfreed,
/// if an item of it does (the fuzzer found that): so they are looked at before.
fn has_sound_keys(entry: &ArchivedEntry) -> bool {
    match entry {
        ArchivedEntry::Open { .. } => true,
        ArchivedEntry::Batch { changes, .. } => {
            changes.iter().all(|change| TwinKey::check(change.0.as_str()).is_ok())
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::vec;

    use super::*;
    use crate::change::{Change, Effect, KeyMark, Section};
    use crate::entry::Epoch;
    use crate::time::Time;
    use crate::value::Value;

    fn batch(depth: usize) -> Entry {
        let mut patch = Value::Int(1);
        for _ in 0..depth {
            patch = Value::Object([("inner".into(), patch)].into());
        }
        let by = "device".into();
        let section = Section::Reported;
        let effect = Effect::Patched { section, patch, whole: false, observed_at: None, by };
        let mark = Mark::Sequence { seq: 3, rejection: None };
        let change = Change { at: Time::from_ms(4), mark, effect };
        Entry::Batch {
            epoch: Epoch { term: 1, leader: 2 },
            generation: 3,
            number: 4,
            time: Time::from_ms(5),
            changes: vec![(TwinKey::parse("tenant/device").unwrap(), change)],
        }
    }

    #[test]
    fn comes_back() {
        let entry = batch(16);
        assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
        let entry = Entry::Open { epoch: Epoch::default(), generation: 1, time: Time::default() };
        assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
    }

    #[test]
    fn a_key_that_a_node_made_takes_the_newer_form() {
        let mut entry = batch(1);
        assert_eq!(entry.encode()[0], VERSION_FIRST);
        let Entry::Batch { changes, .. } = &mut entry else { unreachable!("it is a batch") };
        let expires = Time::from_ms(9);
        changes[0].1.mark = Mark::EntryKey(KeyMark { key: 1, request: 2, expires, answer: Ok(3) });
        let bytes = entry.encode();
        assert_eq!(bytes[0], VERSION_KEYED);
        assert_eq!(Entry::decode(&bytes), Ok(entry));
    }

    #[test]
    fn what_the_registry_does_takes_newer_forms() {
        for (effect, version) in [
            (Effect::Registered(Box::default()), VERSION_REGISTERED),
            (Effect::Buried { until: Time::from_ms(9) }, VERSION),
            (Effect::Forgotten, VERSION),
        ] {
            let mut entry = batch(1);
            let Entry::Batch { changes, .. } = &mut entry else { unreachable!("it is a batch") };
            changes[0].1.effect = effect;
            let bytes = entry.encode();
            assert_eq!(bytes[0], version);
            assert_eq!(Entry::decode(&bytes), Ok(entry));
        }
    }

    #[test]
    fn refuses_what_is_none() {
        assert_eq!(Entry::decode(&[]), Err(EntryError::Version { found: None }));
        assert_eq!(Entry::decode(&[9, 1]), Err(EntryError::Version { found: Some(9) }));
        assert_eq!(Entry::decode(&[1, 1, 2, 3]), Err(EntryError::Content));
        assert_eq!(Entry::decode(&batch(200).encode()), Err(EntryError::Content));
        let bytes = batch(3).encode();
        let key = bytes.windows(6).position(|window| window == b"device").unwrap();
        let mut no_key = bytes.clone();
        no_key[key] = b'+';
        assert_eq!(Entry::decode(&no_key), Err(EntryError::Content));
        for at in 1..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 0x81;
            // Anything may come of it but a panic.
            let _ = Entry::decode(&broken);
            let _ = Entry::decode(&bytes[..at]);
        }
    }
}
