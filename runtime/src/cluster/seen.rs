//! What the nodes' own words come to, as the balancer takes it: who leads which group, with which members,
//! and how far they are.

use std::collections::{BTreeMap, BTreeSet};

use pollux_cluster::balance::{GroupSeen, Load};
use pollux_cluster::{Group, GroupId, GroupMetrics, NodeId, Quorum};

use crate::status::{MetaStatus, NodeStatus, ShardStatus};

/// What each group's leader in the newest epoch says of it.
pub(super) fn groups(answers: &BTreeMap<u64, NodeStatus>) -> BTreeMap<GroupId, GroupSeen> {
    let shards = owners(answers).into_values();
    let mut groups: BTreeMap<_, _> =
        shards.map(|shard| (GroupId::shard(u32::from(shard.shard)), of_shard(shard))).collect();
    let leaders = answers.iter().filter_map(|(node, status)| Some((*node, status.meta.as_ref()?)));
    if let Some((leader, meta)) = leaders.max_by_key(|(_, meta)| meta.term) {
        groups.insert(GroupId::META, of_meta(leader, meta));
    }
    groups
}

/// What the owner of each shard says of it: whoever leads in the newest epoch.
pub(super) fn owners(answers: &BTreeMap<u64, NodeStatus>) -> BTreeMap<u16, &ShardStatus> {
    let mut owners: BTreeMap<u16, &ShardStatus> = BTreeMap::new();
    for (node, status) in answers {
        for shard in status.shards.iter().filter(|shard| shard.owner == *node) {
            let newest = owners.get(&shard.shard).is_none_or(|other| other.term < shard.term);
            if newest {
                owners.insert(shard.shard, shard);
            }
        }
    }
    owners
}

/// The meta group as this node tells of it, if it leads.
pub(super) fn meta_status(group: &Group) -> Option<MetaStatus> {
    let GroupMetrics { leadership, members, replicas, committed, .. } = group.metrics();
    leadership.ours?;
    let ids = |nodes: &BTreeSet<NodeId>| nodes.iter().map(|node| node.0).collect();
    let known = replicas.iter().filter(|replica| replica.matched.is_some());
    Some(MetaStatus {
        term: leadership.epoch.term,
        voters: ids(&members.voters),
        learners: ids(&members.learners),
        leaving: members.leaving.as_ref().map(ids).unwrap_or_default(),
        lags: known.map(|replica| (replica.node.0, replica.lag_entries)).collect(),
        answered: leadership.quorum == Quorum::Answers,
        committed: committed
            .filter(|committed| committed.term == leadership.epoch.term)
            .map(|committed| committed.index + 1),
    })
}

fn of_meta(leader: u64, meta: &MetaStatus) -> GroupSeen {
    let MetaStatus { voters, learners, leaving, lags, .. } = meta;
    GroupSeen {
        leader: Some(leader),
        voters: configurations(leaving, voters),
        learners: learners.iter().copied().collect(),
        lag: lags.iter().copied().collect(),
        load: Load::default(),
    }
}

fn of_shard(shard: &ShardStatus) -> GroupSeen {
    GroupSeen {
        leader: Some(shard.owner),
        voters: configurations(&shard.leaving, &shard.voters),
        learners: shard.learners.iter().copied().collect(),
        lag: shard.lags.iter().copied().collect(),
        load: Load {
            messages_per_s: shard.messages_per_s,
            sessions: shard.active,
            bytes: shard.bytes,
        },
    }
}

/// The sets of voters in force: during a joint change the old one comes first.
fn configurations(leaving: &[u64], voters: &[u64]) -> Vec<BTreeSet<u64>> {
    let old = (!leaving.is_empty()).then_some(leaving);
    old.into_iter().chain([voters]).map(|nodes| nodes.iter().copied().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::NodeLoad;

    fn said(node: u64, owner: u64, term: u64) -> (u64, NodeStatus) {
        let shard = ShardStatus { owner, term, voters: vec![1, 2, 3], ..ShardStatus::default() };
        let meta = MetaStatus { term, voters: vec![node], ..MetaStatus::default() };
        let status = NodeStatus {
            node,
            lineage: 1,
            may_own: true,
            version: String::new(),
            enforced: false,
            load: NodeLoad::default(),
            artifacts_missing: None,
            shards: vec![shard],
            meta: Some(meta),
        };
        (node, status)
    }

    #[test]
    fn the_newest_epoch_counts() {
        let answers = BTreeMap::from([said(1, 1, 7), said(2, 2, 9), said(3, 2, 11)]);
        let seen = groups(&answers);
        assert_eq!(seen[&GroupId::shard(0)].leader, Some(2), "a follower's word is none");
        assert_eq!(seen[&GroupId::META].leader, Some(3));
    }

    #[test]
    fn both_sets_of_a_joint_change_count() {
        let sets = configurations(&[1, 2], &[3]);
        assert_eq!(sets, [BTreeSet::from([1, 2]), BTreeSet::from([3])]);
        assert_eq!(configurations(&[], &[3]), [BTreeSet::from([3])]);
    }
}
