//! What can go wrong with an artifact's bytes.

use pollux_proto::hex::hex;
use thiserror::Error;

use super::Digest;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ArtifactFault {
    /// More bytes came than one may have.
    #[error(
        "artifact has more than {max} bytes, which is the most that it may have (artifacts.size_bytes_max)"
    )]
    TooLarge {
        /// The most.
        max: u64,
    },
    /// The disk would be too full.
    #[error("the disk has no room for it beside what is kept free (artifacts.free_bytes_kept)")]
    NoSpace,
    /// What came is not what was said.
    #[error("what came has SHA-256 {}, and {} was expected", hex(actual), hex(expected))]
    WrongDigest {
        /// What was said.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// It ended too soon, or went on for too long.
    #[error("{0}")]
    Broken(String),
    /// The disk failed.
    #[error("the disk failed: {0}")]
    Disk(String),
    /// No node that can be reached has it.
    #[error("none of the nodes that can be reached has its bytes now: try again")]
    NotHere,
    /// Too few nodes hold it.
    #[error("{held} of the {needed} nodes that must hold it do: {why}")]
    NoMajority {
        /// How many do.
        held: usize,
        /// How many must.
        needed: usize,
        /// What one of the others said.
        why: String,
    },
}

impl From<std::io::Error> for ArtifactFault {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::NoSpace,
            _ => Self::Disk(error.to_string()),
        }
    }
}
