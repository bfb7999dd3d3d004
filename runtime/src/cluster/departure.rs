//! Before a node stops for a while: what it leads goes to others that say that they may own. Replicas stay as
//! they are, for it comes back; nobody hands anything to it meanwhile, as it says that it may not own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt, stream};
use pollux_cluster::{Group, NodeId};

use super::meta::Decider;
use crate::limits::{DEPARTURES_MAX, HAND_OVERS_MAX};
use crate::shard::ShardHandle;
use crate::shards::Shards;

/// See the module.
pub(super) struct Departure<'a> {
    pub(super) node: NodeId,
    pub(super) decider: &'a Decider,
    pub(super) shards: &'a Shards,
}

impl Departure<'_> {
    /// Gives away what can be given away. Where nobody is there to take it, it ends at once.
    pub(super) async fn run(&self) {
        for _ in 0..DEPARTURES_MAX {
            let owned: Vec<_> =
                self.shards.all().into_iter().filter(|shard| leads(shard.group())).collect();
            let meta = Some(self.decider.group()).filter(|group| leads(group));
            let groups = owned.iter().map(|shard| shard.group()).chain(meta);
            let alone = groups
                .map(Group::metrics)
                .all(|group| group.members.voters.iter().all(|voter| *voter == self.node));
            if alone {
                return;
            }
            let takers = self.decider.takers().await;
            if takers.is_empty() {
                tracing::info!("no other node can take what this one leads");
                return;
            }
            if let Some(group) = meta {
                give(group, &takers).await;
            }
            let aimed = aim(self.node, &owned, &takers);
            // One that stops meanwhile takes nothing more; the next round asks anew.
            let gone = Mutex::new(BTreeSet::new());
            let handed = stream::iter(aimed).map(|(shard, to)| self.hand_over(shard, to, &gone));
            handed.buffer_unordered(HAND_OVERS_MAX).collect::<()>().await;
        }
    }

    async fn hand_over(&self, shard: Arc<ShardHandle>, to: NodeId, gone: &Mutex<BTreeSet<NodeId>>) {
        let is_gone = || gone.lock().unwrap_or_else(PoisonError::into_inner).contains(&to);
        if is_gone() || !self.decider.may_own(to).await {
            gone.lock().unwrap_or_else(PoisonError::into_inner).insert(to);
            return;
        }
        let address = self.decider.device_address(to);
        if let Err(problem) = shard.hand_over().run(to, address).await {
            gone.lock().unwrap_or_else(PoisonError::into_inner).insert(to);
            tracing::warn!(shard = %shard.id(), %to, problem, "a shard is not handed over");
        }
    }
}

fn leads(group: &Group) -> bool {
    group.leadership().borrow().ours.is_some()
}

/// Hands the meta group's leadership to a voter that is there.
async fn give(group: &Group, takers: &BTreeSet<NodeId>) {
    let voters = group.metrics().members.voters;
    let Some(to) = voters.iter().find(|voter| takers.contains(voter)) else { return };
    if let Err(problem) = group.hand_over(Some(*to)).await {
        tracing::warn!(%to, %problem, "the meta group is not handed over");
    }
}

/// Who takes which shard: a voter of it, each taker about as many as the others.
fn aim(
    node: NodeId,
    owned: &[Arc<ShardHandle>],
    takers: &BTreeSet<NodeId>,
) -> Vec<(Arc<ShardHandle>, NodeId)> {
    let voters = owned.iter().map(|shard| shard.group().metrics().members.voters);
    let voters: Vec<BTreeSet<NodeId>> = voters.collect();
    let to = spread(node, &voters, takers);
    owned.iter().cloned().zip(to).filter_map(|(shard, to)| Some((shard, to?))).collect()
}

fn spread(
    node: NodeId,
    groups: &[BTreeSet<NodeId>],
    takers: &BTreeSet<NodeId>,
) -> Vec<Option<NodeId>> {
    let mut given: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut choose = |voters: &BTreeSet<NodeId>| {
        let able = voters.intersection(takers).filter(|voter| **voter != node);
        let to = *able.min_by_key(|voter| (given.get(voter).copied().unwrap_or(0), **voter))?;
        *given.entry(to).or_default() += 1;
        Some(to)
    };
    groups.iter().map(&mut choose).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ids: &[u64]) -> BTreeSet<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    fn check(groups: &[&[u64]], takers: &[u64], expected: &[u64]) {
        let groups: Vec<_> = groups.iter().map(|voters| set(voters)).collect();
        let to = spread(NodeId(1), &groups, &set(takers));
        // 0 stands for nobody.
        let to: Vec<_> = to.into_iter().map(|to| to.map_or(0, |node| node.0)).collect();
        assert_eq!(to, expected);
    }

    #[test]
    fn shards_go_evenly_to_voters_that_can_take_them() {
        check(&[&[1, 2, 3], &[1, 2, 3], &[1, 2, 3], &[1, 2, 3]], &[2, 3], &[2, 3, 2, 3]);
        check(&[&[1, 2, 3], &[1, 2, 4], &[1, 3, 4]], &[2, 4], &[2, 4, 4]);
        check(&[&[1, 2, 3], &[1]], &[3], &[3, 0]);
        check(&[&[1, 2, 3]], &[1, 5], &[0]);
        check(&[], &[2], &[]);
    }
}
