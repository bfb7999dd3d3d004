//! What the registry knows of a device: whether it may come, and by what it proves itself. Kept with its
//! twin, so that the owner asks nobody. Owns the words; what a call does to them is in `twin::register`.
#![expect(missing_docs, reason = "rkyv derives resolvers whose fields nobody can document")]

use alloc::string::String;
use alloc::vec::Vec;

use rkyv::{Archive, Deserialize, Serialize};

use crate::limits::Admission;
use crate::rejection::Rejection;
use crate::time::Time;
use crate::value::Value;

/// Whether a device may come.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nobody registered it: it depends on [`Admission`].
    #[default]
    Unregistered,
    /// It may.
    Enabled,
    /// It may not, whatever it shows.
    Disabled,
}

impl Standing {
    /// As people and programs write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unregistered => "unregistered",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

/// A SHA-256 hash.
pub type Digest = [u8; 32];

/// What a device can prove itself by, beside a certificate of the cluster's device CA.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The hash of a token.
    Token(Digest),
    /// The hash of a certificate, in DER. Where a device has one of these, no other certificate will do.
    Certificate(Digest),
}

/// One credential of a device. It has several while one replaces another.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its name among those of the device.
    pub name: String,
    /// What has to be shown.
    pub proof: Proof,
    /// From when on it is worth nothing.
    pub expires: Option<Time>,
    /// When it was given.
    pub at: Time,
    /// Who gave it.
    pub by: String,
}

/// A device's entry.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// Whether it may come.
    pub standing: Standing,
    /// When that was decided.
    pub at: Time,
    /// Who decided it.
    pub by: String,
    /// Why it is disabled, for people.
    pub reason: String,
    /// In the order in which they were given; names differ.
    pub credentials: Vec<Credential>,
    /// What kind of device it is, if somebody said so.
    pub of_type: Option<OfType>,
    /// The groups that it was put in, in the order of their names.
    pub groups: Vec<String>,
    /// The enrolment that brought it, if one did.
    pub enrolled: Option<Enrolled>,
}

/// How a device came that nobody registered.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// The enrolment.
    pub by: String,
    /// The device's own time in its newest proof: one that is not newer was used before.
    pub at: Time,
}

/// The type of a device.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct OfType {
    /// Its name among the types of the tenant.
    pub name: String,
    /// The version by which the twin was checked last; what is asked for, where it is asked for.
    pub version: u64,
}

/// What a device showed when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A certificate of the cluster's device CA that names it, with its hash where that is known.
    Certificate(Option<Digest>),
    /// A token with this hash.
    Token(Digest),
}

/// What a service asks of the registry.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub enum RegistryRequest {
    /// The entry as it is.
    Get,
    /// The device may come. One that is registered already is as the call says, and keeps what the call
    /// says nothing of.
    Register {
        /// Merge patch for its tags.
        tags: Option<Value>,
        /// Merge patch for its desired section.
        desired: Option<Value>,
        /// Credentials to give it; those of the same names are replaced.
        credentials: Vec<(String, Proof, Option<Time>)>,
        /// The type that it is of, in this version or a later one. An empty name: of none any more.
        of_type: Option<OfType>,
        /// Groups to put it in.
        groups: Vec<String>,
    },
    /// It may not come, and goes if it is there.
    Disable {
        /// Why, for people.
        reason: String,
    },
    /// It may come again.
    Enable,
    /// Gives it a credential, in place of one of the same name.
    Give {
        /// The credential's name.
        name: String,
        /// What has to be shown.
        proof: Proof,
        /// From when on it is worth nothing.
        expires: Option<Time>,
    },
    /// Takes a credential away. Who came by it goes.
    Revoke {
        /// The credential's name.
        name: String,
    },
    /// The device came by an enrolment, and proved it.
    Enrol {
        /// The enrolment.
        enrolment: String,
        /// Only if it never had a session: others may have proved the same.
        unmet: bool,
        /// The device's own time in its proof.
        at: Time,
        /// The credential that it gets.
        proof: Proof,
        /// From when on that is worth nothing.
        expires: Option<Time>,
        /// Merge patch for its tags.
        tags: Option<Value>,
        /// The type that it is of.
        of_type: Option<OfType>,
        /// Groups to put it in.
        groups: Vec<String>,
    },
    /// Puts it in a group.
    Join {
        /// The group.
        group: String,
    },
    /// Takes it out of a group.
    Leave {
        /// The group.
        group: String,
    },
    /// Deletes its twin, and keeps for a while what is needed to bring it back.
    Delete {
        /// The version that the twin must have.
        expected: Option<u64>,
    },
    /// Brings back what its deleted twin held.
    Restore,
}

