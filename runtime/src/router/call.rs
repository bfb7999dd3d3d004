//! What a service asks of one twin.

use std::time::Duration;

use pollux_twin::input::{CallKey, Request};
use pollux_twin::{Time, TwinKey};

use crate::limits::UNCLEAR_MAX;

/// One service call to one twin.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which twin.
    pub key: TwinKey,
    /// Who asks: shown as the changer, and the scope of the idempotency key.
    pub caller: String,
    /// Makes a retry recognisable.
    pub idempotency_key: Option<CallKey>,
    /// What is asked.
    pub request: Request,
    /// How long the caller waits; after that the answer is
    /// [`Rejection::Unknown`](pollux_twin::Rejection::Unknown) for writes.
    pub timeout: Duration,
}

impl Call {
    /// Whether it changes nothing.
    pub(crate) fn is_read(&self) -> bool {
        self.request.is_read()
    }

    /// Whether it may be repeated after so many attempts of which nobody can tell what came.
    pub(super) const fn may_repeat(&self, unclear: u32) -> bool {
        match &self.idempotency_key {
            None => false,
            Some(CallKey::Own(_)) => true,
            Some(CallKey::Entry { .. }) => unclear < UNCLEAR_MAX,
        }
    }

    /// An attempt may have been carried out, at this time of the shard or later: the next one says so,
    /// where the twin must know.
    pub(super) fn repeat(&mut self, since: Time) {
        if let Some(CallKey::Entry { again, .. }) = &mut self.idempotency_key {
            *again = Some(since);
        }
    }
}
