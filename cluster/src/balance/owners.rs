//! Which shards should have another preferred owner. Owns the hysteresis: nothing moves before a node's load is
//! off the mean by the threshold, no move overshoots, and what was moved rests.

use std::collections::BTreeMap;

use super::moves::Change;
use super::observed::Observed;
use super::step::Why;
use crate::ids::GroupId;
use crate::meta::{Goal, Meta, NodeState};

/// Load per weight is compared in these units, so that whole numbers do.
const SCALE: u64 = 1_000_000;

/// A node's load, as far as it is counted here.
#[derive(Clone, Copy, Debug, Default)]
struct Carried {
    score: u64,
    sessions: u64,
    weight: u64,
    capacity: u64,
}

impl Carried {
    fn relative(self) -> u64 {
        self.score.saturating_mul(SCALE) / self.weight.max(1)
    }

    fn with(self, score: u64, sessions: u64) -> Self {
        Self { score: self.score + score, sessions: self.sessions + sessions, ..self }
    }

    fn without(self, score: u64, sessions: u64) -> Self {
        Self {
            score: self.score.saturating_sub(score),
            sessions: self.sessions.saturating_sub(sessions),
            ..self
        }
    }

    fn has_room(self) -> bool {
        self.capacity == 0 || self.sessions <= self.capacity
    }
}

/// What owners cost where, while changes are being chosen.
pub(super) struct Owners<'a> {
    meta: &'a Meta,
    observed: &'a Observed,
    scores: &'a [u64],
    nodes: BTreeMap<u64, Carried>,
    goals: Vec<Goal>,
}

impl<'a> Owners<'a> {
    /// Counts every shard where it is meant to be owned.
    pub(super) fn new(meta: &'a Meta, observed: &'a Observed, scores: &'a [u64]) -> Self {
        let goals: Vec<Goal> = meta.map.iter().map(|place| place.goal.clone()).collect();
        let carried = |(id, node): (u64, &crate::meta::Node)| {
            let labels = &node.profile.labels;
            let (weight, capacity) = (u64::from(labels.weight), labels.capacity);
            (id, Carried { weight, capacity, ..Carried::default() })
        };
        let nodes = meta.members().map(carried).collect();
        let mut owners = Self { meta, observed, scores, nodes, goals };
        for shard in 0..owners.goals.len() {
            let (score, sessions) = owners.cost(shard);
            let owner = owners.goals[shard].preferred();
            if let Some(node) = owner.and_then(|owner| owners.nodes.get_mut(&owner)) {
                *node = node.with(score, sessions);
            }
        }
        owners
    }

    fn cost(&self, shard: usize) -> (u64, u64) {
        let group = u32::try_from(shard).map(GroupId::shard).ok();
        let seen = group.and_then(|group| self.observed.groups.get(&group));
        (self.scores[shard], seen.map_or(0, |seen| seen.load.sessions))
    }

    /// Whether a node may become the owner of a shard.
    pub(super) fn can_take(&self, shard: usize, node: u64) -> bool {
        let active = self.meta.nodes.get(&node).is_some_and(|n| n.state == NodeState::Active);
        let group = u32::try_from(shard).map(GroupId::shard).ok();
        let seen = group.and_then(|group| self.observed.groups.get(&group));
        active
            && self.observed.may_own(node)
            && self.goals[shard].voters.contains(&node)
            && seen.is_some_and(|seen| seen.votes(node) && seen.is_caught_up(node))
    }

    /// The voter that could own a shard and carries least, but for one.
    pub(super) fn other_owner(&self, shard: usize, but: u64) -> Option<u64> {
        let others = self.goals[shard].voters.iter().copied().filter(|node| *node != but);
        others
            .filter(|node| self.can_take(shard, *node))
            .min_by_key(|node| (self.nodes.get(node).map(|n| n.relative()), *node))
    }

