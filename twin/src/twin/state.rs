//! The parts of a twin's state that the log decides.

use alloc::collections::VecDeque;
use alloc::string::String;

use rkyv::{Archive, Deserialize, Serialize};

use crate::rejection::Rejection;
use crate::time::Time;

/// Whether there is a twin.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Life {
    /// Nobody ever spoke of it.
    #[default]
    Absent,
    /// It is there.
    Alive,
    /// It was deleted; its versions, marks and keys go on (safety rule 16).
    Deleted,
}

/// What the device did with a desired version.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct DesiredAcked {
    /// The version it speaks of.
    pub version: u64,
    /// If it refused, why.
    pub refused: Option<String>,
    /// When it said so.
    pub at: Time,
}

/// The session marks: presence, and which of the device's messages were taken.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default)]
pub(crate) struct Session {
    /// Epoch of the last session; the next one gets one more.
    pub(crate) epoch: u64,
    pub(crate) connected: bool,
    pub(crate) incarnation: u64,
    /// The last number taken in this incarnation.
    pub(crate) last_seq: u64,
    /// Refusals among the last numbers, to be repeated to a resend.
    pub(crate) refused: VecDeque<(u64, Rejection)>,
    pub(crate) node: u64,
    /// When it last began or ended.
    pub(crate) since: Time,
    /// When the device's last message was taken.
    pub(crate) seen: Time,
}

impl Session {
    pub(crate) const fn current(&self) -> Option<u64> {
        if self.connected { Some(self.epoch) } else { None }
    }
}
