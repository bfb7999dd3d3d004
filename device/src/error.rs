//! What can go wrong for an application that uses the SDK.

use std::sync::Arc;

use pollux_proto::device::FrameError;
use pollux_twin::Rejection;

use crate::limits::QUEUE_LEN_MAX;

/// A message was not queued: nothing was sent, nothing consumed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueueError {
    /// The offline queue is at its bounds; wait for acknowledgements or drop the message.
    #[error(
        "the queue is full: {len} messages of {bytes} bytes wait for their acknowledgement \
         (the default bound is {QUEUE_LEN_MAX} messages)"
    )]
    Full {
        /// Messages in the queue.
        len: usize,
        /// Bytes of them.
        bytes: usize,
    },
    /// No owner would take the message; it says why.
    #[error("the message is not sendable: {0}")]
    Unsendable(#[from] FrameError),
    /// The durable queue could not keep it.
    #[error("the queue store failed: {0}")]
    Store(Arc<std::io::Error>),
    /// The device was closed, or a node refused it for good.
    #[error("the device is closed: {0}")]
    Closed(Arc<str>),
}

/// A call of the SDK failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// Not queued.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The owner refused the message for good; its number is used up and the refusal durable.
    #[error("the owner rejected the message: {0:?}")]
    Rejected(Rejection),
    /// The device was closed, or a node refused it for good. What was not acknowledged may or may
    /// not have taken effect.
    #[error("the device is closed: {0}")]
    Closed(Arc<str>),
    /// Certificates or keys do not make an identity.
    #[error("the identity is not usable: {0}")]
    Identity(String),
    /// An option makes no sense.
    #[error("the option is not usable: {0}")]
    Options(String),
    /// The UDP socket could not be opened.
    #[error("the socket could not be opened: {0}")]
    Socket(Arc<std::io::Error>),
    /// There is no session, or the connection takes no datagrams or none of this size.
    #[error("the datagram was not sent: {0}")]
    Datagram(&'static str),
}

/// An artifact did not come.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DownloadError {
    /// There is none of that name and version in the device's tenant.
    #[error("the node has no such artifact: {message}")]
    NotFound {
        /// What the node says.
        message: String,
    },
    /// It is there with another SHA-256 than was asked for.
    #[error("the artifact is another one: {message}")]
    OtherContent {
        /// What the node says.
        message: String,
    },
    /// What came is not what it should be, twice; nothing of it is kept.
    #[error("what came has SHA-256 {actual}, and {expected} was expected")]
    WrongDigest {
        /// What it should be.
        expected: String,
        /// What it is.
        actual: String,
    },
    /// Keys were given, and it is not signed.
    #[error("the artifact is not signed, and only signed ones are taken")]
    Unsigned,
    /// It is signed by none of the keys that were given.
    #[error(
        "the signature by key {key:?} is of none of the keys that are trusted here, or of another artifact"
    )]
    WrongSignature {
        /// The key that it says it is signed by.
        key: String,
    },
    /// The file could not be written.
    #[error("the file could not be written: {0}")]
    Disk(Arc<std::io::Error>),
    /// The node is of a release before artifacts.
    #[error(
        "the node does not give artifacts: it speaks pollux/1, and this takes pollux/2; upgrade it"
    )]
    Unsupported,
    /// What the node says is not of the protocol.
    #[error("the node broke the protocol: {message}")]
    Protocol {
        /// How.
        message: String,
    },
    /// The device was closed, or a node refused it for good.
    #[error("the device is closed: {0}")]
    Closed(Arc<str>),
}

/// A device did not enrol: no node gave it a credential.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EnrolError {
    /// The enrolment gives it nothing; asking again makes sense when something was changed.
    #[error("{message}")]
    Refused {
        /// The word for machines, such as `wrong_proof` or `exhausted`; see `docs/provisioning.md`.
        why: Option<String>,
        /// What the node says.
        message: String,
    },
    /// No node has time for it now.
    #[error("no node gives credentials now: {message}")]
    Busy {
        /// What the last node says.
        message: String,
        /// When to ask again.
        retry_after_ms: u64,
    },
    /// No node was reached, or none answered: whether one gave something is unknown, and asking again is safe.
    #[error("no node answered: {message}")]
    Unreachable {
        /// What was tried last, and how it ended.
        message: String,
    },
    /// The nodes are of a release before this.
    #[error("node {address} does not speak pollux-enrol/1: upgrade it, or enrol over HTTP or gRPC")]
    Unsupported {
        /// Which.
        address: String,
    },
    /// What the node says is not of the protocol.
    #[error("the node broke the protocol: {message}")]
    Protocol {
        /// How.
        message: String,
    },
    /// What was asked cannot be sent.
    #[error(transparent)]
    Options(#[from] Fault),
}