    /// Notes that a shard goes from its preferred owner to another node.
    pub(super) fn shift(&mut self, shard: usize, to: u64, why: Why) -> Option<Change> {
        let (score, sessions) = self.cost(shard);
        let from = self.goals[shard].clone();
        if let Some(node) = from.preferred().and_then(|id| self.nodes.get_mut(&id)) {
            *node = node.without(score, sessions);
        }
        if let Some(node) = self.nodes.get_mut(&to) {
            *node = node.with(score, sessions);
        }
        self.goals[shard] = from.preferring(to);
        let group = u32::try_from(shard).map(GroupId::shard).ok()?;
        Some(Change { group, from, to: self.goals[shard].clone(), why })
    }

    /// The next move that evens the load, if the unevenness is worth one.
    pub(super) fn next(
        &mut self,
        threshold_percent: u32,
        rests: impl Fn(GroupId) -> bool,
    ) -> Option<Change> {
        let (shard, to) = self.choose(u64::from(threshold_percent), rests)?;
        self.shift(shard, to, Why::Load)
    }

    fn choose(&self, threshold: u64, rests: impl Fn(GroupId) -> bool) -> Option<(usize, u64)> {
        let able: BTreeMap<u64, Carried> = self
            .nodes
            .iter()
            .filter(|(id, _)| self.observed.may_own(**id))
            .filter(|(id, _)| self.meta.nodes[id].state == NodeState::Active)
            .map(|(id, node)| (*id, *node))
            .collect();
        let score: u64 = able.values().map(|node| node.score).sum();
        let weight: u64 = able.values().map(|node| node.weight).sum();
        let mean = score.saturating_mul(SCALE) / weight.max(1);
        let band = Band { mean, wide: mean * threshold / 100, narrow: mean * threshold / 200 };
        let mut givers: Vec<_> = able.iter().collect();
        givers.sort_by_key(|(id, node)| (std::cmp::Reverse(node.relative()), **id));
        for (from, giver) in givers.iter().copied() {
            let best = self.shards_of(*from, &rests).filter_map(|shard| {
                let (score, sessions) = self.cost(shard);
                let fits = |to: &u64| {
                    let taker = able.get(to).filter(|_| to != from)?;
                    let after = (giver.without(score, sessions), taker.with(score, sessions));
                    let wins = band.wins((*giver, *taker), after) && after.1.has_room();
                    (wins && self.can_take(shard, *to)).then(|| {
                        let higher = after.0.relative().max(after.1.relative());
                        (higher, shard, *to)
                    })
                };
                self.goals[shard].voters.iter().filter_map(fits).min()
            });
            if let Some((_, shard, to)) = best.min() {
                return Some((shard, to));
            }
        }
        None
    }

    fn shards_of<'b>(
        &'b self,
        node: u64,
        rests: &'b impl Fn(GroupId) -> bool,
    ) -> impl Iterator<Item = usize> + 'b {
        let may = move |shard: &usize| {
            let group = u32::try_from(*shard).map(GroupId::shard);
            group.is_ok_and(|group| self.observed.groups.contains_key(&group) && !rests(group))
        };
        let owned = move |shard: &usize| self.goals[*shard].preferred() == Some(node);
        (0..self.goals.len()).filter(owned).filter(may)
    }
}

/// Around the mean: outside the wide band something should move, and moves aim at the narrow one. The
/// room between the two is what noise may use up without moving anything.
struct Band {
    mean: u64,
    wide: u64,
    narrow: u64,
}

impl Band {
    fn wins(&self, before: (Carried, Carried), after: (Carried, Carried)) -> bool {
        let (from, to) = (before.0.relative(), before.1.relative());
        let (from_after, to_after) = (after.0.relative(), after.1.relative());
        let uneven = from > self.mean + self.wide || to + self.wide < self.mean;
        let (higher, higher_after) = (from.max(to), from_after.max(to_after));
        let inside = to_after <= self.mean + self.narrow && from_after + self.narrow >= self.mean;
        let smaller = higher_after < higher && (inside || to_after <= from_after);
        // Where a shard is too large to fit, what is won must itself be more than noise.
        uneven && (smaller || higher_after + self.narrow <= higher)
    }
}
