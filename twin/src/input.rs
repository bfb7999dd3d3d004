//! What can happen to a twin. One file of [`crate::twin`] handles each group.
#![expect(missing_docs, reason = "rkyv derives resolvers whose fields nobody can document")]

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use rkyv::{Archive, Deserialize, Serialize};

use crate::change::Section;
use crate::registration::{RegistryRequest, Shown};
use crate::time::Time;
use crate::value::Value;

/// Names a waiting service call; chosen by the driver, echoed in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Names a connection before it has a session epoch; chosen by the driver, echoed in `Welcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// One input of a [`crate::Twin`].
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A device wants a session. Its certificate, if it showed one, was checked.
    Hello {
        /// The connection that asks.
        connection: ConnectionId,
        /// See [`crate::Effect::Connected`].
        incarnation: u64,
        /// The owner's node.
        node: u64,
        /// What the device proved itself by.
        shown: Shown,
    },
    /// A message of a device in its session.
    Device {
        /// The session's epoch.
        session: u64,
        /// What it says.
        message: FromDevice,
    },
    /// The connection is gone.
    Disconnected {
        /// The session's epoch.
        session: u64,
    },
    /// A service call.
    Call {
        /// To be echoed in the answer.
        call: CallId,
        /// Who asks: a name for `by`, and the scope of its key.
        caller: String,
        /// Makes a retry recognisable.
        key: Option<CallKey>,
        /// What it asks.
        request: Request,
    },
}

/// What makes a retry of a service call recognisable (safety rule 15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallKey {
    /// The caller's own words.
    Own(String),
    /// Made for this one call by the node that it came to, which repeats it where it may.
    Entry {
        /// Not the same for any two calls.
        id: u128,
        /// An attempt before this one may have been carried out, at this time of the shard or later.
        again: Option<Time>,
    },
}

/// What a device says. All but `Get` and volatile telemetry carry the session's next number.
#[derive(Clone, Debug, PartialEq)]
pub enum FromDevice {
    /// Change `reported`.
    Report {
        /// The session's next number.
        seq: u64,
        /// Merge patch.
        patch: Value,
        /// The device's own time.
        observed_at: Option<Time>,
    },
    /// Latest values.
    Telemetry {
        /// The session's next number; `None` for datagrams, which are volatile.
        seq: Option<u64>,
        /// Name and value of each.
        values: Vec<(String, Value)>,
        /// The device's own time.
        observed_at: Option<Time>,
    },
    /// What it did with a desired version.
    DesiredAck {
        /// The session's next number.
        seq: u64,
        /// Which version.
        version: u64,
        /// Why it refused, if it did.
        refused: Option<String>,
    },
    /// The end of a command.
    CommandResult {
        /// The session's next number.
        seq: u64,
        /// Which command.
        id: u64,
        /// Answer, or the reason of the failure.
        result: Result<Value, String>,
    },
    /// Answer to `AskCommand`: the device never saw the command, or does not know any more.
    CommandUnknown {
        /// The session's next number.
        seq: u64,
        /// Which command.
        id: u64,
    },
    /// Asks for its desired section.
    Get,
}

impl FromDevice {
    /// The session's number that it uses up; `None` if it is not acknowledged.
    pub const fn seq(&self) -> Option<u64> {
        match self {
            Self::Report { seq, .. }
            | Self::DesiredAck { seq, .. }
            | Self::CommandResult { seq, .. }
            | Self::CommandUnknown { seq, .. } => Some(*seq),
            Self::Telemetry { seq, .. } => *seq,
            Self::Get => None,
        }
    }

    /// Its kind, as metrics name it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Report { .. } => "report",
            Self::Telemetry { .. } => "telemetry",
            Self::DesiredAck { .. } => "desired_ack",
            Self::CommandResult { .. } => "command_result",
            Self::CommandUnknown { .. } => "command_unknown",
            Self::Get => "get",
        }
    }
}

/// What a service asks. Archived where one node passes it on to another.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub enum Request {
    /// The whole twin.
    Get,
    /// Merge (RFC 7396) into, or replace, tags or desired.
    Patch {
        /// `Tags` or `Desired`; `Reported` is the device's.
        section: Section,
        /// Merge patch or whole content.
        patch: Value,
        /// Replace rather than merge.
        whole: bool,
        /// The version the section must have.
        expected: Option<u64>,
    },
    /// Delete the twin.
    Delete {
        /// The version the twin must have.
        expected: Option<u64>,
    },
    /// Send or queue a command.
    Command {
        /// What to do.
        name: String,
        /// Arguments.
        payload: Value,
        /// How long it is worth doing.
        deadline_ms: u64,
        /// Keep it until the device is there; if not, an offline device is a rejection.
        queue: bool,
        /// Answer only when the command is over, by its answer or by its deadline; otherwise
        /// when it is accepted.
        wait: bool,
    },
    /// Withdraw a queued command.
    CancelCommand {
        /// Which.
        id: u64,
    },
    /// The state of a command.
    GetCommand {
        /// Which.
        id: u64,
    },
    /// Something about the device's entry in the registry.
    Registry(Box<RegistryRequest>),
}

impl Request {
    /// Whether it changes nothing: then it is answered by what is so now, whatever key it has.
    pub fn is_read(&self) -> bool {
        match self {
            Self::Get | Self::GetCommand { .. } => true,
            Self::Registry(request) => **request == RegistryRequest::Get,
            _ => false,
        }
    }
}
