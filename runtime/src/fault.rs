//! Why a node cannot start or go on, in words that name the next step.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

use crate::checkpoint::StoreFault;
use crate::pki::PkiError;

/// A node's fault.
#[derive(Debug, Error)]
pub enum Fault {
    /// The data directory, its log or a group.
    #[error(transparent)]
    Cluster(#[from] pollux_cluster::Fault),
    /// The checkpoints.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// Certificates and keys.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// A new cluster was to be made where a node is already.
    #[error("data directory {} has an identity already; a new cluster needs an empty one", dir.display())]
    Taken {
        /// The directory.
        dir: PathBuf,
    },
    /// The cluster does not take this node.
    #[error("join the cluster: {reason}")]
    NotAdmitted {
        /// Why not.
        reason: String,
    },
    /// An address that cannot be listened on.
    #[error("listen on {address} for {what}: {source}; choose another with {flag}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// For whom.
        what: &'static str,
        /// The flag that changes it.
        flag: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A thread or a task of the node itself.
    #[error("start {what}: {problem}")]
    Internal {
        /// Which part.
        what: &'static str,
        /// Why not.
        problem: String,
    },
}
