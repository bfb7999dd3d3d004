//! Who calls: a service or an operator by name, and what it proves that by. Owns the shapes and the check of them;
//! leaves the proof itself to the runtime, which has the clock and the secret's hash.

use rkyv::{Archive, Deserialize, Serialize};

use crate::limits::{NAME_BYTES_MAX, NOTE_BYTES_MAX, SUBJECT_BYTES_MAX, SUBJECTS_MAX};

/// A service or an operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Principal {
    /// For people: what it is, who answers for it.
    pub note: String,
    /// Whom it is known as by issuers of tokens.
    pub subjects: Vec<Subject>,
    /// When it was first added, in milliseconds since 1970.
    pub added_ms: u64,
}

/// A name that an issuer of signed tokens (OpenID Connect) knows somebody by.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Subject {
    /// The issuer, as its tokens name it.
    pub issuer: String,
    /// The subject, as its tokens name it.
    pub subject: String,
}

/// A secret that proves who somebody is. The secret itself is nowhere, only its hash is.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Token {
    /// Whose it is.
    pub principal: String,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    /// When it was issued, in milliseconds since 1970.
    pub issued_ms: u64,
    /// From when on it is worth nothing.
    pub expires_ms: u64,
    /// For people: where it is used.
    pub note: String,
}

impl Principal {
    /// What is wrong with it, if anything.
    pub(super) fn fault(&self, name: &str) -> Option<String> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"-._@/:".contains(&b);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(good) {
            return Some(format!(
                "principal {name:?}: a name has 1 to {NAME_BYTES_MAX} letters, digits and - . _ @ / :"
            ));
        }
        // The first is what twins call their device, the second what callers without a name are called.
        if ["device", "anonymous", super::ROOT].contains(&name) {
            return Some(format!(
                "principal {name:?}: that name has a meaning of its own; use another"
            ));
        }
        if self.subjects.len() > SUBJECTS_MAX {
            return Some(format!("{} subjects: at most {SUBJECTS_MAX}", self.subjects.len()));
        }
        let long = |text: &str| text.is_empty() || text.len() > SUBJECT_BYTES_MAX;
        if self.subjects.iter().any(|one| long(&one.issuer) || long(&one.subject)) {
            return Some(format!("an issuer and a subject have 1 to {SUBJECT_BYTES_MAX} bytes"));
        }
        note_fault(&self.note)
    }
}

/// What is wrong with a text for people, if anything.
pub(super) fn note_fault(note: &str) -> Option<String> {
    let bad = note.len() > NOTE_BYTES_MAX || note.chars().any(char::is_control);
    bad.then(|| format!("a note has at most {NOTE_BYTES_MAX} bytes and no control characters"))
}
