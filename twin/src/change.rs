//! What a twin decided: the effect, not the request. The item of a shard's log.
//!
//! The actor and every replica carry a change out with the same function, [`crate::Twin::apply`],
//! which reads no clock, no config and no limit.
#![expect(missing_docs, reason = "rkyv derives resolvers whose fields nobody can document")]

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use rkyv::{Archive, Deserialize, Serialize};

use crate::registration::Registration;
use crate::rejection::Rejection;
use crate::time::Time;
use crate::value::Value;

/// One of the three parts of a document.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
#[rkyv(derive(Debug))]
pub enum Section {
    /// Written by services, never seen by the device.
    Tags,
    /// Written by services, read by the device.
    Desired,
    /// Written by the device, read by services.
    Reported,
}

impl Section {
    /// In the order in which a document has them.
    pub const ALL: [Self; 3] = [Self::Tags, Self::Desired, Self::Reported];

    /// As people and programs write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tags => "tags",
            Self::Desired => "desired",
            Self::Reported => "reported",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.name() == name)
    }
}

/// One decided change of one twin.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Change {
    /// The shard's time when it was decided.
    pub at: Time,
    /// What makes a repetition of the request recognisable.
    pub mark: Mark,
    /// What it does to the twin.
    pub effect: Effect,
}

/// What a change uses up, so that a resend is answered and not applied again.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub enum Mark {
    /// Nothing (decisions of the owner itself, such as an expiry).
    None,
    /// The next number of a session's sequence.
    Sequence {
        /// The number, the last one + 1.
        seq: u64,
        /// If the message was refused, with what (then the effect is [`Effect::None`]).
        rejection: Option<Rejection>,
    },
    /// A service call's idempotency key, remembered for its window.
    Key(KeyMark),
    /// The key that a node made for a call without one: remembered for its window too, or until so many
    /// newer ones of this kind have come.
    EntryKey(KeyMark),
}

impl Mark {
    /// Whether it remembers a refusal that programs which know no device types do not know.
    pub(crate) const fn is_of_types(&self) -> bool {
        match self {
            Self::None => false,
            Self::Sequence { rejection, .. } => match rejection {
                Some(rejection) => rejection.is_of_types(),
                None => false,
            },
            Self::Key(mark) | Self::EntryKey(mark) => match &mark.answer {
                Ok(_) => false,
                Err(rejection) => rejection.is_of_types(),
            },
        }
    }
}

/// A remembered service call.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct KeyMark {
    /// Hash of scope (the caller) and key.
    pub key: u128,
    /// Hash of the request, to refuse the same key with another body.
    pub request: u64,
    /// When it may be forgotten.
    pub expires: Time,
    /// What was answered: the section's (or twin's) version then, or the refusal.
    pub answer: Result<u64, Rejection>,
}

/// What a change does.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub enum Effect {
    /// Nothing beside the mark.
    None,
    /// A section changes; its version and the twin's go up by one.
    Patched {
        /// Which section.
        section: Section,
        /// Merge patch (RFC 7396), or the whole new content if `whole`.
        patch: Value,
        /// Replace rather than merge.
        whole: bool,
        /// The device's own time of observation.
        observed_at: Option<Time>,
        /// Who changed it: `device`, or the service's name.
        by: String,
    },
    /// Latest telemetry values.
    Telemetry {
        /// Name and value of each.
        values: Vec<(String, Value)>,
        /// The device's own time of observation.
        observed_at: Option<Time>,
    },
    /// A session began; the one before it, if any, is over.
    Connected {
        /// Its epoch: the last one + 1.
        session: u64,
        /// Names the life of the device's counter and queue; another one starts the sequence anew.
        incarnation: u64,
        /// On which node.
        node: u64,
    },
    /// The session ended.
    Disconnected {
        /// Which session.
        session: u64,
    },
    /// What the device did with a desired version.
    DesiredAcked {
        /// The version it speaks of.
        version: u64,
        /// If it refused, why.
        refused: Option<String>,
    },
    /// A command was accepted; it is queued.
    CommandQueued(Command),
    /// A command moved on.
    CommandMoved {
        /// Which.
        id: u64,
        /// Where to.
        state: CommandState,
    },
    /// The twin was deleted: content goes, versions, marks and keys stay (safety rule 16).
    Deleted {
        /// Who deleted it.
        by: String,
    },
    /// The registry's entry of the device is another from now on.
    Registered(Box<Registration>),
    /// What is there now is kept beside the twin, so that its deletion, which comes next, can be undone.
    Buried {
        /// Until when.
        until: Time,
    },
    /// What was kept of a deleted twin is gone.
    Forgotten,
}

/// A one-time request to a device.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Command {
    /// Number within the twin, never reused.
    pub id: u64,
    /// What to do, in the device's own words.
    pub name: String,
    /// Arguments.
    pub payload: Value,
    /// When it is no longer worth doing.
    pub deadline: Time,
    /// When it was accepted.
    pub at: Time,
    /// Who asked.
    pub by: String,
    /// Where it stands.
    pub state: CommandState,
}

/// The life of a command: queued → delivering → one of the ends.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub enum CommandState {
    /// Waits for the device to connect.
    Queued,
    /// Logged before it is pushed: from here on it is never pushed again (safety rule 14).
    Delivering {
        /// The session it is pushed in.
        session: u64,
    },
    /// The device did it and answered.
    Done {
        /// The answer.
        answer: Value,
    },
    /// The device refused or failed.
    Failed {
        /// Its reason.
        reason: String,
    },
    /// The deadline passed before delivery.
    Expired,
    /// Withdrawn by a service before delivery.
    Cancelled,
    /// Delivery began and no answer came: it may have been done or not.
    Unknown,
}

impl CommandState {
    /// Whether nothing more can happen to it.
    pub const fn is_over(&self) -> bool {
        !matches!(self, Self::Queued | Self::Delivering { .. })
    }
}
