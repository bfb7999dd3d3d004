//! How the program ends: exit codes, and failures that name the next step.

use std::process::ExitCode;

use pollux_client::ErrorKind;
use pollux_proto::status;
use tonic::{Code, Status};

/// Exit codes, as `--help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did not work.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// No such twin or command.
    NotFound = 3,
    /// Something else is there than was expected.
    Conflict = 4,
    /// The node refuses, and would again.
    Refused = 5,
    /// Not now.
    Unavailable = 6,
    /// It may or may not have taken effect.
    Unknown = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a verb failed, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// How the program ends.
    pub(crate) exit: Exit,
    /// The stable word for machines, if there is one.
    pub(crate) reason: Option<&'static str>,
    /// What was wrong.
    pub(crate) message: String,
    /// The next step.
    pub(crate) next: Option<String>,
}

impl Failure {
    /// A failure of a kind.
    pub(crate) fn new(exit: Exit, message: impl ToString) -> Self {
        Self { exit, reason: None, message: message.to_string(), next: None }
    }

    /// The same with a next step.
    #[must_use]
    pub(crate) fn next(mut self, step: impl Into<String>) -> Self {
        self.next = Some(step.into());
        self
    }
}

impl From<pollux_client::Error> for Failure {
    fn from(error: pollux_client::Error) -> Self {
        let Some(status) = error.status() else {
            let exit = match error.kind() {
                ErrorKind::Usage => Exit::Usage,
                ErrorKind::Unreachable => Exit::Unavailable,
                ErrorKind::Unknown => Exit::Unknown,
                _ => Exit::Failed,
            };
            return Self::new(exit, error);
        };
        let failure = Self::from(status.clone());
        let (ErrorKind::Unknown, Some(key)) = (error.kind(), error.idempotency_key()) else {
            return failure;
        };
        // A later attempt may have been refused; what became of the first is not known.
        let next = format!("it may have taken effect: look, or repeat it with --key {key}");
        Self { exit: Exit::Unknown, ..failure.next(next) }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let Some(rejection) = status::from_status(&status) else { return transport(&status) };
        let reason = status::row(&rejection).reason;
        let (exit, next) = match reason {
            "not_found" => (
                Exit::NotFound,
                "see which twins there are with `pollux twin list`; one begins when its device first \
                 connects, or when tags or desired are first written",
            ),
            "unknown_command" => {
                (Exit::NotFound, "see which commands are kept with `pollux command list`")
            }
            "unknown_credential" => {
                (Exit::NotFound, "see which credentials it has with `pollux device get`")
            }
            "unknown_type" | "unknown_group" => (Exit::NotFound, ""),
            "schema_violated" => (Exit::Refused, "see what the type asks with `pollux type get`"),
            "version_mismatch" => {
                (Exit::Conflict, "read the twin again and repeat with its version as --expect")
            }
            "key_reused" => (Exit::Conflict, "use another --key for another request"),
            "command_over" => (Exit::Conflict, "see how it ended with `pollux command get`"),
            "device_offline" => {
                (Exit::Refused, "send it with --queue to keep it until the device connects")
            }
            "unauthenticated" => (
                Exit::Refused,
                "name a token with --token-file or POLLUX_TOKEN; `pollux access bootstrap` makes the first",
            ),
            "forbidden" => (
                Exit::Refused,
                "whoever runs the cluster can allow it with `pollux access policy put`, and see why with \
                 `pollux access policy check`",
            ),
            "overloaded" | "out_of_space" | "not_owner" => (Exit::Unavailable, "try again later"),
            "unknown" => (Exit::Unknown, "read the twin to see, or repeat with the same --key"),
            _ => (Exit::Refused, ""),
        };
        let next = (!next.is_empty()).then(|| next.to_owned());
        Self { exit, reason: Some(reason), message: status.message().to_owned(), next }
    }
}

/// A status that no twin gave: the way to the node is broken, or the request never reached one.
fn transport(status: &Status) -> Failure {
    let message = match status.message() {
        "" => format!("the call failed: {}", status.code()),
        text => text.to_owned(),
    };
    match status.code() {
        Code::Unavailable => Failure::new(Exit::Unavailable, message)
            .next("start a node with `pollux dev`, or name another with --grpc"),
        Code::DeadlineExceeded | Code::Cancelled => Failure::new(Exit::Unknown, message)
            .next("it may have taken effect: look, or allow more time with --timeout"),
        Code::InvalidArgument | Code::OutOfRange => Failure::new(Exit::Refused, message),
        Code::NotFound => Failure::new(Exit::NotFound, message),
        Code::ResourceExhausted => Failure::new(Exit::Unavailable, message).next("try again later"),
        // No node says these: something else answered, or no node of this release.
        Code::Internal | Code::Unknown | Code::Unimplemented => {
            Failure::new(Exit::Failed, message).next(
                "is that the gRPC port of a node, and with https:// if it speaks TLS? name it with --grpc",
            )
        }
        _ => Failure::new(Exit::Failed, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pollux_twin::Rejection;

    fn exit(rejection: &Rejection) -> Exit {
        Failure::from(status::to_status(rejection)).exit
    }

    #[test]
    fn rejections_end_as_documented() {
        assert_eq!(exit(&Rejection::NotFound), Exit::NotFound);
        assert_eq!(exit(&Rejection::KeyReused), Exit::Conflict);
        assert_eq!(exit(&Rejection::DeviceOffline), Exit::Refused);
        assert_eq!(exit(&Rejection::OutOfSpace), Exit::Unavailable);
        assert_eq!(exit(&Rejection::Unknown), Exit::Unknown);
        assert_eq!(exit(&Rejection::NotAnObject), Exit::Refused);
    }

    #[test]
    fn a_node_that_is_not_there_is_unavailable() {
        let failure = Failure::from(Status::unavailable("no connection"));
        assert_eq!(failure.exit, Exit::Unavailable);
        assert!(failure.next.is_some_and(|next| next.contains("pollux dev")));
    }
}
