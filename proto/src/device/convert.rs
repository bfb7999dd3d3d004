//! Between frames and what a twin takes and tells. Session epochs and addresses are the driver's
//! to give; nothing is decided here.

use pollux_twin::Rejection;
use pollux_twin::input::FromDevice;
use pollux_twin::output::{ByeReason, ToDevice};

use crate::device::frame::{AckResult, Datagram, DeviceFrame, Limits, NodeFrame, Replica};
use crate::limits::{FRAME_BYTES_MAX, RETRY_MS, TEXT_BYTES_MAX};
use crate::status;

/// The reason of the bye that ends a session which a newer one of the same device has taken over:
/// part of `pollux/1`, so that a device knows it when it has several attempts under way.
pub const TAKEN_OVER: &str = "taken over by a newer session";

/// The reason of the bye that ends a connection which another one of the same run of the device has
/// taken over; part of `pollux/1` likewise.
pub const SUPERSEDED: &str = "another connection of this device came";

/// The bye to a device whose credential may not count any more: another owner let it in by it.
const PROVE_AGAIN: &str = "prove yourself again";

/// A frame of a device, by who deals with it.
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    /// For the session: the first frame, or the second.
    Hello(Hello),
    /// For the session, before the hello: relay, if the owner is at one of these addresses.
    Relay {
        /// `host:port` of owners that did not answer.
        unreachable: Vec<String>,
    },
    /// For the twin.
    Message(FromDevice),
    /// For the session: answer with a pong.
    Ping {
        /// To be echoed.
        nonce: u64,
    },
}

/// Who a device says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Tenant; empty for the default one, or for the certificate's.
    pub tenant: String,
    /// Device id.
    pub device: String,
    /// Names the life of the device's counter and queue.
    pub incarnation: u64,
    /// A secret token, if it has no certificate.
    pub token: Option<String>,
}

impl From<DeviceFrame> for Received {
    fn from(frame: DeviceFrame) -> Self {
        Self::Message(match frame {
            DeviceFrame::Hello { tenant, device, incarnation, token } => {
                return Self::Hello(Hello { tenant, device, incarnation, token });
            }
            DeviceFrame::Ping { nonce } => return Self::Ping { nonce },
            DeviceFrame::Relay { unreachable } => return Self::Relay { unreachable },
            DeviceFrame::Report { seq, patch, observed_at } => {
                FromDevice::Report { seq, patch, observed_at }
            }
            DeviceFrame::Telemetry { seq, values, observed_at } => {
                FromDevice::Telemetry { seq: Some(seq), values, observed_at }
            }
            DeviceFrame::DesiredAck { seq, version, refused } => {
                FromDevice::DesiredAck { seq, version, refused }
            }
            DeviceFrame::CommandResult { seq, id, result } => {
                FromDevice::CommandResult { seq, id, result }
            }
            DeviceFrame::CommandUnknown { seq, id } => FromDevice::CommandUnknown { seq, id },
            DeviceFrame::Get => FromDevice::Get,
        })
    }
}

impl Datagram {
    /// The session it belongs to, and what it says to the twin: volatile telemetry.
    pub fn into_message(self) -> (u64, FromDevice) {
        let Self { session, values, observed_at } = self;
        (session, FromDevice::Telemetry { seq: None, values, observed_at })
    }
}

/// What a welcome says beside the twin's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WelcomeTerms {
    /// What the owner accepts.
    pub limits: Limits,
    /// Who may own the shard next, best first.
    pub replicas: Vec<Replica>,
}

impl Default for Limits {
    fn default() -> Self {
        use pollux_twin::limits::{REPORTS_IN_FLIGHT_MAX, SECTION_BYTES_MAX};
        let number = |n: usize| u32::try_from(n).expect("the bounds are small constants");
        Self {
            frame_bytes_max: number(FRAME_BYTES_MAX),
            in_flight_max: number(REPORTS_IN_FLIGHT_MAX),
            section_bytes_max: number(SECTION_BYTES_MAX),
        }
    }
}

