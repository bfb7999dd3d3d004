//! Recognises repetitions: a device's by its numbers (safety rule 12), a service's by its idempotency
//! key, or by the one that the node made to which it came (safety rule 15).

use alloc::vec::Vec;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::{Session, Twin};
use crate::change::{KeyMark, Mark};
use crate::input::{CallKey, Request};
use crate::limits::{ENTRY_KEYS_MAX, KEY_WINDOW_MS, KEYS_MAX};
use crate::registration::{Proof, RegistryRequest};
use crate::rejection::Rejection;
use crate::time::Time;
use crate::tree::codec::{write_option, write_str, write_uint, write_value};

/// How a numbered message stands to those before it.
pub(super) enum Number {
    /// The next one: to be decided.
    Next,
    /// Taken before, and then refused if there is a rejection.
    Repeated(Option<Rejection>),
    /// Not the next one: nothing is taken until that one comes.
    Ahead(Rejection),
}

impl Session {
    pub(super) fn number(&self, seq: u64) -> Number {
        let next = self.last_seq.saturating_add(1);
        if seq == next {
            return Number::Next;
        }
        if seq == 0 || seq > next {
            return Number::Ahead(Rejection::OutOfOrder { expected: next });
        }
        let refused = self.refused.iter().find(|(refused, _)| *refused == seq);
        Number::Repeated(refused.map(|(_, rejection)| rejection.clone()))
    }
}

/// A call's idempotency key, if it has one, waiting for the answer to remember.
pub(super) enum Keyed {
    /// It has none.
    Not,
    /// To be remembered for its window, whatever comes of the call.
    Lasting(KeyMark),
    /// To be remembered for a while if the call has an effect: without one it may be decided again.
    Passing(KeyMark),
}

impl Keyed {
    /// The mark of the change that stands for the call.
    pub(super) fn mark(self, answer: Result<u64, Rejection>) -> Mark {
        match self {
            Self::Not => Mark::None,
            Self::Lasting(mark) => Mark::Key(KeyMark { answer, ..mark }),
            Self::Passing(mark) => Mark::EntryKey(KeyMark { answer, ..mark }),
        }
    }

    pub(super) const fn is_lasting(&self) -> bool {
        matches!(self, Self::Lasting(_))
    }
}

/// How a call with a key stands to those before it.
pub(super) enum Recognised {
    /// Not seen before: to be decided.
    New(Keyed),
    /// Answered before, with this.
    Repeated(Result<u64, Rejection>),
    /// Refused without being decided, so not remembered either.
    Refused(Rejection),
}

impl Twin {
    pub(super) fn recognise(
        &self,
        now: Time,
        caller: &str,
        key: Option<&CallKey>,
        request: &Request,
    ) -> Recognised {
        let Some(key) = key else { return Recognised::New(Keyed::Not) };
        let mark = KeyMark {
            key: match key {
                CallKey::Own(text) => key_hash(caller, text),
                CallKey::Entry { id, .. } => *id,
            },
            request: fingerprint(request),
            expires: now.plus_ms(KEY_WINDOW_MS),
            answer: Ok(0),
        };
        let known = match key {
            CallKey::Own(_) => find(&self.keys, now, mark.key),
            CallKey::Entry { .. } => {
                find(&self.entry_keys, now, mark.key).or_else(|| find(&self.keys, now, mark.key))
            }
        };
        match (known, key) {
            (Some(known), _) if known.request == mark.request => {
                Recognised::Repeated(known.answer.clone())
            }
            (Some(_), _) => Recognised::Refused(Rejection::KeyReused),
            (None, CallKey::Own(_)) if self.is_full_of_keys(now) => {
                let first_end = self.keys.iter().map(|mark| mark.expires).filter(|end| *end > now);
                let wait_ms = first_end.min().map_or(0, |end| end.since_ms(now));
                let retry_after_ms = u32::try_from(wait_ms).unwrap_or(u32::MAX);
                Recognised::Refused(Rejection::Overloaded { retry_after_ms })
            }
            (None, CallKey::Own(_)) => Recognised::New(Keyed::Lasting(mark)),
            (None, CallKey::Entry { again: None, .. }) => Recognised::New(Keyed::Passing(mark)),
            (None, CallKey::Entry { again: Some(since), .. })
                if self.may_have_forgotten(now, *since) || self.is_full_of_keys(now) =>
            {
                Recognised::Refused(Rejection::Unknown)
            }
            // The attempt before it may still come: that one must find this mark, however many others
            // come between.
            (None, CallKey::Entry { again: Some(_), .. }) => Recognised::New(Keyed::Lasting(mark)),
        }
    }

