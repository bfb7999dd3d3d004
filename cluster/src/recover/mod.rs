//! What to make of the data directories that are left when a majority is lost for good. Owns the pure choice:
//! which log of each group is newest, what may be missing in it, and the state of the cluster's next lineage.
//! Leaves to the runtime the reading of the directories, and the writing of what is decided here.

mod outcome;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use outcome::{Loss, Outcome, RecoverFault};

use crate::ids::{GroupId, Position};
use crate::meta::{Goal, Meta, Node, NodeState, Place};
use crate::raft::VoterSets;

/// What one data directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// The cluster's random name in its identity.
    pub cluster: u128,
    /// The lineage in its identity.
    pub lineage: u64,
    /// The node's id in its identity.
    pub node: u64,
    /// The random name that its disk gets for its next life.
    pub next_uuid: u128,
    /// What it knows of the meta group, applied up to the end of its log.
    pub meta: Option<Meta>,
    /// The last entry of each group it holds, checkpoint and log taken together.
    pub last: BTreeMap<GroupId, Position>,
    /// Who had to agree in each of these groups, by the newest membership in checkpoint or log.
    pub voters: BTreeMap<GroupId, VoterSets>,
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The cluster's state in its next lineage. Every group has one voter, the node whose log was
    /// chosen; the balancer gives it others as soon as the cluster runs.
    pub meta: Meta,
    /// The next id of each surviving node, by its old one. The old ones are burned.
    pub ids: BTreeMap<u64, u64>,
    /// What becomes of each group, in order.
    pub outcomes: Vec<Outcome>,
}

impl Recovery {
    /// Whether any group was without a majority: otherwise the nodes need only be started.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.outcomes.iter().any(|outcome| outcome.loss != Loss::Nothing)
    }
}

/// Chooses the newest log of each group and founds the next lineage on them.
///
/// # Errors
/// When the directories do not belong together, or none of them knows what the cluster agreed on.
pub fn recover(survivors: &[Survivor]) -> Result<Recovery, RecoverFault> {
    let base = base(survivors)?;
    let mut meta = base.clone();
    meta.lineage += 1;
    meta.version += 1;
    meta.tokens.clear();
    meta.fleet.next_life();
    let mut ids = BTreeMap::new();
    for survivor in survivors {
        meta.last_node += 1;
        ids.insert(survivor.node, meta.last_node);
        let old = base.nodes.get(&survivor.node).ok_or(RecoverFault::UnknownNode(survivor.node))?;
        let profile = old.profile.clone();
        let node = Node { uuid: survivor.next_uuid, starts: 0, profile, state: NodeState::Active };
        meta.nodes.insert(meta.last_node, node);
    }
    for old in base.nodes.keys() {
        if let Some(node) = meta.nodes.get_mut(old) {
            node.remove();
        }
    }
    let mut held: BTreeMap<u64, usize> = survivors.iter().map(|s| (s.node, 0)).collect();
    let mut outcomes = Vec::new();
    for (group, place) in base.places() {
        let outcome = outcome(group, place, survivors, &held);
        *held.entry(outcome.node).or_default() += 1;
        let settled = Place::settled(Goal::of([ids[&outcome.node]]));
        match group.0.checked_sub(1) {
            None => meta.own = settled,
            Some(shard) => meta.map[shard as usize] = settled,
        }
        outcomes.push(outcome);
    }
    Ok(Recovery { meta, ids, outcomes })
}

/// The newest state that any directory has of what was agreed, once it is clear that they belong together.
fn base(survivors: &[Survivor]) -> Result<&Meta, RecoverFault> {
    let first = survivors.first().ok_or(RecoverFault::NoDirectory)?;
    let newest_lineage = survivors.iter().map(|s| s.lineage).max().unwrap_or_default();
    let mut seen = BTreeSet::new();
    for survivor in survivors {
        let node = survivor.node;
        if survivor.cluster != first.cluster {
            return Err(RecoverFault::OtherCluster { node, than: first.node });
        }
        if survivor.lineage != newest_lineage {
            let Survivor { lineage, .. } = survivor;
            return Err(RecoverFault::OldLineage { node, lineage: *lineage, newest_lineage });
        }
        if !seen.insert(node) {
            return Err(RecoverFault::Twice(node));
        }
    }
    let known = survivors.iter().filter_map(|survivor| {
        let meta = survivor.meta.as_ref().filter(|meta| meta.is_founded())?;
        Some((newness(survivor.last.get(&GroupId::META)), std::cmp::Reverse(survivor.node), meta))
    });
    let newest = known.max_by_key(|(newness, node, _)| (*newness, *node));
    newest.map(|(_, _, meta)| meta).ok_or(RecoverFault::NoMeta)
}

fn outcome(
    group: GroupId,
    place: &Place,
    survivors: &[Survivor],
    held: &BTreeMap<u64, usize>,
) -> Outcome {
    let holders = || survivors.iter().filter(|survivor| survivor.last.contains_key(&group));
    // Of equally new logs rather that of a node that has little else to own.
    let newest = holders().max_by_key(|survivor| {
        let node = survivor.node;
        let little = std::cmp::Reverse((held.get(&node).copied(), node));
        (newness(survivor.last.get(&group)), little)
    });
    let emptiest = || survivors.iter().map(|s| s.node).min_by_key(|n| (held.get(n).copied(), *n));
    let node = newest.map(|survivor| survivor.node).or_else(emptiest).unwrap_or_default();
    let there: BTreeSet<u64> = holders().map(|survivor| survivor.node).collect();
    let sets = sets(group, place, newest);
    let voters: BTreeSet<u64> = sets.iter().flatten().copied().collect();
    let missing: Vec<u64> = voters.difference(&there).copied().collect();
    let majority = |set: &BTreeSet<u64>| set.intersection(&there).count() * 2 > set.len();
    let loss = match newest {
        None => Loss::Everything { missing },
        // Whatever was acknowledged is on a majority, so that any majority has it, and the newest log
        // of a majority has all of it.
        Some(_) if sets.iter().all(majority) => Loss::Nothing,
        Some(_) => Loss::Newest { missing },
    };
    Outcome { group, node, last: newest.and_then(|s| s.last.get(&group).copied()), loss }
}

/// Who had to agree in the group. The newest log itself says it: had others been agreed on since, a
/// majority of these would have heard of it, and one of them is here if a majority is. What was meant for
/// the group may be older than that, and stands in where no log says anything.
fn sets(group: GroupId, place: &Place, newest: Option<&Survivor>) -> VoterSets {
    let known = newest.and_then(|survivor| survivor.voters.get(&group));
    known.filter(|sets| !sets.is_empty()).cloned().unwrap_or_else(|| {
        [&place.goal.voters, &place.acting].map(|set| set.iter().copied().collect()).into()
    })
}

/// The order in which an election would compare two logs: by the leader that wrote the last entry, then by
/// its index.
fn newness(last: Option<&Position>) -> Option<(u64, u64, u64)> {
    last.map(|last| (last.term, last.leader, last.index))
}
