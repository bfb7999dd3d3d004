//! A twin at rest: one buffer, the same in a table, in a checkpoint and on its way to a replica.
//!
//! A head (version byte, checksum of all but itself, log index of the last change, flags: see
//! `header`), then rkyv. The document and the telemetry are one byte string in it (see `tree::codec`): as archived
//! values they would take twice the room. Nothing in an image is trusted: the checksum is compared
//! first, then rkyv validates with a bounded depth (safety rule 26).

/// One of the forms, in bytes of which nothing is trusted.
macro_rules! access {
    ($archived:ty, $body:expr) => {{
        let archive = ArchiveValidator::with_max_depth($body, Some(DEPTH_MAX));
        let mut validator = Validator::new(archive, SharedValidator::new());
        rkyv::api::access_with_context::<$archived, _, Error>($body, &mut validator)
    }};
}

mod glance;
mod header;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroUsize;

use rkyv::rancor::Error;
use rkyv::validation::Validator;
use rkyv::validation::archive::ArchiveValidator;
use rkyv::validation::shared::SharedValidator;
use rkyv::{Archive, Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

pub use self::glance::{Glance, SectionGlance};
pub use self::header::{Flags, Header, header};
use self::header::{HEADER_LEN, VERSION, VERSION_FIRST, VERSION_KEYED, VERSION_REGISTERED};
use crate::change::{Command, KeyMark};
use crate::registration::Registration;
use crate::tree::codec::ReadError;
pub use crate::tree::codec::{Packed, PackedArray, PackedObject};
use crate::twin::{ArchivedBuried, Buried, DesiredAcked, Document, Life, Session, Twin};

/// Nested archived parts: a command's answer at the greatest depth read, several parts a level.
const DEPTH_MAX: NonZeroUsize = NonZeroUsize::new(160).expect("not zero");

/// Why bytes are not a twin's image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// Shorter than its header.
    Short,
    /// Written by another version of the format.
    Version {
        /// The version byte found.
        found: u8,
    },
    /// The checksum does not fit.
    Checksum,
    /// The checksum fits, the content does not: not written by a twin, or a fault of ours.
    Content,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("read image: shorter than its header"),
            Self::Version { found } => {
                write!(
                    f,
                    "read image: format {found}; this version reads formats {VERSION_FIRST} to {VERSION}"
                )
            }
            Self::Checksum => f.write_str("read image: checksum does not match; it is corrupt"),
            Self::Content => f.write_str("read image: checksum matches but the content is unsound"),
        }
    }
}

impl core::error::Error for ImageError {}

impl From<ReadError> for ImageError {
    fn from(_: ReadError) -> Self {
        Self::Content
    }
}

#[derive(Archive, Serialize, Deserialize)]
struct Image {
    life: Life,
    quarantined: bool,
    desired_acked: Option<DesiredAcked>,
    session: Session,
    keys: Vec<KeyMark>,
    commands: Vec<Command>,
    command_last: u64,
    version: u64,
    document: Vec<u8>,
}

/// With keys that nodes made, which the first form has no place for.
#[derive(Archive, Serialize, Deserialize)]
struct KeyedImage {
    image: Image,
    entry_keys: Vec<KeyMark>,
}

/// With what the registry knows of the device, which the forms before have no place for.
#[derive(Archive, Serialize, Deserialize)]
struct RegisteredImage {
    keyed: KeyedImage,
    registration: Registration,
}

/// With what was deleted and can be brought back, which the forms before have no place for.
#[derive(Archive, Serialize, Deserialize)]
struct BuriedImage {
    keyed: KeyedImage,
    registration: Option<Registration>,
    buried: Buried,
}

