//! What can go wrong in this room that is ours, not the caller's. Owns the one error type; leaves
//! to the runtime what a fault ends.

use std::io;

/// A fault of the log, of a group, or of the data directory.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The disk or the file system refused.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done, and to which file.
        doing: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is damaged in a place that a crash cannot explain. Nothing was changed.
    #[error("{file} is damaged at byte {offset}: {reason}")]
    Corrupt {
        /// The file's name inside its directory.
        file: String,
        /// Where the damage begins.
        offset: u64,
        /// What was found and what should have been there.
        reason: String,
    },
    /// The options contradict each other or a limit.
    #[error("{0}")]
    Options(String),
    /// The directory belongs to another process, node or cluster, or has gone back in time.
    #[error("{0}")]
    Directory(String),
    /// The log or the group has been shut down.
    #[error("{0} is closed")]
    Closed(&'static str),
    /// The consensus library stopped or refused for good.
    #[error("{0}")]
    Group(String),
    /// The network between nodes cannot be set up as asked.
    #[error("{0}")]
    Peers(String),
    /// The state machine reported a fault of its own.
    #[error("state machine: {0}")]
    StateMachine(String),
}

impl Fault {
    /// An I/O fault with what was being done.
    pub fn io(doing: impl Into<String>, source: io::Error) -> Self {
        Self::Io { doing: doing.into(), source }
    }

    /// The fault as an I/O error, for interfaces that know no other.
    pub(crate) fn into_io(self) -> io::Error {
        match self {
            Self::Io { doing, source } => {
                io::Error::new(source.kind(), format!("{doing}: {source}"))
            }
            other => io::Error::other(other.to_string()),
        }
    }
}
