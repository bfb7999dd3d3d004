//! Why a twin does not do what a caller asked: the caller's mistakes and refusals, typed.
//!
//! proto/ maps each to a status, a code on the wire and a text, in one table. A rejection changes
//! nothing but, for a numbered report, the mark that its number is used up (safety rule 12).
#![expect(missing_docs, reason = "rkyv derives resolvers whose fields nobody can document")]

use alloc::boxed::Box;
use alloc::string::String;

use rkyv::{Archive, Deserialize, Serialize};

use crate::change::Section;

/// A typed refusal.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// No twin of that name, or it was deleted.
    NotFound,
    /// The section has another version than the caller expected.
    VersionMismatch {
        /// Which section; `None` for the whole twin.
        section: Option<Section>,
        /// Version the caller named.
        expected: u64,
        /// Version there is.
        actual: u64,
    },
    /// A section must be an object.
    NotAnObject,
    /// The section would be larger than allowed.
    TooLarge {
        /// Bytes it would have.
        bytes: u64,
        /// Bytes it may have.
        max: u64,
    },
    /// The value nests deeper than allowed.
    TooDeep {
        /// Depth allowed.
        max: u32,
    },
    /// A key is empty or longer than allowed.
    BadKey {
        /// The key's beginning.
        key: String,
    },
    /// An object or a twin would have more members of a kind than allowed.
    TooMany {
        /// What there are too many of, in the plural.
        what: String,
        /// How many may be.
        max: u32,
    },
    /// An argument has no sense; the text says which and what would be right.
    Invalid {
        /// What was wrong and what would be right.
        reason: String,
    },
    /// The device has no session, and the command was not to be queued.
    DeviceOffline,
    /// No command of that id is known.
    UnknownCommand,
    /// The command is over, so it cannot be cancelled.
    CommandOver,
    /// This idempotency key was used for a request with another body.
    KeyReused,
    /// The sender speaks for a session that is over.
    SessionOver,
    /// The sequence number is not the next one: resend from `expected`.
    OutOfOrder {
        /// The number that would be accepted.
        expected: u64,
    },
    /// Too busy or over a rate; nothing was done and nothing consumed.
    Overloaded {
        /// When to come back.
        retry_after_ms: u32,
    },
    /// Writes are refused for want of disk space; reads go on.
    OutOfSpace,
    /// The twin broke an invariant and is set aside until someone looks.
    Quarantined,
    /// This node does not own the shard now; ask again.
    NotOwner,
    /// The answer did not come in time; the call may or may not have taken effect.
    Unknown,
    /// What this replica has applied is older than a stale read asked for.
    Behind,
    /// The device is not registered, and only those that are may come.
    NotRegistered,
    /// The device is disabled.
    Disabled {
        /// Why, as whoever disabled it said; may be empty.
        reason: String,
    },
    /// What the device showed is no credential of its own.
    BadCredential {
        /// It was one, of this name, and has expired.
        expired: Option<String>,
    },
    /// The device has no credential of this name.
    UnknownCredential {
        /// The name.
        name: String,
    },
    /// The cluster runs at a level that does not have what was asked for.
    LevelTooLow {
        /// The level it runs at.
        level: u32,
        /// The level that has it.
        needed: u32,
    },
    /// The caller did not prove who it is.
    Unauthenticated {
        /// What was wrong and what would be right.
        reason: String,
    },
    /// The caller is known, and may not do that.
    Forbidden {
        /// What it may not do.
        action: String,
        /// To what.
        on: String,
    },
    /// A value is not as the type of the device has it.
    SchemaViolated(Box<Violation>),
    /// There is no device type of this name.
    UnknownType {
        /// The name.
        name: String,
    },
    /// There is no group of this name that devices are put in.
    UnknownGroup {
        /// The name.
        name: String,
    },
    /// An enrolment does not bring the device.
    NotEnrolled {
        /// Why, in a stable word.
        why: String,
    },
    /// A node was not done with its part of a query in time; the same query is not done the next time either.
    TookTooLong {
        /// How long it may take, in milliseconds.
        max_ms: u64,
    },
}

/// Where a value is not as the type of the device has it.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The type.
    pub of_type: String,
    /// The version of it that was asked.
    pub version: u64,
    /// Of what the value is: `desired`, `reported`, `telemetry`, or `command` and its name.
    pub part: String,
    /// Where in the value, as a JSON pointer (RFC 6901).
    pub at: String,
    /// What is wrong there.
    pub wrong: String,
}

impl Rejection {
    /// Whether programs that do not know device types do not know it.
    pub(crate) const fn is_of_types(&self) -> bool {
        matches!(
            self,
            Self::SchemaViolated(_)
                | Self::UnknownType { .. }
                | Self::UnknownGroup { .. }
                | Self::NotEnrolled { .. }
        )
    }
}
