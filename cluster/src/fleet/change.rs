//! What can be asked of the agreed state about devices. Owns the words; what they do is in `rules`.

use rkyv::{Archive, Deserialize, Serialize};

use super::{Key, Terms};

/// What is to be changed. The tenant of each comes first.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Change {
    /// A type shall be there, and ask this.
    PutType {
        /// Whose it is.
        tenant: String,
        /// Its name.
        name: String,
        /// What it asks, as JSON.
        schemas: String,
        /// For people.
        note: String,
    },
    /// A type shall be gone.
    RemoveType {
        /// Whose it is.
        tenant: String,
        /// Its name.
        name: String,
    },
    /// A group shall be there.
    PutGroup {
        /// Whose it is.
        tenant: String,
        /// Its name.
        name: String,
        /// The filter whose twins are in it; empty where devices are put in.
        filter: String,
        /// For people.
        note: String,
    },
    /// An enrolment shall be there, and be like this.
    PutEnrolment {
        /// Whose it is.
        tenant: String,
        /// Its name.
        name: String,
        /// What it is for.
        terms: Terms,
        /// Its key, if it has none yet.
        key: Key,
        /// Its key in place of the one that it has, too.
        new_key: bool,
    },
    /// An enrolment shall be gone.
    RemoveEnrolment {
        /// Whose it is.
        tenant: String,
        /// Its name.
        name: String,
    },
    /// An enrolment brings one device more.
    CountEnrolled {
        /// Whose it is.
        tenant: String,
        /// Its name.
        name: String,
        /// The same each time that this device is counted.
        id: u128,
    },
    /// A group shall be gone.
    RemoveGroup {
        /// Whose it is.
        tenant: String,
        /// Its name.
        name: String,
    },
}

impl Change {
    /// What the audit calls it, and of what it is.
    pub(crate) fn told(&self) -> (&'static str, String) {
        let (what, tenant, name) = match self {
            Self::PutType { tenant, name, .. } => ("type put", tenant, name),
            Self::RemoveType { tenant, name } => ("type remove", tenant, name),
            Self::PutGroup { tenant, name, .. } => ("group put", tenant, name),
            Self::RemoveGroup { tenant, name } => ("group remove", tenant, name),
            Self::PutEnrolment { tenant, name, .. } => ("enrolment put", tenant, name),
            Self::RemoveEnrolment { tenant, name } => ("enrolment remove", tenant, name),
            Self::CountEnrolled { tenant, name, .. } => ("enrolment use", tenant, name),
        };
        (what, super::key(tenant, name))
    }
}
