//! An artifact: firmware, or other software, that devices come for. Owns what is kept of it and what names may be;
//! its bytes are the runtime's, which finds them by their SHA-256.

use rkyv::{Archive, Deserialize, Serialize};

use crate::limits::{
    ARTIFACT_NAME_BYTES_MAX, ARTIFACT_NAMING_MS, ARTIFACT_NAMINGS_MAX, MEDIA_TYPE_BYTES_MAX,
};

/// See the module. It never changes but for its namings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Artifact {
    /// How many bytes it has.
    pub size: u64,
    /// Their SHA-256, by which they are found.
    pub sha256: [u8; 32],
    /// What it is, as in `content-type`.
    pub media_type: String,
    /// Who signed it, where it is signed.
    pub signature: Option<Signature>,
    /// When it came, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who brought it.
    pub by: String,
    /// The jobs that were made with it of late.
    pub namings: Vec<Naming>,
    /// How many were made with it in all: whoever takes it away has to have seen the last of them.
    pub named: u64,
}

/// An Ed25519 signature, and the key that it was checked by.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Signature {
    /// The name of the key.
    pub key: String,
    /// The key itself: one of that name may be another later.
    pub public: [u8; 32],
    /// The signature.
    pub bytes: [u8; 64],
}

/// A job that was about to be made with an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Naming {
    /// The job.
    pub job: String,
    /// Which one of that name.
    pub run: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

/// An artifact that has come: its bytes are on the disks of a majority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Arrival {
    /// Whose it is.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// How many bytes it has.
    pub size: u64,
    /// Their SHA-256.
    pub sha256: [u8; 32],
    /// What it is.
    pub media_type: String,
    /// Who signed it.
    pub signature: Option<Signature>,
}

/// A key that artifacts of a tenant must be signed by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct SigningKey {
    /// The Ed25519 public key.
    pub public: [u8; 32],
    /// For people.
    pub note: String,
    /// When it came, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who added it.
    pub by: String,
}

impl Artifact {
    /// Keeps that a job is about to be made with it; false if too many are at once.
    pub(super) fn name_in(&mut self, naming: Naming) -> bool {
        let now_ms = naming.at_ms;
        self.namings.retain(|one| one.at_ms.saturating_add(ARTIFACT_NAMING_MS) > now_ms);
        if self.namings.iter().any(|one| (&one.job, one.run) == (&naming.job, naming.run)) {
            return true;
        }
        if self.namings.len() >= ARTIFACT_NAMINGS_MAX {
            return false;
        }
        self.named = self.named.saturating_add(1);
        self.namings.push(naming);
        true
    }
}

/// How an artifact is found: `tenant/name@version`.
#[must_use]
pub fn artifact_key(tenant: &str, name: &str, version: &str) -> String {
    format!("{tenant}/{name}@{version}")
}

/// What is wrong with the name of an artifact, or with a version, if anything is.
#[must_use]
pub fn artifact_name_fault(what: &str, text: &str) -> Option<String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-._+".contains(&b);
    let length = (1..=ARTIFACT_NAME_BYTES_MAX).contains(&text.len());
    if length && text.bytes().all(good) && !text.starts_with('.') && !text.contains("..") {
        return None;
    }
    Some(format!(
        "{what} {text:?}: it has 1 to {ARTIFACT_NAME_BYTES_MAX} letters, digits and - . _ +, does not begin with a \
         dot and has no two dots in a row"
    ))
}

/// What is wrong with a media type, if anything is.
#[must_use]
pub fn media_type_fault(text: &str) -> Option<String> {
    let good = |b: u8| b.is_ascii_graphic() || b == b' ';
    let formed =
        text.split_once('/').is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty());
    if formed && text.len() <= MEDIA_TYPE_BYTES_MAX && text.bytes().all(good) {
        return None;
    }
    Some(format!(
        "media type {text:?}: it is kind/subtype, such as application/octet-stream, of at most \
         {MEDIA_TYPE_BYTES_MAX} printable characters"
    ))
}
