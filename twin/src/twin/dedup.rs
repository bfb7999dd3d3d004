//! Recognises repetitions: a device's by its numbers (safety rule 12), a service's by its
//! idempotency key (safety rule 15).

use alloc::vec::Vec;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::{Session, Twin};
use crate::change::{KeyMark, Mark};
use crate::input::Request;
use crate::limits::{KEY_WINDOW_MS, KEYS_MAX};
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
pub(super) struct Keyed(Option<KeyMark>);

impl Keyed {
    /// The mark of the change that stands for the call.
    pub(super) fn mark(self, answer: Result<u64, Rejection>) -> Mark {
        self.0.map_or(Mark::None, |mark| Mark::Key(KeyMark { answer, ..mark }))
    }

    pub(super) const fn is_some(&self) -> bool {
        self.0.is_some()
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
        key: Option<&str>,
        request: &Request,
    ) -> Recognised {
        let Some(key) = key else { return Recognised::New(Keyed(None)) };
        let key = key_hash(caller, key);
        let request = fingerprint(request);
        let mut live = 0;
        let mut first_end = now;
        for mark in self.keys.iter().filter(|mark| mark.expires > now) {
            if mark.key == key {
                return if mark.request == request {
                    Recognised::Repeated(mark.answer.clone())
                } else {
                    Recognised::Refused(Rejection::KeyReused)
                };
            }
            first_end = if live == 0 { mark.expires } else { first_end.min(mark.expires) };
            live += 1;
        }
        if live >= KEYS_MAX {
            let retry_after_ms = u32::try_from(first_end.since_ms(now)).unwrap_or(u32::MAX);
            return Recognised::Refused(Rejection::Overloaded { retry_after_ms });
        }
        let expires = now.plus_ms(KEY_WINDOW_MS);
        Recognised::New(Keyed(Some(KeyMark { key, request, expires, answer: Ok(0) })))
    }
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
    }
    xxh3_64(&bytes)
}
