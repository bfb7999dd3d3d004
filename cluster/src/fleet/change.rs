//! What can be asked of the agreed state about devices. Owns the words; what they do is in `rules`.

use rkyv::{Archive, Deserialize, Serialize};

use super::{Arrival, Claimed, Key, Naming, TenantLimits, Terms, artifact_key};

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
    /// A tenant may have this, and no more. Of version 4, as all that follow.
    LimitTenant {
        /// Which.
        tenant: String,
        /// What it may have.
        limits: TenantLimits,
        /// For people.
        note: String,
    },
    /// A shard has so many of a tenant's devices, and wants a share of so many instead of the one that it saw.
    ShareDevices {
        /// Which tenant.
        tenant: String,
        /// Which shard.
        shard: u16,
        /// Which share it saw; of another one, nothing is changed.
        turn: u64,
        /// What it has.
        has: u64,
        /// What it wants to have at most.
        wants: u64,
    },
    /// Devices come by an enrolment with a certificate that they share, or no more.
    PutClaim {
        /// Whose the enrolment is.
        tenant: String,
        /// The enrolment's name.
        name: String,
        /// Whose certificates are good for it.
        claimed: Option<Claimed>,
    },
    /// An artifact has come. Behind a pointer, so that it leaves the others as small as they were.
    PutArtifact(Box<Arrival>),
    /// An artifact shall be gone.
    RemoveArtifact {
        /// Whose it is.
        tenant: String,
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// How many jobs were made with it when it was looked whether one still runs.
        named: u64,
    },
    /// A job is about to be made with an artifact.
    NameArtifact {
        /// Whose they are.
        tenant: String,
        /// The artifact's name.
        name: String,
        /// Its version.
        version: String,
        /// The SHA-256 that the job says.
        sha256: [u8; 32],
        /// The job.
        naming: Naming,
    },
    /// A key that artifacts must be signed by shall be there.
    PutArtifactKey {
        /// Whose it is.
        tenant: String,
        /// Its name.
        name: String,
        /// The Ed25519 public key.
        public: [u8; 32],
        /// For people.
        note: String,
    },
    /// Such a key shall be gone. What was signed by it stays.
    RemoveArtifactKey {
        /// Whose it is.
        tenant: String,
        /// Its name.
        name: String,
    },
}

impl Change {
    /// Whether programs that write version 3 do not know it: it takes
    /// [`ARTIFACTS_LEVEL`](crate::meta::ARTIFACTS_LEVEL).
    pub(crate) const fn is_of_version_4(&self) -> bool {
        matches!(
            self,
            Self::LimitTenant { .. }
                | Self::ShareDevices { .. }
                | Self::PutClaim { .. }
                | Self::PutArtifact(_)
                | Self::RemoveArtifact { .. }
                | Self::NameArtifact { .. }
                | Self::PutArtifactKey { .. }
                | Self::RemoveArtifactKey { .. }
        )
    }

    /// What the audit calls it, and of what it is.
    pub(crate) fn told(&self) -> (&'static str, String) {
        let (what, tenant, name) = match self {
            Self::PutArtifact(come) => {
                return ("artifact put", artifact_key(&come.tenant, &come.name, &come.version));
            }
            Self::RemoveArtifact { tenant, name, version, .. } => {
                return ("artifact remove", artifact_key(tenant, name, version));
            }
            Self::NameArtifact { tenant, name, version, .. } => {
                return ("artifact use", artifact_key(tenant, name, version));
            }
            Self::PutArtifactKey { tenant, name, .. } => ("artifact key put", tenant, name),
            Self::RemoveArtifactKey { tenant, name } => ("artifact key remove", tenant, name),
            Self::PutType { tenant, name, .. } => ("type put", tenant, name),
            Self::RemoveType { tenant, name } => ("type remove", tenant, name),
            Self::PutGroup { tenant, name, .. } => ("group put", tenant, name),
            Self::RemoveGroup { tenant, name } => ("group remove", tenant, name),
            Self::PutEnrolment { tenant, name, .. } => ("enrolment put", tenant, name),
            Self::RemoveEnrolment { tenant, name } => ("enrolment remove", tenant, name),
            Self::CountEnrolled { tenant, name, .. } => ("enrolment use", tenant, name),
            Self::PutClaim { tenant, name, .. } => ("enrolment claim", tenant, name),
            Self::LimitTenant { tenant, .. } => return ("tenant limit", tenant.clone()),
            Self::ShareDevices { tenant, .. } => return ("tenant share", tenant.clone()),
        };
        (what, super::key(tenant, name))
    }
}