    fn is_full_of_keys(&self, now: Time) -> bool {
        self.keys.iter().filter(|mark| mark.expires > now).count() >= KEYS_MAX
    }

    /// Whether the key of a call that was decided at `since` or later may be forgotten within its window.
    /// They go in the order in which they came: none did while there is room, and none that is younger
    /// than one that is there.
    fn may_have_forgotten(&self, now: Time, since: Time) -> bool {
        let oldest = self.entry_keys.first().map(|mark| mark.expires);
        self.entry_keys.len() >= ENTRY_KEYS_MAX
            && oldest.is_some_and(|end| end > now && end >= since.plus_ms(KEY_WINDOW_MS))
    }
}

/// What is remembered under a key.
fn find(marks: &[KeyMark], now: Time, key: u128) -> Option<&KeyMark> {
    marks.iter().find(|mark| mark.key == key && mark.expires > now)
}

fn key_hash(caller: &str, key: &str) -> u128 {
    let mut bytes = Vec::with_capacity(caller.len() + key.len() + 2);
    write_str(&mut bytes, caller);
    write_str(&mut bytes, key);
    xxh3_128(&bytes)
}

/// A hash of what the request asks, the same on every node and in every version.
fn fingerprint(request: &Request) -> u64 {
    let mut bytes = Vec::with_capacity(64);
    match request {
        Request::Get => bytes.push(0),
        Request::Patch { section, patch, whole, expected } => {
            bytes.extend([1, *section as u8, u8::from(*whole)]);
            write_option(&mut bytes, *expected);
            write_value(&mut bytes, patch);
        }
        Request::Delete { expected } => {
            bytes.push(2);
            write_option(&mut bytes, *expected);
        }
        Request::Command { name, payload, deadline_ms, queue, wait } => {
            bytes.extend([3, u8::from(*queue), u8::from(*wait)]);
            write_uint(&mut bytes, *deadline_ms);
            write_str(&mut bytes, name);
            write_value(&mut bytes, payload);
        }
        Request::CancelCommand { id } => {
            bytes.push(4);
            write_uint(&mut bytes, *id);
        }
        Request::GetCommand { id } => {
            bytes.push(5);
            write_uint(&mut bytes, *id);
        }
        Request::Registry(request) => {
            bytes.push(6);
            write_registry(&mut bytes, request);
        }
    }
    xxh3_64(&bytes)
}

fn write_registry(bytes: &mut Vec<u8>, request: &RegistryRequest) {
    match request {
        RegistryRequest::Get => bytes.push(0),
        RegistryRequest::Register { tags, desired, credentials, of_type, groups } => {
            bytes.push(1);
            for patch in [tags, desired] {
                bytes.push(u8::from(patch.is_some()));
                patch.iter().for_each(|patch| write_value(bytes, patch));
            }
            for (name, proof, expires) in credentials {
                write_credential(bytes, name, *proof, *expires);
            }
            if let Some(asked) = of_type {
                bytes.push(8);
                write_str(bytes, &asked.name);
            }
            for group in groups {
                bytes.push(9);
                write_str(bytes, group);
            }
        }
        RegistryRequest::Disable { reason } => {
            bytes.push(2);
            write_str(bytes, reason);
        }
        RegistryRequest::Enable => bytes.push(3),
        RegistryRequest::Give { name, proof, expires } => {
            bytes.push(4);
            write_credential(bytes, name, *proof, *expires);
        }
        RegistryRequest::Revoke { name } => {
            bytes.push(5);
            write_str(bytes, name);
        }
        RegistryRequest::Enrol { enrolment, at, proof, expires, .. } => {
            // What else it says is the enrolment's, and may change between two attempts.
            bytes.push(8);
            write_uint(bytes, at.ms);
            write_credential(bytes, enrolment, *proof, *expires);
        }
        RegistryRequest::Join { group } => {
            bytes.push(6);
            write_str(bytes, group);
        }
        RegistryRequest::Delete { expected } => {
            bytes.push(10);
            write_option(bytes, *expected);
        }
        RegistryRequest::Restore => bytes.push(11),
        RegistryRequest::Leave { group } => {
            bytes.push(7);
            write_str(bytes, group);
        }
    }
}

fn write_credential(bytes: &mut Vec<u8>, name: &str, proof: Proof, expires: Option<Time>) {
    let (kind, digest) = match proof {
        Proof::Token(digest) => (0, digest),
        Proof::Certificate(digest) => (1, digest),
    };
    write_str(bytes, name);
    bytes.push(kind);
    bytes.extend(digest);
    write_option(bytes, expires.map(|end| end.ms));
}
