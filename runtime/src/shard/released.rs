//! What the gate releases: a message for a device's outbox, or a waiting caller's answer.

use std::mem::size_of;
use std::sync::Arc;

use pollux_proto::status;
use pollux_twin::output::{Answer, ToDevice};
use pollux_twin::{Rejection, Value};

use super::messages::CallReply;
use crate::limits::VIEW_BYTES;
use crate::metrics::Metrics;
use crate::session::Outbox;

/// An output with the way to its receiver.
#[derive(Debug)]
pub(crate) enum Released {
    /// To the device of a session.
    Device { outbox: Arc<Outbox>, session: u64, message: ToDevice },
    /// To a service caller.
    Answer { reply: CallReply, result: Result<Answer, Rejection> },
}

impl Released {
    /// Hands it to its receiver.
    pub(super) fn deliver(self, metrics: &Metrics) {
        // Those of service calls are counted where the call came in, with those that end earlier.
        if let Self::Device { message: ToDevice::Ack { result: Err(rejection), .. }, .. } = &self {
            metrics.rejections_total.of(status::row(rejection).reason).inc();
        }
        match self {
            Self::Device { outbox, session, message } => outbox.push(session, message),
            // The caller may have given up; the answer is in the twin if it asks again.
            Self::Answer { reply, result } => drop(reply.send(result)),
        }
    }

    /// Whether it only repeats what is in the log, or tells nothing of the twin.
    pub(super) const fn is_repeat(&self) -> bool {
        matches!(self, Self::Device { message: ToDevice::Ack { .. } | ToDevice::Nack { .. }, .. })
    }

    /// About how many bytes it holds while it waits.
    pub(super) fn weigh(&self) -> usize {
        let held = match self {
            Self::Device { message, .. } => match message {
                ToDevice::Welcome { desired, .. } | ToDevice::Desired { desired, .. } => {
                    weigh(desired)
                }
                ToDevice::Command(command) => weigh(&command.payload),
                _ => 0,
            },
            Self::Answer { result, .. } => match result {
                Ok(Answer::Twin(view)) => {
                    VIEW_BYTES
                        + weigh(&view.tags.value)
                        + weigh(&view.desired.value)
                        + weigh(&view.reported.value)
                }
                Ok(Answer::Command(command)) => weigh(&command.payload),
                _ => 0,
            },
        };
        size_of::<Self>() + held
    }
}

/// Depth is bounded where values are read.
pub(crate) fn weigh(value: &Value) -> usize {
    let held = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weigh).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(key, member)| size_of::<String>() + key.len() + weigh(member))
            .sum(),
        _ => 0,
    };
    size_of::<Value>() + held
}
