//! What can go wrong with keys and certificates. Never says what a key is, only where.

use std::path::PathBuf;

use pollux_proto::device::name::NameError;
use thiserror::Error;

/// A fault of files, keys or certificates.
#[derive(Debug, Error)]
pub enum PkiError {
    /// A file or folder cannot be read or written.
    #[error("{path} cannot be used: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path} does not hold {wanted}: {reason}")]
    Content {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Others may read a private key.
    #[error("secret {path} can be read by others; run chmod 600 on it")]
    Exposed {
        /// Which.
        path: PathBuf,
    },
    /// The CA's key is elsewhere, so it cannot issue here.
    #[error("certificate authority {path} has no key beside it, so it cannot issue certificates")]
    NoKey {
        /// The CA's certificate.
        path: PathBuf,
    },
    /// A key or certificate could not be made.
    #[error("certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
    /// TLS does not take the material.
    #[error("certificates are not usable for TLS: {0}")]
    Tls(String),
    /// The certificate is not one that can be read.
    #[error("client certificate cannot be read: {0}")]
    Unreadable(String),
    /// The certificate names no device, or several.
    #[error("client certificate names {found} devices; it needs one URI pollux:<tenant>/<device>")]
    NotOneName {
        /// How many names it has.
        found: usize,
    },
    /// The certificate's name is not a device's.
    #[error("client certificate's {0}")]
    Name(#[from] NameError),
}
