//! The parts of a twin's state that the log decides.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;

use rkyv::{Archive, Deserialize, Serialize};

use crate::change::Section;
use crate::rejection::Rejection;
use crate::time::Time;
use crate::tree::Tree;
use crate::value::Value;

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

/// The three sections and the latest telemetry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Document {
    pub(crate) tags: SectionState,
    pub(crate) desired: SectionState,
    pub(crate) reported: SectionState,
    pub(crate) telemetry: BTreeMap<String, Latest>,
}

impl Document {
    pub(crate) const fn section(&self, section: Section) -> &SectionState {
        match section {
            Section::Tags => &self.tags,
            Section::Desired => &self.desired,
            Section::Reported => &self.reported,
        }
    }

    pub(crate) const fn section_mut(&mut self, section: Section) -> &mut SectionState {
        match section {
            Section::Tags => &mut self.tags,
            Section::Desired => &mut self.desired,
            Section::Reported => &mut self.reported,
        }
    }
}

/// One section.
#[derive(Clone, Debug, Default)]
pub(crate) struct SectionState {
    /// Goes up by one with each accepted change; never back, not even by a deletion.
    pub(crate) version: u64,
    pub(crate) at: Time,
    pub(crate) by: String,
    pub(crate) tree: Tree,
}

/// The latest value of one telemetry name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Latest {
    pub(crate) value: Value,
    pub(crate) at: Time,
    pub(crate) observed_at: Option<Time>,
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
