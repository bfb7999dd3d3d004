//! How a node goes: draining, and removal once it holds nothing. Owns the refusal to take away what a group
//! needs for its majority.

use super::super::answer::{Answer, Refusal};
use super::super::node::NodeState;
use super::super::place::Place;
use super::super::state::Meta;
use super::{Change, Outcome};
use crate::ids::GroupId;

impl Meta {
    pub(in crate::meta) fn drain(&mut self, id: u64) -> Result<Outcome, Refusal> {
        self.member(id)?;
        if self.active().all(|(active, _)| active == id) {
            return Err(Refusal::LastNode { node: id });
        }
        let state = &mut self.member_mut(id)?.state;
        Ok(Outcome::done(Change::set(state, NodeState::Draining)))
    }

    pub(in crate::meta) fn undrain(&mut self, id: u64) -> Result<Outcome, Refusal> {
        let state = &mut self.member_mut(id)?.state;
        Ok(Outcome::done(Change::set(state, NodeState::Active)))
    }

    pub(in crate::meta) fn remove(&mut self, id: u64) -> Result<Outcome, Refusal> {
        if self.nodes.get(&id).is_some_and(|node| !node.is_member()) {
            return Ok(Outcome::Same(Answer::Done));
        }
        self.member(id)?;
        if self.active().all(|(active, _)| active == id) {
            return Err(Refusal::LastNode { node: id });
        }
        self.spared(id)?;
        // It may follow the meta group to the end, without a vote: nobody needs that replica.
        let needs = |group: GroupId, place: &Place| match group {
            GroupId::META => place.votes(id),
            _ => place.may_hold(id),
        };
        let held = self.places().filter(|(group, place)| needs(*group, place));
        let held: Vec<u32> = held.map(|(group, _)| group.0).collect();
        if let [first, ..] = held[..] {
            return Err(Refusal::StillPlaced { node: id, groups: count(&held), first });
        }
        self.member_mut(id)?.remove();
        self.own.drop(id);
        Ok(Outcome::done(Change::Yes))
    }

    /// Refuses when a group would have no majority without the node and those removed before it.
    pub(super) fn spared(&self, id: u64) -> Result<(), Refusal> {
        let stays = |node: u64| node != id && self.nodes.get(&node).is_some_and(|n| n.is_member());
        let needing: Vec<u32> = self
            .places()
            .filter(|(_, place)| place.may_hold(id) && !place.keeps_majority(stays))
            .map(|(group, _)| group.0)
            .collect();
        match needing[..] {
            [] => Ok(()),
            [first, ..] => {
                Err(Refusal::NeededForMajority { node: id, groups: count(&needing), first })
            }
        }
    }
}

fn count(groups: &[u32]) -> u32 {
    u32::try_from(groups.len()).unwrap_or(u32::MAX)
}
