//! How attempts ended that brought no answer.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use pollux_proto::status;
use pollux_twin::Rejection;
use tonic::Status;

/// Counters of them.
#[derive(Debug, Default)]
pub struct Tries {
    /// Nobody listened: the call was never made.
    pub unreachable: AtomicU64,
    /// The node said that it cannot, and that nothing was done.
    pub refused: AtomicU64,
    /// Nobody can tell what was done: the connection broke, the answer was late, or the node said so.
    pub unclear: AtomicU64,
    /// What the last of them said, for people.
    said: Mutex<VecDeque<String>>,
}

/// Texts that are kept: enough to see of what kind they are.
const SAID_MAX: usize = 8;

/// What a failed attempt means for the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// It had no effect.
    NoEffect,
    /// It may have had its effect.
    Unclear,
    /// It is answered: another version was there.
    Mismatch(u64),
    /// It is answered: no twin, or no device.
    NotThere,
}

impl Tries {
    /// Calls that a node failed, in whatever way.
    pub fn failed(&self) -> u64 {
        self.refused.load(Ordering::Relaxed) + self.unclear.load(Ordering::Relaxed)
    }

    pub(super) fn unclear(&self, what: impl fmt::Display) -> Failed {
        self.unclear.fetch_add(1, Ordering::Relaxed);
        self.say(what);
        Failed::Unclear
    }

    pub(super) fn refused(&self, what: impl fmt::Display) -> Failed {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.say(what);
        Failed::NoEffect
    }

    pub(super) fn unreachable(&self) -> Failed {
        self.unreachable.fetch_add(1, Ordering::Relaxed);
        Failed::NoEffect
    }

    fn say(&self, what: impl fmt::Display) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() == SAID_MAX {
            said.pop_front();
        }
        said.push_back(what.to_string());
    }

    /// Judges a status that is no answer.
    pub(super) fn judge(&self, status: &Status) -> Failed {
        match status::from_status(status) {
            Some(Rejection::VersionMismatch { actual, .. }) => Failed::Mismatch(actual),
            Some(Rejection::NotFound | Rejection::DeviceOffline) => Failed::NotThere,
            Some(Rejection::Unknown) => self.unclear(status),
            Some(_) => self.refused(status),
            None if never_sent(status) => self.unreachable(),
            None => self.unclear(format!("{status:?}")),
        }
    }
}

/// Whether it was certainly not sent: there was no connection, or it still waited in this process for its
/// turn when the connection ended.
fn never_sent(status: &Status) -> bool {
    let mut said = Vec::new();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        said.push(error.to_string());
        cause = error.source();
    }
    let said = |words: &str| said.iter().any(|text| text.contains(words));
    said("tcp connect error")
        || said("error trying to connect")
        || (said("operation was canceled") && said("connection closed"))
}
