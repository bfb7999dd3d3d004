//! What a service asks of one twin.

use std::time::Duration;

use pollux_twin::TwinKey;
use pollux_twin::input::Request;

/// One service call to one twin.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which twin.
    pub key: TwinKey,
    /// Who asks: shown as the changer, and the scope of the idempotency key.
    pub caller: String,
    /// Makes a retry recognisable.
    pub idempotency_key: Option<String>,
    /// What is asked.
    pub request: Request,
    /// How long the caller waits; after that the answer is
    /// [`Rejection::Unknown`](pollux_twin::Rejection::Unknown) for writes.
    pub timeout: Duration,
}

impl Call {
    /// Whether it changes nothing.
    pub(super) fn is_read(&self) -> bool {
        matches!(self.request, Request::Get | Request::GetCommand { .. })
    }
}
