//! The frames of `pollux/1`. Their bytes are pinned by golden tests: a change needs a new ALPN name. What
//! is added comes last, and whoever sends it goes on without it where it is refused.
#![expect(
    missing_docs,
    reason = "rkyv derives undocumented variant structs; all of ours have docs"
)]

use pollux_twin::{Rejection, Time, Value};
use rkyv::{Archive, Deserialize, Serialize};

/// What a device sends.
///
/// Numbered frames carry the session's next `seq`, starting at 1 for each incarnation, and are
/// answered by an [`NodeFrame::Ack`] once durable.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub enum DeviceFrame {
    /// The first frame.
    Hello {
        /// Tenant; empty for the default one, or for the certificate's.
        tenant: String,
        /// Device id; must be the certificate's, if there is one.
        device: String,
        /// Names the life of the device's counter and queue (random; a new one only when lost).
        incarnation: u64,
        /// A secret token, for devices without a certificate.
        token: Option<String>,
    },
    /// Merge patch for `reported`.
    Report {
        /// Number.
        seq: u64,
        /// Merge patch (RFC 7396).
        patch: Value,
        /// Device's own time.
        observed_at: Option<Time>,
    },
    /// Latest values, durable.
    Telemetry {
        /// Number.
        seq: u64,
        /// Name and value of each.
        values: Vec<(String, Value)>,
        /// Device's own time.
        observed_at: Option<Time>,
    },
    /// What became of a desired version.
    DesiredAck {
        /// Number.
        seq: u64,
        /// Which version.
        version: u64,
        /// Why refused, if it was.
        refused: Option<String>,
    },
    /// The end of a command.
    CommandResult {
        /// Number.
        seq: u64,
        /// Which.
        id: u64,
        /// Answer, or the reason of the failure.
        result: Result<Value, String>,
    },
    /// Answer to `AskCommand`: never seen, or no longer known.
    CommandUnknown {
        /// Number.
        seq: u64,
        /// Which.
        id: u64,
    },
    /// Send `desired` again.
    Get,
    /// Are you there?
    Ping {
        /// Echoed.
        nonce: u64,
    },
    /// Before the hello: if the owner is to be dialled at one of these addresses, do not redirect but relay.
    /// A node from before this frame refuses it as it does any bytes that are none.
    Relay {
        /// `host:port` of owners that did not answer when they were dialled.
        unreachable: Vec<String>,
    },
}

/// What a node sends.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub enum NodeFrame {
    /// The session is open.
    Welcome {
        /// Session epoch: newer sessions of a device have a higher one.
        session: u64,
        /// Last number of this incarnation that is durable: resend from the next.
        last_seq: u64,
        /// Version of `desired`.
        desired_version: u64,
        /// The whole desired section.
        desired: Value,
        /// Version of `reported`.
        reported_version: u64,
        /// What the owner accepts.
        limits: Limits,
        /// Who may own the shard next, best first; empty with one node.
        replicas: Vec<Replica>,
    },
    /// Another node owns this device's shard.
    Redirect {
        /// `host:port` of its device endpoint.
        address: String,
        /// Shard epoch (term, leader) that says so.
        epoch: (u64, u64),
    },
    /// No session; the connection is closed after this.
    Refused {
        /// Why.
        reason: RefusedReason,
        /// A sentence for people.
        message: String,
        /// When to try again, if it makes sense to.
        retry_after_ms: Option<u32>,
    },
    /// A numbered frame is durable, or refused for good (which is durable too).
    Ack {
        /// Its number.
        seq: u64,
        /// What came of it.
        result: AckResult,
    },
    /// A numbered frame was not taken and its number not used: resend from `expected`.
    Nack {
        /// Its number.
        seq: u64,
        /// First number to resend; `None`: the same, later.
        expected: Option<u64>,
        /// When to resend.
        retry_after_ms: u32,
    },
    /// Desired changed: the whole section.
    Desired {
        /// Its version.
        version: u64,
        /// The whole section.
        desired: Value,
    },
    /// Do this once.
    Command {
        /// Number within the twin.
        id: u64,
        /// What.
        name: String,
        /// Arguments.
        payload: Value,
        /// When it is no longer worth doing.
        deadline: Time,
    },
    /// Did you do this command? Answer with `CommandResult` or `CommandUnknown`.
    CommandStatus {
        /// Which.
        id: u64,
    },
    /// The shard is about to move: connect to `address` beforehand.
    PrepareMove {
        /// `host:port` of the next owner.
        address: String,
    },
    /// The shard has moved: go on at `address`.
    Moved {
        /// `host:port` of the owner.
        address: String,
        /// Its shard epoch (term, leader).
        epoch: (u64, u64),
    },
    /// The session is over.
    Bye {
        /// Why.
        reason: String,
        /// Whether to connect again.
        reconnect: bool,
    },
    /// Here I am.
    Pong {
        /// Echo of the ping's.
        nonce: u64,
    },
}

/// What came of a numbered frame.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub enum AckResult {
    /// Done; the version of `reported` after it.
    Done {
        /// Version.
        version: u64,
    },
    /// Refused; the number is used up.
    Rejected {
        /// Why.
        rejection: Rejection,
    },
}

/// Why a hello is refused.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedReason {
    /// The certificate or token does not stand for this device.
    NotYou,
    /// The device is not registered, or disabled.
    NotAllowed,
    /// The node has no room or is starting; try again after the time given.
    Busy,
    /// The hello itself makes no sense.
    Invalid,
}

/// What an owner accepts from a device.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one frame.
    pub frame_bytes_max: u32,
    /// Numbered frames in flight.
    pub in_flight_max: u32,
    /// Bytes of a section as JSON.
    pub section_bytes_max: u32,
}

/// A node that may own the shard next.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// `host:port` of its device endpoint.
    pub address: String,
}

/// A datagram from a device: volatile telemetry, never acknowledged.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Datagram {
    /// The session it belongs to.
    pub session: u64,
    /// Name and value of each.
    pub values: Vec<(String, Value)>,
    /// Device's own time.
    pub observed_at: Option<Time>,
}