/// The image of a twin whose last change stands at `applied_index` in its shard's log.
pub fn pack(twin: &Twin, applied_index: u64) -> Arc<[u8]> {
    let document = twin.document_bytes();
    let mut bytes = Vec::with_capacity(HEADER_LEN + document.len() + 256);
    let version = match twin {
        Twin { buried: Some(_), .. } => VERSION,
        Twin { registration: Some(_), .. } => VERSION_REGISTERED,
        Twin { entry_keys, .. } if !entry_keys.is_empty() => VERSION_KEYED,
        _ => VERSION_FIRST,
    };
    bytes.push(version);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&applied_index.to_le_bytes());
    bytes.push(Flags::of(twin).0);
    let image = Image {
        life: twin.life,
        quarantined: twin.quarantined,
        desired_acked: twin.desired_acked.clone(),
        session: twin.session.clone(),
        keys: twin.keys.clone(),
        commands: twin.commands.clone(),
        command_last: twin.command_last,
        version: twin.version,
        document,
    };
    let written = if version == VERSION_FIRST {
        rkyv::api::high::to_bytes_in::<_, Error>(&image, bytes)
    } else {
        let keyed = KeyedImage { image, entry_keys: twin.entry_keys.clone() };
        let registration = twin.registration.as_deref().cloned();
        match (registration, twin.buried.as_deref().cloned()) {
            (None, None) => rkyv::api::high::to_bytes_in::<_, Error>(&keyed, bytes),
            (Some(registration), None) => {
                let registered = RegisteredImage { keyed, registration };
                rkyv::api::high::to_bytes_in::<_, Error>(&registered, bytes)
            }
            (registration, Some(buried)) => {
                let buried = BuriedImage { keyed, registration, buried };
                rkyv::api::high::to_bytes_in::<_, Error>(&buried, bytes)
            }
        }
    };
    let mut bytes = written.expect("writing to memory does not fail");
    let sum = checksum(&bytes);
    bytes[1..5].copy_from_slice(&sum);
    bytes.into()
}

/// The twin of an image and the log index of its last change.
pub fn unpack(bytes: &[u8]) -> Result<(Twin, u64), ImageError> {
    let index = check(bytes)?.index;
    let body = &bytes[HEADER_LEN..];
    let unsound = |_| ImageError::Content;
    let (image, entry_keys, registration, buried) = match bytes[0] {
        VERSION_FIRST => {
            let image = access!(ArchivedImage, body).and_then(rkyv::deserialize::<Image, _>);
            (image.map_err(unsound)?, Vec::new(), None, None)
        }
        VERSION_KEYED => {
            let keyed = access!(ArchivedKeyedImage, body).and_then(rkyv::deserialize);
            let KeyedImage { image, entry_keys } = keyed.map_err(unsound)?;
            (image, entry_keys, None, None)
        }
        VERSION_REGISTERED => {
            let registered = access!(ArchivedRegisteredImage, body).and_then(rkyv::deserialize);
            let RegisteredImage { keyed, registration } = registered.map_err(unsound)?;
            (keyed.image, keyed.entry_keys, Some(registration), None)
        }
        _ => {
            let read = access!(ArchivedBuriedImage, body).and_then(rkyv::deserialize);
            let BuriedImage { keyed, registration, buried } = read.map_err(unsound)?;
            (keyed.image, keyed.entry_keys, registration, Some(buried))
        }
    };
    let mut twin = Twin::absent();
    twin.life = image.life;
    twin.quarantined = image.quarantined;
    twin.version = image.version;
    twin.document = Document::read(&image.document)?;
    twin.desired_acked = image.desired_acked;
    twin.session = image.session;
    twin.keys = image.keys;
    twin.entry_keys = entry_keys;
    twin.commands = image.commands;
    twin.command_last = image.command_last;
    twin.registration = registration.map(Box::new);
    twin.buried = buried.map(Box::new);
    Ok((twin, index))
}

/// Reads the head of an image and compares the checksum; the content is not looked at.
pub fn check(bytes: &[u8]) -> Result<Header, ImageError> {
    let header = header(bytes)?;
    if checksum(bytes) != header.checksum.to_le_bytes() {
        return Err(ImageError::Checksum);
    }
    Ok(header)
}

/// The log index of the last change in an image, without looking at the rest.
pub fn applied_index(bytes: &[u8]) -> Result<u64, ImageError> {
    header(bytes).map(|header| header.index)
}

/// The low half of XXH3-64 over everything but the checksum itself.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut hash = Xxh3::new();
    hash.update(&bytes[..1]);
    hash.update(&bytes[5..]);
    let [a, b, c, d, ..] = hash.digest().to_le_bytes();
    [a, b, c, d]
}
