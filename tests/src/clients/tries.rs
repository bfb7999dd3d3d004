//! How attempts ended that brought no answer.

use std::sync::atomic::{AtomicU64, Ordering};

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
}

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

    pub(super) fn unclear(&self) -> Failed {
        self.unclear.fetch_add(1, Ordering::Relaxed);
        Failed::Unclear
    }

    /// Judges a status that is no answer.
    pub(super) fn judge(&self, status: &Status) -> Failed {
        match status::from_status(status) {
            Some(Rejection::VersionMismatch { actual, .. }) => Failed::Mismatch(actual),
            Some(Rejection::NotFound | Rejection::DeviceOffline) => Failed::NotThere,
            Some(Rejection::Unknown) => self.unclear(),
            Some(_) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Failed::NoEffect
            }
            None if never_sent(status) => {
                self.unreachable.fetch_add(1, Ordering::Relaxed);
                Failed::NoEffect
            }
            None => self.unclear(),
        }
    }
}

/// Whether there was no connection to send it on.
fn never_sent(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let said = error.to_string();
        if said.contains("tcp connect error") || said.contains("error trying to connect") {
            return true;
        }
        cause = error.source();
    }
    false
}
