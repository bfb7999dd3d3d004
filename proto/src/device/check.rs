//! Bounds on the content of frames that their form alone does not ensure. The same check is made
//! before sending and after receiving, so nobody sends what the other side would refuse. Ids,
//! sections and names are the twin's to check: it can answer with a rejection.

use pollux_twin::{Value, limits::ID_BYTES_MAX};

use crate::device::error::FrameError;
use crate::device::frame::{AckResult, Datagram, DeviceFrame, NodeFrame};
use crate::limits::{
    ADDRESS_BYTES_MAX, REPLICAS_MAX, TEXT_BYTES_MAX, TOKEN_BYTES_MAX, UNREACHABLE_MAX,
    VALUE_DEPTH_MAX,
};

/// What can be checked against the wire's bounds.
pub trait Check {
    /// Whether texts, lists, numbers and nesting are within bounds.
    fn check(&self) -> Result<(), FrameError>;
}

impl Check for DeviceFrame {
    fn check(&self) -> Result<(), FrameError> {
        match self {
            Self::Hello { tenant, device, token, .. } => {
                text("tenant", tenant, ID_BYTES_MAX)?;
                text("device", device, ID_BYTES_MAX)?;
                token.as_ref().map_or(Ok(()), |token| text("token", token, TOKEN_BYTES_MAX))
            }
            Self::Report { patch, .. } => value(patch),
            Self::Telemetry { values, .. } => named(values),
            Self::DesiredAck { refused, .. } => {
                refused.as_ref().map_or(Ok(()), |reason| text("reason", reason, TEXT_BYTES_MAX))
            }
            Self::CommandResult { result, .. } => match result {
                Ok(answer) => value(answer),
                Err(reason) => text("reason", reason, TEXT_BYTES_MAX),
            },
            Self::CommandUnknown { .. } | Self::Get | Self::Ping { .. } => Ok(()),
            Self::Relay { unreachable } => {
                if unreachable.len() > UNREACHABLE_MAX {
                    let (items, max) = (unreachable.len(), UNREACHABLE_MAX);
                    return Err(FrameError::TooMany { what: "addresses", items, max });
                }
                unreachable.iter().try_for_each(|one| text("address", one, ADDRESS_BYTES_MAX))
            }
        }
    }
}

impl Check for NodeFrame {
    fn check(&self) -> Result<(), FrameError> {
        match self {
            Self::Welcome { desired, replicas, .. } => {
                if replicas.len() > REPLICAS_MAX {
                    return Err(FrameError::TooMany {
                        what: "replicas",
                        items: replicas.len(),
                        max: REPLICAS_MAX,
                    });
                }
                for replica in replicas {
                    text("address", &replica.address, TEXT_BYTES_MAX)?;
                }
                value(desired)
            }
            Self::Redirect { address, .. }
            | Self::PrepareMove { address }
            | Self::Moved { address, .. } => text("address", address, TEXT_BYTES_MAX),
            Self::Refused { message, .. } => text("message", message, TEXT_BYTES_MAX),
            Self::Desired { desired, .. } => value(desired),
            Self::Command { name, payload, .. } => {
                text("command name", name, TEXT_BYTES_MAX)?;
                value(payload)
            }
            Self::Bye { reason, .. } => text("reason", reason, TEXT_BYTES_MAX),
            Self::Ack { result: AckResult::Done { .. } | AckResult::Rejected { .. }, .. }
            | Self::Nack { .. }
            | Self::CommandStatus { .. }
            | Self::Pong { .. } => Ok(()),
        }
    }
}

impl Check for Datagram {
    fn check(&self) -> Result<(), FrameError> {
        named(&self.values)
    }
}

pub(crate) fn text(what: &'static str, text: &str, max: usize) -> Result<(), FrameError> {
    if text.len() > max {
        return Err(FrameError::TextTooLong { what, bytes: text.len(), max });
    }
    Ok(())
}

fn named(values: &[(String, Value)]) -> Result<(), FrameError> {
    for (name, one) in values {
        text("telemetry name", name, TEXT_BYTES_MAX)?;
        value(one)?;
    }
    Ok(())
}

/// Whether a value's numbers and nesting are within the wire's bounds. Scalars have depth 0.
pub fn value(value: &Value) -> Result<(), FrameError> {
    within(value, VALUE_DEPTH_MAX)
}

fn within(value: &Value, depth_left: usize) -> Result<(), FrameError> {
    let inner = || depth_left.checked_sub(1).ok_or(FrameError::TooDeep { max: VALUE_DEPTH_MAX });
    match value {
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::String(_) => Ok(()),
        Value::Uint(value) if i64::try_from(*value).is_ok() => {
            Err(FrameError::NotCanonical { value: *value })
        }
        Value::Uint(_) => Ok(()),
        Value::Float(number) if number.is_finite() => Ok(()),
        Value::Float(_) => Err(FrameError::NotFinite),
        Value::Array(items) => {
            let depth = inner()?;
            items.iter().try_for_each(|item| within(item, depth))
        }
        Value::Object(members) => {
            let depth = inner()?;
            members.values().try_for_each(|member| within(member, depth))
        }
    }
}
