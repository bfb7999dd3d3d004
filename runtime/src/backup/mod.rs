//! Backups: every shard's state as of one place in its log, in a folder that can be verified without a
//! node and restored into a cluster with any number of shards.
//!
//! A folder holds one file for each shard, its chunks one after the other (`file`), and a manifest, which
//! is written last (`manifest`). `write` takes in what nodes stream, `verify` reads a folder back and
//! trusts nothing, `restore` makes the first node of a cluster from one. How a shard's state is read while
//! it changes is the table's business, its form on the wire `checkpoint::stream`'s.

mod file;
mod manifest;
mod restore;
#[cfg(test)]
mod tests;
mod verify;
mod write;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use manifest::{Manifest, ShardRecord};
pub use restore::{RestoreOptions, Restored, restore};
pub use verify::verify;
pub use write::{BackupWriter, Origin, ShardWriter};

use crate::fault::Fault;

/// Why a backup was not made, or is not taken.
#[derive(Debug, Error)]
pub enum BackupFault {
    /// A file or folder cannot be read or written.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what was written.
    #[error("{path} is damaged at byte {offset}: {reason}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Where the damage was found.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// Files do not fit together.
    #[error("{path} does not fit its backup: {reason}")]
    Other {
        /// Which.
        path: PathBuf,
        /// What should be, and what is.
        reason: String,
    },
    /// The folder is not empty.
    #[error("{0} holds something already: a backup needs a folder of its own")]
    Taken(PathBuf),
    /// The folder holds no backup that was finished.
    #[error("{0} holds no manifest.json: it is no backup, or one that was never finished")]
    Unfinished(PathBuf),
    /// What a node sent cannot be taken.
    #[error("shard {shard}: {reason}")]
    Stream {
        /// Whose state.
        shard: u16,
        /// What is wrong with it.
        reason: String,
    },
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The data directory that is to be made.
    #[error(transparent)]
    Node(#[from] Fault),
}

impl BackupFault {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.into(), source }
    }
}

impl From<pollux_cluster::Fault> for BackupFault {
    fn from(fault: pollux_cluster::Fault) -> Self {
        Self::Node(fault.into())
    }
}

impl From<crate::checkpoint::StoreFault> for BackupFault {
    fn from(fault: crate::checkpoint::StoreFault) -> Self {
        Self::Node(fault.into())
    }
}
