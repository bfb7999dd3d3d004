//! The image of version 3, from before the meta group knew what tenants may have and who comes by a certificate of a
//! batch. Owns its shape, which never changes again, and what it means today; still written while there is none of
//! either.

use std::collections::BTreeMap;

use rkyv::{Archive, Deserialize, Serialize};

use super::node::Node;
use super::place::Place;
use super::settings::{Budget, Token};
use super::state;
use crate::access::Access;
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

impl Meta {
    /// The state as version 3 writes it, if that is all of it.
    pub(super) fn of(today: &state::Meta) -> Option<Self> {
        let fleet = &today.fleet;
        (fleet.tenants.is_empty() && fleet.claims.is_empty()).then(|| Self {
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
            access: today.access.clone(),
            fleet: Fleet {
                types: fleet.types.clone(),
                groups: fleet.groups.clone(),
                enrolments: fleet.enrolments.clone(),
                versions_above: fleet.versions_above,
            },
            version: today.version,
        })
    }

    /// The state today: what was new since is at its beginning.
    pub(super) fn today(self) -> state::Meta {
        let fleet = fleet::Fleet {
            types: self.fleet.types,
            groups: self.fleet.groups,
            enrolments: self.fleet.enrolments,
            versions_above: self.fleet.versions_above,
            ..fleet::Fleet::default()
        };
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
            access: self.access,
            fleet,
            version: self.version,
        }
    }
}
