//! How a cluster begins. Owns the first state: one node that holds everything.

use super::super::answer::{Answer, Refusal};
use super::super::node::{Node, NodeState, Profile};
use super::super::place::{Goal, Place};
use super::super::state::Meta;
use super::Outcome;
use crate::limits::META_SHARDS_MAX;

/// The id of the first node.
const FIRST: u64 = 1;

impl Meta {
    pub(in crate::meta) fn found(
        &mut self,
        cluster: u128,
        shards: u32,
        fingerprint: u64,
        uuid: u128,
        profile: Profile,
    ) -> Result<Outcome, Refusal> {
        if self.is_founded() {
            let same = self.cluster == cluster
                && self.map.len() == shards as usize
                && self.nodes.get(&FIRST).is_some_and(|node| node.uuid == uuid);
            let again = Outcome::Same(Answer::Node(FIRST));
            return if same { Ok(again) } else { Err(Refusal::OtherCluster) };
        }
        if shards == 0 || shards > META_SHARDS_MAX {
            let why = format!("{shards} shards: a cluster has 1 to {META_SHARDS_MAX}");
            return Err(Refusal::Invalid { why });
        }
        if let Some(why) = profile.fault() {
            return Err(Refusal::Invalid { why });
        }
        let place = Place::settled(Goal::of([FIRST]));
        *self = Self {
            cluster,
            lineage: 1,
            fingerprint,
            level: profile.formats.newest,
            last_node: FIRST,
            own: place.clone(),
            map: vec![place; shards as usize],
            version: self.version,
            ..Self::default()
        };
        self.nodes.insert(FIRST, Node { uuid, starts: 0, profile, state: NodeState::Active });
        Ok(Outcome::Changed(Answer::Node(FIRST)))
    }

    pub(super) fn same_configuration(&self, fingerprint: u64) -> Result<(), Refusal> {
        if fingerprint == self.fingerprint { Ok(()) } else { Err(Refusal::OtherConfiguration) }
    }
}
