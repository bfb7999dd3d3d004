//! What a call can fail with: its kind for programs, the sentence for people, and the node's own word.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use pollux_proto::status;
use pollux_twin::Rejection;
use tonic::Status;

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
struct Inner {
    kind: ErrorKind,
    message: String,
    key: Option<String>,
    status: Option<Status>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What kind of failure it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was asked makes no sense, and nothing was sent.
    Usage,
    /// A node refused, and nothing was done.
    Rejected(Rejection),
    /// No node answered in time. Nothing was to be changed.
    Unreachable,
    /// No answer came in time: the call may have taken effect or not. Repeated with the key that
    /// [`Error::idempotency_key`] tells within five minutes, it takes effect at most once.
    Unknown,
    /// Another consumer has the subscription now, or it was deleted.
    TakenOver,
    /// What came is not what was asked for: it has another length, or another SHA-256.
    Damaged,
    /// What came could not be written to where it was to go.
    Unwritten,
    /// A node, or something else at its address, failed in a way that no rejection stands for.
    Failed,
}

impl Error {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message.into())
    }

    pub(crate) fn unreachable(
        message: String,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        let mut error = Self::new(ErrorKind::Unreachable, message);
        error.0.source = Some(Arc::new(source));
        error
    }

    pub(crate) fn damaged(message: String) -> Self {
        Self::new(ErrorKind::Damaged, message)
    }

    pub(crate) fn unwritten(source: std::io::Error) -> Self {
        let message = format!("what came could not be written: {source}");
        let mut error = Self::new(ErrorKind::Unwritten, message);
        error.0.source = Some(Arc::new(source));
        error
    }

    /// The error of a status.
    pub(crate) fn of(kind: ErrorKind, status: Status) -> Self {
        let message = match status.message() {
            "" => format!("the call failed: {}", status.code()),
            text => text.to_owned(),
        };
        let mut error = Self::new(kind, message);
        error.0.status = Some(status);
        error
    }

    pub(crate) fn with_key(mut self, key: &str) -> Self {
        self.0.key = (!key.is_empty()).then(|| key.to_owned());
        self
    }

    fn new(kind: ErrorKind, message: String) -> Self {
        Self(Box::new(Inner { kind, message, key: None, status: None, source: None }))
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// What a node refused.
    pub fn rejection(&self) -> Option<&Rejection> {
        match self.kind() {
            ErrorKind::Rejected(rejection) => Some(rejection),
            _ => None,
        }
    }

    /// The stable word of a rejection, such as `version_mismatch`.
    pub fn reason(&self) -> Option<&'static str> {
        self.rejection().map(|rejection| status::row(rejection).reason)
    }

    /// When the same call may be accepted without anything else having changed.
    pub fn retry_after(&self) -> Option<Duration> {
        let ms = status::row(self.rejection()?).retry_after_ms?;
        Some(Duration::from_millis(ms.into()))
    }

    /// The key of a write that may have taken effect or not.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// The status that the last attempt ended with, if it came so far.
    pub fn status(&self) -> Option<&Status> {
        self.0.status.as_ref()
    }
}