impl NodeFrame {
    /// The frame for what a twin tells the device of `session`; only a welcome takes `terms`.
    pub fn from_message(
        session: u64,
        message: ToDevice,
        terms: impl FnOnce() -> WelcomeTerms,
    ) -> Self {
        match message {
            ToDevice::Welcome {
                connection: _,
                last_seq,
                desired_version,
                desired,
                reported_version,
            } => {
                let WelcomeTerms { limits, replicas } = terms();
                Self::Welcome {
                    session,
                    last_seq,
                    desired_version,
                    desired,
                    reported_version,
                    limits,
                    replicas,
                }
            }
            ToDevice::Ack { seq, result } => Self::Ack {
                seq,
                result: match result {
                    Ok(version) => AckResult::Done { version },
                    Err(rejection) => AckResult::Rejected { rejection: plain(rejection) },
                },
            },
            ToDevice::Nack { seq, rejection } => nack(seq, &rejection),
            ToDevice::Desired { version, desired } => Self::Desired { version, desired },
            ToDevice::Command(command) => Self::Command {
                id: command.id,
                name: command.name,
                payload: command.payload,
                deadline: command.deadline,
            },
            ToDevice::AskCommand { id } => Self::CommandStatus { id },
            ToDevice::Refused { connection: _, rejection } => refused(&rejection),
            ToDevice::Bye { reason } => bye(reason),
        }
    }

    /// Whether nothing more comes after it on this connection.
    pub const fn is_last(&self) -> bool {
        matches!(
            self,
            Self::Redirect { .. } | Self::Refused { .. } | Self::Moved { .. } | Self::Bye { .. }
        )
    }
}

/// A rejection as devices of every age know it: one that came up later is the sentence that says it.
fn plain(rejection: Rejection) -> Rejection {
    match rejection {
        Rejection::SchemaViolated(_)
        | Rejection::UnknownType { .. }
        | Rejection::UnknownGroup { .. }
        | Rejection::NotEnrolled { .. } => {
            let sentence = status::message(&rejection);
            let reason = crate::text::head(&sentence, TEXT_BYTES_MAX).to_owned();
            Rejection::Invalid { reason }
        }
        rejection => rejection,
    }
}

fn nack(seq: u64, rejection: &Rejection) -> NodeFrame {
    let (expected, retry_after_ms) = match rejection {
        Rejection::OutOfOrder { expected } => (Some(*expected), 0),
        Rejection::Overloaded { retry_after_ms } => (None, *retry_after_ms),
        _ => (None, RETRY_MS),
    };
    NodeFrame::Nack { seq, expected, retry_after_ms }
}

fn refused(rejection: &Rejection) -> NodeFrame {
    let row = status::row(rejection);
    let message = status::message(rejection);
    NodeFrame::Refused {
        reason: row.refused,
        message: crate::text::head(&message, TEXT_BYTES_MAX).to_owned(),
        retry_after_ms: status::hello_retry_ms(rejection),
    }
}

fn bye(reason: ByeReason) -> NodeFrame {
    // After a take-over by another run of the device or a deletion, coming back at once would undo
    // what someone meant, and after a broken protocol it would break again.
    let (reason, reconnect) = match reason {
        ByeReason::TakenOver => (TAKEN_OVER.to_owned(), false),
        ByeReason::Superseded => (SUPERSEDED.to_owned(), true),
        ByeReason::Deleted => ("the twin was deleted".to_owned(), false),
        ByeReason::Refused(rejection) => {
            // It comes back, and is told when to come again.
            (crate::text::head(&status::message(&rejection), TEXT_BYTES_MAX).to_owned(), true)
        }
        ByeReason::ProveAgain => (PROVE_AGAIN.to_owned(), true),
        ByeReason::Stopping => ("the node stops".to_owned(), true),
        ByeReason::Protocol(text) => (crate::text::head(&text, TEXT_BYTES_MAX).to_owned(), false),
    };
    NodeFrame::Bye { reason, reconnect }
}
