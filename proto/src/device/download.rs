//! How a device comes for an artifact, under `pollux/2`: on a stream of its own it asks once and is answered once,
//! and where the answer is an offer the bytes follow as they are, to the end of the stream.
#![expect(
    missing_docs,
    reason = "rkyv derives undocumented variant structs; all of ours have docs"
)]

use rkyv::{Archive, Deserialize, Serialize};

use super::archive::Wire;
use super::check::{Check, text};
use super::error::FrameError;
use super::framing::Frame;
use crate::limits::{DOWNLOAD_FRAME_BYTES_MAX, DOWNLOAD_NAME_BYTES_MAX, TEXT_BYTES_MAX};

/// What a device asks.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The artifact's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// From which byte on; as many as it has: none, only what it is.
    pub offset: u64,
    /// What its SHA-256 must be, for who has a part of it already.
    pub sha256: Option<[u8; 32]>,
}

/// What a node answers.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    /// The bytes follow.
    Here {
        /// How many the whole artifact has.
        size: u64,
        /// Its SHA-256.
        sha256: [u8; 32],
        /// Its Ed25519 signature, if it is signed, and by which key.
        signature: Option<Signed>,
        /// What it is.
        media_type: String,
    },
    /// Nothing follows.
    Refused {
        /// Which kind.
        reason: NoFetch,
        /// For people: what was wrong, and what would be right.
        message: String,
        /// When to ask again, if that makes sense.
        retry_after_ms: Option<u32>,
    },
}

/// A signature.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The name of the key.
    pub key: String,
    /// The signature.
    pub bytes: [u8; 64],
}

/// Why nothing comes.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFetch {
    /// There is no such artifact.
    NotFound,
    /// It is there with other content than the device says.
    OtherContent,
    /// It has fewer bytes than the device says that it has.
    BadOffset,
    /// Not now: too many are being fetched, or no node that has it can be reached.
    Busy,
}

impl Check for Fetch {
    fn check(&self) -> Result<(), FrameError> {
        text("artifact name", &self.name, DOWNLOAD_NAME_BYTES_MAX)?;
        text("artifact version", &self.version, DOWNLOAD_NAME_BYTES_MAX)
    }
}

impl Check for Offer {
    fn check(&self) -> Result<(), FrameError> {
        match self {
            Self::Here { signature, media_type, .. } => {
                text("media type", media_type, TEXT_BYTES_MAX)?;
                let key = signature.as_ref().map(|signed| signed.key.as_str());
                text("key name", key.unwrap_or_default(), TEXT_BYTES_MAX)
            }
            Self::Refused { message, .. } => text("message", message, TEXT_BYTES_MAX),
        }
    }
}

impl Wire for Fetch {}
impl Wire for Offer {}

impl Frame for Fetch {
    const BYTES_MAX: usize = DOWNLOAD_FRAME_BYTES_MAX;
}

impl Frame for Offer {
    const BYTES_MAX: usize = DOWNLOAD_FRAME_BYTES_MAX;
}
