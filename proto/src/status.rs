//! The one table that says what a rejection is outside: the gRPC code, the HTTP status, the stable
//! word for machines, what a device is told, and when to come back. The sentence for people is in
//! `text`, the fields for machines in `detail`.

mod detail;
mod grpc;
mod text;

pub use detail::{from_value, to_value};
pub use grpc::{REJECTION_HEADER, from_status, to_status};
pub use text::message;

use pollux_twin::Rejection;
use tonic::Code;

use crate::device::{CloseCode, RefusedReason};
use crate::limits::{RETRY_OWNER_MS, RETRY_REGISTRY_MS, RETRY_SPACE_MS};

/// What a rejection is outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The stable word for machines.
    pub reason: &'static str,
    /// The code of a gRPC status.
    pub grpc: Code,
    /// The status of an HTTP answer.
    pub http: u16,
    /// What a device is told if this is the answer to its hello.
    pub refused: RefusedReason,
    /// What its connection is closed with then.
    pub close: CloseCode,
    /// When coming back makes sense without anything else having changed.
    pub retry_after_ms: Option<u32>,
}

/// The row of a rejection.
pub const fn row(rejection: &Rejection) -> Row {
    use Rejection as R;
    match rejection {
        R::NotFound => lasting("not_found", Code::NotFound, 404),
        R::VersionMismatch { .. } => lasting("version_mismatch", Code::Aborted, 412),
        R::NotAnObject => lasting("not_an_object", Code::InvalidArgument, 400),
        R::TooLarge { .. } => lasting("too_large", Code::InvalidArgument, 413),
        R::TooDeep { .. } => lasting("too_deep", Code::InvalidArgument, 400),
        R::BadKey { .. } => lasting("bad_key", Code::InvalidArgument, 400),
        R::TooMany { .. } => lasting("too_many", Code::ResourceExhausted, 422),
        R::Invalid { .. } => lasting("invalid", Code::InvalidArgument, 400),
        R::DeviceOffline => lasting("device_offline", Code::FailedPrecondition, 409),
        R::UnknownCommand => lasting("unknown_command", Code::NotFound, 404),
        R::CommandOver => lasting("command_over", Code::FailedPrecondition, 409),
        R::KeyReused => lasting("key_reused", Code::FailedPrecondition, 422),
        R::SessionOver => lasting("session_over", Code::Aborted, 409),
        R::OutOfOrder { .. } => lasting("out_of_order", Code::Aborted, 409),
        R::Overloaded { retry_after_ms } => {
            passing("overloaded", Code::ResourceExhausted, 429, *retry_after_ms)
        }
        R::OutOfSpace => passing("out_of_space", Code::ResourceExhausted, 507, RETRY_SPACE_MS),
        R::Quarantined => not_allowed("quarantined", Code::DataLoss, 500),
        R::NotOwner => passing("not_owner", Code::Unavailable, 503, RETRY_OWNER_MS),
        R::NotRegistered => not_allowed("not_registered", Code::PermissionDenied, 403),
        R::Disabled { .. } => not_allowed("disabled", Code::PermissionDenied, 403),
        R::BadCredential { .. } => Row {
            refused: RefusedReason::NotYou,
            ..lasting("bad_credential", Code::Unauthenticated, 401)
        },
        R::UnknownCredential { .. } => lasting("unknown_credential", Code::NotFound, 404),
        R::LevelTooLow { .. } => lasting("level_too_low", Code::FailedPrecondition, 409),
        R::Behind => passing("behind", Code::Unavailable, 503, RETRY_OWNER_MS),
        R::Unauthenticated { .. } => Row {
            refused: RefusedReason::NotAllowed,
            ..lasting("unauthenticated", Code::Unauthenticated, 401)
        },
        R::Forbidden { .. } => Row {
            refused: RefusedReason::NotAllowed,
            ..lasting("forbidden", Code::PermissionDenied, 403)
        },
        R::SchemaViolated(_) => lasting("schema_violated", Code::InvalidArgument, 422),
        R::UnknownType { .. } => lasting("unknown_type", Code::NotFound, 404),
        R::UnknownGroup { .. } => lasting("unknown_group", Code::NotFound, 404),
        R::NotEnrolled { .. } => Row {
            refused: RefusedReason::NotAllowed,
            ..lasting("not_enrolled", Code::PermissionDenied, 403)
        },
        R::TookTooLong { .. } => lasting("took_too_long", Code::DeadlineExceeded, 504),
        R::Unknown => Row {
            refused: RefusedReason::Busy,
            close: CloseCode::Fault,
            ..lasting("unknown", Code::DeadlineExceeded, 504)
        },
    }
}

/// When a device whose hello was refused may come again by itself; `None`: not before something is changed on it.
/// One that the registry keeps out does, as nobody goes to a device to tell it that it may come again.
pub const fn hello_retry_ms(rejection: &Rejection) -> Option<u32> {
    match rejection {
        Rejection::NotRegistered | Rejection::Disabled { .. } | Rejection::BadCredential { .. } => {
            Some(RETRY_REGISTRY_MS)
        }
        other => row(other).retry_after_ms,
    }
}

/// A refusal that the same call meets again until something else has changed.
const fn lasting(reason: &'static str, grpc: Code, http: u16) -> Row {
    Row {
        reason,
        grpc,
        http,
        refused: RefusedReason::Invalid,
        close: CloseCode::Refused,
        retry_after_ms: None,
    }
}

/// A refusal that a device itself can do nothing about.
const fn not_allowed(reason: &'static str, grpc: Code, http: u16) -> Row {
    Row { refused: RefusedReason::NotAllowed, ..lasting(reason, grpc, http) }
}

/// A refusal that passes by itself.
const fn passing(reason: &'static str, grpc: Code, http: u16, retry_after_ms: u32) -> Row {
    Row {
        reason,
        grpc,
        http,
        refused: RefusedReason::Busy,
        close: CloseCode::Overloaded,
        retry_after_ms: Some(retry_after_ms),
    }
}
