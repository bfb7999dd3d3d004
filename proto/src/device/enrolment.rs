//! How a device that nobody registered comes to credentials of its own, under an ALPN name of its own: on the one
//! stream that it opens it asks once and is answered once. What it proves is in [`enrol`](crate::enrol); a claim
//! certificate it shows in TLS.
#![expect(
    missing_docs,
    reason = "rkyv derives undocumented variant structs; all of ours have docs"
)]

use rkyv::{Archive, Deserialize, Serialize};

use pollux_twin::limits::ID_BYTES_MAX;

use super::archive::Wire;
use super::check::{Check, text};
use super::error::FrameError;
use super::frame::RefusedReason;
use super::framing::Frame;
use crate::limits::{
    ENROL_BYTES_MAX, ENROL_CSR_BYTES_MAX, ENROLLED_BYTES_MAX, ENROLLED_PEM_BYTES_MAX,
    TEXT_BYTES_MAX, TOKEN_BYTES_MAX,
};

/// The ALPN name of devices that enrol, which carries the version of everything in this module.
pub const ENROL_ALPN: &[u8] = b"pollux-enrol/1";

/// What a device asks.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Enrol {
    /// Its tenant; empty: the default one.
    pub tenant: String,
    /// The enrolment by which it comes.
    pub enrolment: String,
    /// Its name.
    pub device: String,
    /// Its time, in milliseconds since 1970: newer than in any of its proofs before.
    pub at_ms: u64,
    /// Its certificate signing request in PEM; without one it gets a token.
    pub csr: Option<String>,
    /// What proves its key; without it, the certificate that it shows in TLS counts.
    pub hmac_sha256: Option<[u8; 32]>,
}

/// What a node answers.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Enrolled {
    /// It is a device of the registry now.
    Given {
        /// What it proves itself by from now on.
        credential: Credential,
        /// Until when, in milliseconds since 1970; without: for ever.
        expires_at_ms: Option<u64>,
        /// The CA by which it knows the nodes, in PEM; empty where the node has none of its own.
        server_ca: String,
    },
    /// It gets nothing.
    Refused {
        /// Which kind.
        reason: RefusedReason,
        /// The word for machines, where an enrolment refuses.
        why: Option<String>,
        /// For people: what was wrong, and what would be right.
        message: String,
        /// When to ask again, if that makes sense.
        retry_after_ms: Option<u32>,
    },
}

/// What a device proves itself by.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A token, for its hello.
    Token(String),
    /// A certificate over the key of its request, in PEM.
    Certificate(String),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(…)",
            Self::Certificate(_) => "Certificate(…)",
        })
    }
}

impl Check for Enrol {
    fn check(&self) -> Result<(), FrameError> {
        text("tenant", &self.tenant, ID_BYTES_MAX)?;
        text("enrolment", &self.enrolment, ID_BYTES_MAX)?;
        text("device", &self.device, ID_BYTES_MAX)?;
        let csr = self.csr.as_deref().unwrap_or_default();
        text("certificate signing request", csr, ENROL_CSR_BYTES_MAX)
    }
}

impl Check for Enrolled {
    fn check(&self) -> Result<(), FrameError> {
        match self {
            Self::Given { credential, server_ca, .. } => {
                match credential {
                    Credential::Token(token) => text("token", token, TOKEN_BYTES_MAX)?,
                    Credential::Certificate(pem) => {
                        text("certificate", pem, ENROLLED_PEM_BYTES_MAX)?;
                    }
                }
                text("server CA", server_ca, ENROLLED_PEM_BYTES_MAX)
            }
            Self::Refused { why, message, .. } => {
                text("why", why.as_deref().unwrap_or_default(), TEXT_BYTES_MAX)?;
                text("message", message, TEXT_BYTES_MAX)
            }
        }
    }
}

impl Wire for Enrol {}
impl Wire for Enrolled {}

impl Frame for Enrol {
    const BYTES_MAX: usize = ENROL_BYTES_MAX;
}

impl Frame for Enrolled {
    const BYTES_MAX: usize = ENROLLED_BYTES_MAX;
}
