//! What is agreed on about devices in general: which types there are, which groups, by what enrolments others
//! come, which artifacts they can come for, and what their tenants may have. Owns the pure state, its words and its bounds; leaves agreeing on it to `meta/`, and what schemas and filters
//! mean to those who ask them. Which type a device is of, and which groups it was put in, stands in its own entry.

mod artifact;
mod artifact_rules;
mod change;
mod claim;
mod enrolment;
mod group;
mod kind;
mod rules;
mod tenant;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use rkyv::{Archive, Deserialize, Serialize};

pub use self::artifact::{
    Arrival, Artifact, Naming, Signature, SigningKey, artifact_key, artifact_name_fault,
    media_type_fault,
};
pub use self::change::Change;
pub use self::claim::Claimed;
pub use self::enrolment::{Enrolment, Key, Terms};
pub use self::group::Group;
pub use self::kind::DeviceType;
pub use self::tenant::{Share, Tenant, TenantLimits};
use crate::limits::TYPE_VERSIONS_LOST;

/// See the module. Names are `tenant/name`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Fleet {
    /// Types, also those that were taken away: a name that comes again goes on counting.
    pub types: BTreeMap<String, DeviceType>,
    /// Groups.
    pub groups: BTreeMap<String, Group>,
    /// Enrolments.
    pub enrolments: BTreeMap<String, Enrolment>,
    /// Versions of types begin above.
    pub versions_above: u64,
    /// Tenants that may not have as much as they like, by their names.
    pub tenants: BTreeMap<String, Tenant>,
    /// By which certificates devices come by an enrolment, where they do.
    pub claims: BTreeMap<String, Claimed>,
    /// Artifacts; their names are `tenant/name@version`.
    pub artifacts: BTreeMap<String, Artifact>,
    /// Keys that they must be signed by.
    pub artifact_keys: BTreeMap<String, SigningKey>,
}

/// How a thing of a tenant is found.
#[must_use]
pub fn key(tenant: &str, name: &str) -> String {
    format!("{tenant}/{name}")
}

impl Fleet {
    /// The cluster goes on where changes after this may have been agreed on and lost: no version of a type stands
    /// for two.
    pub(crate) fn next_life(&mut self) {
        self.versions_above = self.versions_above.saturating_add(TYPE_VERSIONS_LOST);
        for known in self.types.values_mut() {
            known.version = known.version.saturating_add(TYPE_VERSIONS_LOST);
        }
    }

    /// The type of a tenant by its name, if it is there or was.
    #[must_use]
    pub fn device_type(&self, tenant: &str, name: &str) -> Option<&DeviceType> {
        self.types.get(&key(tenant, name))
    }

    /// The enrolment of a tenant by its name.
    #[must_use]
    pub fn enrolment(&self, tenant: &str, name: &str) -> Option<&Enrolment> {
        self.enrolments.get(&key(tenant, name))
    }

    /// By which certificates devices come by an enrolment, where they do.
    #[must_use]
    pub fn claimed(&self, tenant: &str, name: &str) -> Option<&Claimed> {
        self.claims.get(&key(tenant, name))
    }

    /// An artifact of a tenant.
    #[must_use]
    pub fn artifact(&self, tenant: &str, name: &str, version: &str) -> Option<&Artifact> {
        self.artifacts.get(&artifact_key(tenant, name, version))
    }

    /// The group of a tenant by its name.
    #[must_use]
    pub fn group(&self, tenant: &str, name: &str) -> Option<&Group> {
        self.groups.get(&key(tenant, name))
    }
}

/// The things of a tenant, by their names.
pub fn of<'m, T>(
    all: &'m BTreeMap<String, T>,
    tenant: &str,
) -> impl Iterator<Item = (&'m str, &'m T)> {
    let beginning = key(tenant, "");
    let length = beginning.len();
    let theirs =
        all.range(beginning.clone()..).take_while(move |(name, _)| name.starts_with(&beginning));
    theirs.map(move |(name, one)| (&name[length..], one))
}
