//! An enrolment: by what devices that nobody registered get credentials of their own. Owns what is kept of it and
//! what can be told without its key; how a proof is checked is the runtime's.

use rkyv::{Archive, Deserialize, Serialize};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Enrolment {
    /// The key that the keys of devices are derived from. Whoever has it can be any device that the enrolment is for:
    /// it is shown once, when it is made, and never listed.
    pub key: Option<Key>,
    /// What it is for, and what devices become.
    pub terms: Terms,
    /// How many devices it was used for.
    pub enrolled: u64,
    /// The names of the newest counts, by which a repetition is recognised.
    pub counted: Vec<u128>,
    /// When it last changed, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who changed it.
    pub by: String,
}

/// A secret that no text shows.
#[derive(Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Key(pub [u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// What an enrolment is for, and what devices become by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Terms {
    /// Devices whose names begin so.
    pub prefix: String,
    /// The type that they are of; empty: none.
    pub of_type: String,
    /// The groups that they are put in.
    pub groups: Vec<String>,
    /// Merge patch for their tags, as JSON; empty: none.
    pub tags: String,
    /// From when on it is worth nothing, in milliseconds since 1970; 0: never.
    pub expires_ms: u64,
    /// How many devices it may be used for; 0: as many as come.
    pub most: u64,
    /// How many days what they get is good for; 0: until it is revoked.
    pub days: u32,
    /// Whether it is worth nothing for now.
    pub disabled: bool,
    /// For people.
    pub note: String,
}

impl Enrolment {
    /// Why it is not good for a device of this name now, if it is not. To be told only to those who have its key.
    #[must_use]
    pub fn refuses(&self, device: &str, now_ms: u64) -> Option<&'static str> {
        let terms = &self.terms;
        if terms.disabled {
            Some("disabled")
        } else if terms.expires_ms > 0 && terms.expires_ms <= now_ms {
            Some("expired")
        } else if !device.starts_with(&terms.prefix) {
            Some("wrong_name")
        } else {
            None
        }
    }

    /// Whether it was used for as many devices as it may.
    pub(super) const fn is_exhausted(&self) -> bool {
        self.terms.most > 0 && self.enrolled >= self.terms.most
    }
}