impl RegistryRequest {
    /// Whether it deletes the twin.
    pub const fn is_delete(&self) -> bool {
        matches!(self, Self::Delete { .. })
    }
}

impl Registration {
    /// Whether a device that shows this may come now.
    pub fn admit(&self, now: Time, admission: Admission, shown: Shown) -> Result<(), Rejection> {
        match (self.standing, admission) {
            (Standing::Disabled, _) => {
                return Err(Rejection::Disabled { reason: self.reason.clone() });
            }
            (Standing::Unregistered, Admission::Registered) => {
                return Err(Rejection::NotRegistered);
            }
            _ => {}
        }
        match self.credential(shown) {
            None if matches!(shown, Shown::Certificate(_)) && !self.is_pinned() => Ok(()),
            None => Err(Rejection::BadCredential { expired: None }),
            Some(one) if one.expires.is_some_and(|end| end <= now) => {
                Err(Rejection::BadCredential { expired: Some(one.name.clone()) })
            }
            Some(_) => Ok(()),
        }
    }

    /// The credential that is shown, if it is one of these; expired ones, too.
    pub(crate) fn credential(&self, shown: Shown) -> Option<&Credential> {
        let proof = match shown {
            Shown::Token(hash) => Proof::Token(hash),
            Shown::Certificate(hash) => Proof::Certificate(hash?),
        };
        self.credentials.iter().find(|one| one.proof == proof)
    }

    /// Whether only certificates will do that it was given.
    fn is_pinned(&self) -> bool {
        self.credentials.iter().any(|one| matches!(one.proof, Proof::Certificate(_)))
    }

    /// Whether somebody may have been admitted before who is not now.
    pub(crate) fn narrows(&self, before: &Self) -> bool {
        let disabled = |entry: &Self| entry.standing == Standing::Disabled;
        (disabled(self) && !disabled(before))
            || (self.is_pinned() && !before.is_pinned())
            || before.credentials.iter().any(|one| !self.credentials.contains(one))
    }

    /// From now on the device stands so, if it does not already.
    pub(crate) fn stand(&mut self, now: Time, by: &str, standing: Standing, reason: String) {
        if (self.standing, &self.reason) != (standing, &reason) {
            (self.standing, self.reason) = (standing, reason);
            (self.at, self.by) = (now, by.into());
        }
    }

    /// Whether this is the one certificate that the device may come by.
    pub(crate) fn is_only_pin(&self, name: &str) -> bool {
        let mut pins =
            self.credentials.iter().filter(|one| matches!(one.proof, Proof::Certificate(_)));
        pins.next().is_some_and(|pin| pin.name == name) && pins.next().is_none()
    }

    /// Takes a credential away; false if there is none of that name. The only pinned certificate stays, worth
    /// nothing: without any, every other certificate would let in whoever lost this one. Once more takes it, too.
    pub(crate) fn revoke(&mut self, now: Time, name: &str) -> bool {
        let only_pin = self.is_only_pin(name);
        let Some(at) = self.credentials.iter().position(|one| one.name == name) else {
            return false;
        };
        let one = &mut self.credentials[at];
        if only_pin && one.expires.is_none_or(|end| end > now) {
            one.expires = Some(now);
        } else {
            self.credentials.remove(at);
        }
        true
    }

    /// The twin is deleted: who was kept out stays out, and who had to show one certificate still has to. Of all
    /// others nothing is known any more.
    pub(crate) fn buried(mut self) -> Option<Self> {
        self.credentials.retain(|one| matches!(one.proof, Proof::Certificate(_)));
        self.of_type = None;
        self.groups.clear();
        match self.standing {
            Standing::Disabled => Some(self),
            Standing::Enabled | Standing::Unregistered if self.is_pinned() => {
                self.standing = Standing::Unregistered;
                Some(self)
            }
            Standing::Enabled | Standing::Unregistered => None,
        }
    }

    /// Puts the device in a group.
    pub(crate) fn join(&mut self, group: String) {
        if let Err(at) = self.groups.binary_search(&group) {
            self.groups.insert(at, group);
        }
    }

    /// Takes the device out of a group, if it is in it.
    pub(crate) fn leave(&mut self, group: &str) {
        self.groups.retain(|one| one != group);
    }

    /// Gives a credential, in place of one of the same name.
    pub(crate) fn give(&mut self, credential: Credential) {
        match self.credentials.iter_mut().find(|one| one.name == credential.name) {
            Some(one) => *one = credential,
            None => self.credentials.push(credential),
        }
    }
}
