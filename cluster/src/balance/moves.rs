//! Which goals should change, most urgent first. Owns the comparing of a plan with what is meant now, and what
//! of it goes on while the balancer is paused.

use std::collections::BTreeMap;

use super::observed::Observed;
use super::step::Why;
use crate::ids::GroupId;
use crate::meta::{Goal, Meta};
use crate::placement::{Host, Note, Standing, plan, plan_council};

/// A goal that should change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The group.
    pub group: GroupId,
    /// Where it is meant to be now.
    pub from: Goal,
    /// Where it should be meant to be.
    pub to: Goal,
    /// Why.
    pub why: Why,
}

/// The nodes as placement sees them.
pub(super) fn hosts(meta: &Meta, observed: &Observed, observed_for_ms: u64) -> Vec<Host> {
    Host::of(meta, |id| {
        // One that was never heard of is silent since somebody listens.
        let silent_ms = observed.nodes.get(&id).map_or(observed_for_ms, |seen| seen.silent_ms);
        silent_ms >= meta.budget.lost_after_ms
    })
}

/// Which shards' goals should change, and why the plan is not better.
pub(super) fn changes(meta: &Meta, hosts: &[Host]) -> (Vec<Change>, Vec<Note>) {
    let standing: BTreeMap<u64, Standing> = hosts.iter().map(|h| (h.id, h.standing)).collect();
    let now: Vec<Goal> = meta.map.iter().map(|place| place.goal.clone()).collect();
    let plan = plan(hosts, &now, meta.budget.replicas);
    let groups = (0..).map(GroupId::shard);
    let pairs = groups.zip(now.into_iter().zip(plan.goals));
    let differ = pairs.filter(|(_, (from, to))| from != to && !to.voters.is_empty());
    let mut changes: Vec<Change> = differ
        .map(|(group, (from, to))| {
            let why = why(&from, &to, &standing);
            Change { group, from, to, why }
        })
        .collect();
    changes.sort_by_key(|change| (change.why, change.group));
    (changes, plan.notes)
}

/// Whether and how the meta group should change. While paused, only draining takes a vote away.
pub(super) fn council(meta: &Meta, hosts: &[Host]) -> Option<Change> {
    let from = meta.own.goal.clone();
    let mut to = plan_council(hosts, &from);
    let standing: BTreeMap<u64, Standing> = hosts.iter().map(|h| (h.id, h.standing)).collect();
    // Who drains loses its vote at once, and follows until it is removed.
    let drains = |id: &u64| {
        standing.get(id) == Some(&Standing::Leaving) && !to.voters.iter().any(|voter| voter == id)
    };
    let why = match from.voters.iter().any(drains) {
        true => Why::Drain,
        false => why(&from, &to, &standing),
    };
    if meta.paused && why != Why::Drain && to.voters != from.voters {
        let all: Vec<u64> = to.members().chain(from.members()).collect();
        to.voters.clone_from(&from.voters);
        to.learners = all.into_iter().filter(|id| !from.voters.contains(id)).collect();
        to.learners.sort_unstable();
        to.learners.dedup();
        to.learners.retain(|id| standing.contains_key(id));
    }
    (from != to && !to.voters.is_empty()).then_some(Change { group: GroupId::META, from, to, why })
}

fn why(from: &Goal, to: &Goal, standing: &BTreeMap<u64, Standing>) -> Why {
    let leaves = |id: &u64, wanted: Standing| {
        // A member that nobody lists was removed: its replicas are as good as lost.
        let is = standing.get(id).copied().unwrap_or(Standing::Lost);
        is == wanted && !to.members().any(|member| member == *id)
    };
    if from.members().any(|id| leaves(&id, Standing::Leaving)) {
        Why::Drain
    } else if from.members().any(|id| leaves(&id, Standing::Lost)) {
        Why::Lost
    } else if to.members().count() > from.members().count() || to.voters.len() > from.voters.len() {
        Why::Grow
    } else {
        Why::Even
    }
}
