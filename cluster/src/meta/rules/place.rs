//! Where groups are meant to be. Owns what a goal may name, and when a move is over.

use super::super::answer::Refusal;
use super::super::node::NodeState;
use super::super::place::{Goal, Place};
use super::super::state::Meta;
use super::{Change, Outcome};
use crate::ids::GroupId;
use crate::limits::{META_LEARNERS_MAX, META_REPLICAS_MAX};

impl Meta {
    pub(in crate::meta) fn aim(&mut self, group: u32, goal: Goal) -> Result<Outcome, Refusal> {
        if let Some(why) = self.fault_of(group, &goal) {
            return Err(Refusal::BadPlace { why });
        }
        let place = self.place_mut(group)?;
        if place.goal == goal {
            return Ok(Outcome::done(Change::No));
        }
        place.aim(goal);
        Ok(Outcome::done(Change::Yes))
    }

    pub(in crate::meta) fn settle(&mut self, group: u32, goal: &Goal) -> Result<Outcome, Refusal> {
        let place = self.place_mut(group)?;
        if place.goal != *goal {
            return Err(Refusal::OtherGoal);
        }
        if place.is_settled() {
            return Ok(Outcome::done(Change::No));
        }
        *place = Place::settled(goal.clone());
        Ok(Outcome::done(Change::Yes))
    }

    /// What is wrong with a goal, if anything.
    fn fault_of(&self, group: u32, goal: &Goal) -> Option<String> {
        let place = match self.place(GroupId(group)) {
            Some(place) => place,
            None => return Some(self.no_such(group)),
        };
        let (voters, learners) = (goal.voters.len(), goal.learners.len());
        if voters.is_multiple_of(2) || voters > META_REPLICAS_MAX {
            return Some(format!(
                "{voters} voters: should be an odd number up to {META_REPLICAS_MAX}"
            ));
        }
        let learners_max = if group == 0 { META_LEARNERS_MAX } else { META_REPLICAS_MAX };
        if learners > learners_max {
            return Some(format!("{learners} learners: should be at most {learners_max}"));
        }
        let mut all: Vec<u64> = goal.members().collect();
        all.sort_unstable();
        if let Some(twice) = all.windows(2).find(|pair| pair[0] == pair[1]) {
            return Some(format!("node {} is named twice: once is right", twice[0]));
        }
        // Who is there already may stay while it drains, so that a move need not finish it.
        let may = |id: &u64| match self.nodes.get(id).map(|node| node.state) {
            Some(NodeState::Active) => true,
            Some(NodeState::Draining) => place.may_hold(*id),
            Some(NodeState::Removed) | None => false,
        };
        let bad = all.iter().find(|id| !may(id))?;
        Some(format!("node {bad} cannot take a replica: should be an active node"))
    }

    fn place_mut(&mut self, group: u32) -> Result<&mut Place, Refusal> {
        let why = self.no_such(group);
        let slot = match group.checked_sub(1) {
            None => Some(&mut self.own),
            Some(shard) => self.map.get_mut(shard as usize),
        };
        slot.ok_or(Refusal::BadPlace { why })
    }

    fn no_such(&self, group: u32) -> String {
        format!("there is no group {group}: should be 0 to {}", self.map.len())
    }
}
