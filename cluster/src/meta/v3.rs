//! The image of version 3, from before there were artifacts, limits of tenants, and certificates that batches of devices
//! share. Owns its shape, which never changes again, and what it means today; written in clusters that were not raised to
//! [`ARTIFACTS_LEVEL`].
//!
//! Commands need no shape of their own: those of version 3 have the same bytes in version 4, which has some more.
//!
//! [`ARTIFACTS_LEVEL`]: super::node::ARTIFACTS_LEVEL

use std::collections::BTreeMap;

use rkyv::{Archive, Deserialize, Serialize};

use super::node::Node;
use super::place::Place;
use super::settings::{Budget, Token};
use super::state;
use super::v4::Access;
use crate::fleet::{self, DeviceType, Enrolment, Group};

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct Meta {
    cluster: u128,
    lineage: u64,
    fingerprint: u64,
    level: u32,
    nodes: BTreeMap<u64, Node>,
    last_node: u64,
    own: Place,
    map: Vec<Place>,
    tokens: BTreeMap<[u8; 32], Token>,
    roots: BTreeMap<u32, Vec<u8>>,
    paused: bool,
    budget: Budget,
    access: Access,
    fleet: Fleet,
    version: u64,
}

#[derive(Archive, Serialize, Deserialize)]
struct Fleet {
    types: BTreeMap<String, DeviceType>,
    groups: BTreeMap<String, Group>,
    enrolments: BTreeMap<String, Enrolment>,
    versions_above: u64,
}

impl Fleet {
    fn of(today: &fleet::Fleet) -> Self {
        Self {
            types: today.types.clone(),
            groups: today.groups.clone(),
            enrolments: today.enrolments.clone(),
            versions_above: today.versions_above,
        }
    }

    fn today(self) -> fleet::Fleet {
        let Self { types, groups, enrolments, versions_above } = self;
        fleet::Fleet { types, groups, enrolments, versions_above, ..fleet::Fleet::default() }
    }
}

impl Meta {
    /// The state as version 3 writes it: without what it does not know, of which there is nothing yet.
    pub(super) fn of(today: &state::Meta) -> Self {
        Self {
            cluster: today.cluster,
            lineage: today.lineage,
            fingerprint: today.fingerprint,
            level: today.level,
            nodes: today.nodes.clone(),
            last_node: today.last_node,
            own: today.own.clone(),
            map: today.map.clone(),
            tokens: today.tokens.clone(),
            roots: today.roots.clone(),
            paused: today.paused,
            budget: today.budget,
            access: Access::of(&today.access),
            fleet: Fleet::of(&today.fleet),
            version: today.version,
        }
    }

    /// The state today: what was new since is at its beginning.
    pub(super) fn today(self) -> state::Meta {
        state::Meta {
            cluster: self.cluster,
            lineage: self.lineage,
            fingerprint: self.fingerprint,
            level: self.level,
            nodes: self.nodes,
            last_node: self.last_node,
            own: self.own,
            map: self.map,
            tokens: self.tokens,
            roots: self.roots,
            paused: self.paused,
            budget: self.budget,
            access: self.access.today(),
            fleet: self.fleet.today(),
            version: self.version,
        }
    }
}
