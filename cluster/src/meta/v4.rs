//! The image of version 4, from before policies had filters. Owns its shape, which never changes again, and what it means
//! today; written in clusters that were not raised to [`POLICY_FILTERS_LEVEL`].
//!
//! Commands need no shape of their own: those of version 4 have the same bytes in version 5, which has one more.
//!
//! [`POLICY_FILTERS_LEVEL`]: super::node::POLICY_FILTERS_LEVEL

use std::collections::BTreeMap;

use rkyv::{Archive, Deserialize, Serialize};

use super::node::Node;
use super::place::Place;
use super::settings::{Budget, Token};
use super::state;
use crate::access::{self, Audited, Policy, Principal};
use crate::fleet::Fleet;

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

/// Of this version and the one before.
#[derive(Archive, Serialize, Deserialize)]
pub(super) struct Access {
    principals: BTreeMap<String, Principal>,
    tokens: BTreeMap<u64, access::Token>,
    policies: BTreeMap<String, Policy>,
    audit: Vec<Audited>,
}

impl Access {
    pub(super) fn of(today: &access::Access) -> Self {
        Self {
            principals: today.principals.clone(),
            tokens: today.tokens.clone(),
            policies: today.policies.clone(),
            audit: today.audit.clone(),
        }
    }

    pub(super) fn today(self) -> access::Access {
        let Self { principals, tokens, policies, audit } = self;
        access::Access { principals, tokens, policies, audit, ..access::Access::default() }
    }
}

impl Meta {
    /// The state as version 4 writes it: without what it does not know, of which there is nothing yet.
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
            fleet: today.fleet.clone(),
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
            fleet: self.fleet,
            version: self.version,
        }
    }
}
