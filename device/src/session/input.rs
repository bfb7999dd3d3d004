//! What happens to a session and what comes out of it: plain values between machine and driver.

use std::sync::Arc;
use std::time::Duration;

use pollux_proto::device::NodeFrame;
use pollux_twin::{Rejection, Time, Value};

use crate::store::Outcome;

/// What happens to a session. Attempts are named by the number that [`Output::Dial`] gave them.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The connection of an attempt stands, its stream is open.
    Connected {
        /// Which attempt.
        attempt: u64,
        /// Time to the node and back, as the handshake measured it.
        round_trip: Duration,
    },
    /// The connection of an attempt did not come about, or is gone.
    Lost {
        /// Which attempt.
        attempt: u64,
        /// Whose doing it was.
        loss: Loss,
        /// Why, for people.
        reason: Arc<str>,
    },
    /// A frame arrived on the connection of an attempt.
    Frame {
        /// Which attempt.
        attempt: u64,
        /// What the node says.
        frame: NodeFrame,
    },
    /// The application finished a command.
    Finished {
        /// Which command.
        id: u64,
        /// With what.
        outcome: Outcome,
    },
    /// The application asks for desired again.
    Get,
    /// The application drops the connection and comes back after `away_ms`.
    Drop {
        /// How long to stay away.
        away_ms: u64,
    },
    /// The application is done with the device.
    Close,
}

/// What kind of loss it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The way or the node broke: try again soon.
    Broken,
    /// The node has no room for the connection: try again later.
    Overload,
    /// One side sent what the other does not understand: the same may well happen again.
    Protocol,
}

/// What the driver has to carry out, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output<T> {
    /// Connect to `address` and open the stream.
    Dial {
        /// Names the attempt in what follows.
        attempt: u64,
        /// `host:port`.
        address: Arc<str>,
    },
    /// Close the connection of an attempt, or stop dialling it.
    Hangup {
        /// Which attempt.
        attempt: u64,
    },
    /// Tell the application.
    Event(Event<T>),
}

/// What the application is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<T> {
    /// A session is open.
    Online {
        /// Its epoch.
        session: u64,
        /// Version of the reported section as the owner has it.
        reported_version: u64,
    },
    /// The session is over; the device goes on trying.
    Offline {
        /// Why, for people.
        reason: Arc<str>,
    },
    /// A message was acknowledged on another node than the session before was with.
    Rehomed(Rehomed),
    /// The desired section, whole: after the first welcome, and when it changed.
    Desired {
        /// Its version.
        version: u64,
        /// The whole section.
        desired: Value,
    },
    /// Run this command and hand in [`Input::Finished`].
    Command {
        /// Its number within the twin.
        id: u64,
        /// What to do.
        name: String,
        /// Arguments.
        payload: Value,
        /// When it is no longer worth doing, by the owner's clock.
        deadline: Time,
    },
    /// A message is answered for good, and that is durable.
    Answered {
        /// What the application gave with the message.
        token: T,
        /// Version of the reported section after it, or why it was refused.
        result: Result<u64, Rejection>,
    },
    /// The session will not come back: closed by the application or refused for good.
    Ended {
        /// Why, for people.
        reason: Arc<str>,
    },
}

/// A device has a new owner, and that one has taken a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehomed {
    /// From the last that was heard of the old owner (or, if nothing waited for it then, from the
    /// first message after it) to the first acknowledgement of the new one.
    pub took: Duration,
    /// From there to when the device began to look for another owner, or went on to it.
    pub noticed: Duration,
    /// Why the old owner was left.
    pub cause: Cause,
    /// The old owner's address.
    pub from: Arc<str>,
    /// The new owner's address.
    pub to: Arc<str>,
}

/// Why a session went on elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The owner was lost, or silent.
    Lost,
    /// The owner said that the shard has moved.
    Moved,
}

/// How a session has found its way so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// Connections that were begun.
    pub dials: u64,
    /// Redirects that were followed.
    pub redirects: u64,
    /// Moves that were followed.
    pub moves: u64,
    /// Times that the owner was silent for too long.
    pub silences: u64,
}
