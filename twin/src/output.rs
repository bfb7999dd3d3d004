//! What a twin tells the world. Everything but `Change` waits at the gate.
#![expect(missing_docs, reason = "rkyv derives resolvers whose fields nobody can document")]

use alloc::boxed::Box;
use alloc::string::String;

use rkyv::{Archive, Deserialize, Serialize};

use crate::change::{Change, Command, Section};
use crate::input::{CallId, ConnectionId};
use crate::registration::Registration;
use crate::rejection::Rejection;
use crate::value::Value;

/// One output of a [`crate::Twin`], in the order to be carried out.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Into the shard's log; what follows depends on it.
    Change(Change),
    /// To a device.
    Device {
        /// The session's epoch.
        session: u64,
        /// What to tell.
        message: ToDevice,
    },
    /// The answer of a service call.
    Answer {
        /// Which call.
        call: CallId,
        /// What came of it.
        result: Result<Answer, Rejection>,
    },
}

/// What a device is told.
#[derive(Clone, Debug, PartialEq)]
pub enum ToDevice {
    /// The session is open.
    Welcome {
        /// The connection that said hello: from now on it is session `session`.
        connection: ConnectionId,
        /// The last number of this incarnation that was taken; resend from the next one.
        last_seq: u64,
        /// Version of `desired`.
        desired_version: u64,
        /// The whole desired section.
        desired: Value,
        /// Version of `reported`.
        reported_version: u64,
    },
    /// There is no session for this connection.
    Refused {
        /// The connection that said hello.
        connection: ConnectionId,
        /// Why.
        rejection: Rejection,
    },
    /// A numbered message is durable, or refused (which is durable too).
    Ack {
        /// Its number.
        seq: u64,
        /// The reported section's version after it, or the refusal.
        result: Result<u64, Rejection>,
    },
    /// The message with this number was not taken: nothing consumed, resend from `expected`.
    Nack {
        /// Its number.
        seq: u64,
        /// [`Rejection::OutOfOrder`] or [`Rejection::Overloaded`].
        rejection: Rejection,
    },
    /// Desired changed (or was asked for): the whole section, so that only the newest matters.
    Desired {
        /// Its version.
        version: u64,
        /// The whole section.
        desired: Value,
    },
    /// Do this once.
    Command(Box<Command>),
    /// Did you do this command? Asked after a session broke while it was under way.
    AskCommand {
        /// Which.
        id: u64,
    },
    /// This session is over.
    Bye {
        /// Why.
        reason: ByeReason,
    },
}

/// Why a session is ended by its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ByeReason {
    /// A session of another run of the same device took its place: stay away.
    TakenOver,
    /// A session of the same run took its place. If that was only an older attempt to connect whose
    /// hello came late, nobody else holds it: come back.
    Superseded,
    /// The twin was deleted.
    Deleted,
    /// The node stops; come back.
    Stopping,
    /// The device may not have a session any more.
    Refused(Rejection),
    /// What it proved itself by may not count any more: come back and prove it anew.
    ProveAgain,
    /// The device broke the protocol; the text says how.
    Protocol(String),
}

/// A successful answer. Archived where one node passes it on to another.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub enum Answer {
    /// The twin as it is.
    Twin(Box<crate::twin::View>),
    /// A section was written.
    Written {
        /// Which.
        section: Section,
        /// Its version now.
        version: u64,
    },
    /// The twin was deleted; its version now.
    Deleted {
        /// The tombstone's version.
        version: u64,
    },
    /// A command as it stands.
    Command(Box<Command>),
    /// The registry's entry of the device.
    Registration(Box<Registration>),
}
