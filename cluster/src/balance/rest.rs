//! Whether a cluster is at rest: every node answers, and every group is where it is meant to be, with as many
//! replicas as there should be. Owns what keeps it from that, for people; leaves to the balancer what is done
//! about it.

use std::fmt;

use super::moves;
use super::observed::Observed;
use super::stage::{Stage, stage};
use super::step::Why;
use crate::ids::GroupId;
use crate::meta::Meta;

/// What keeps a cluster from rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrest {
    /// A node does not answer.
    Silent {
        /// The node.
        node: u64,
    },
    /// Nobody leads a group, or nobody reported it.
    Leaderless {
        /// The group.
        group: GroupId,
    },
    /// A group is on the way to the replicas it is meant to have.
    Moving {
        /// The group.
        group: GroupId,
    },
    /// A replica is behind.
    Behind {
        /// The group.
        group: GroupId,
        /// The node whose replica it is.
        node: u64,
    },
    /// A group is yet to be meant to be elsewhere.
    Misplaced {
        /// The group.
        group: GroupId,
        /// Why it should be.
        why: Why,
    },
}

impl fmt::Display for Unrest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent { node } => write!(f, "node {node} does not answer"),
            Self::Leaderless { group } => write!(f, "{group} has no owner that answers"),
            Self::Moving { group } => write!(f, "{group} moves to the nodes it is meant to be on"),
            Self::Behind { group, node } => write!(f, "node {node} catches up with {group}"),
            Self::Misplaced { group, why } => {
                write!(f, "{group} is to have other replicas, since {why}")
            }
        }
    }
}

/// What keeps the cluster from rest, the first of it; none when it is at rest.
#[must_use]
pub fn unrest(meta: &Meta, observed: &Observed) -> Option<Unrest> {
    let silent = meta.members().find(|(id, _)| !observed.is_alive(*id));
    if let Some((node, _)) = silent {
        return Some(Unrest::Silent { node });
    }
    let moving = meta.places().find_map(|(group, place)| match stage(group, place, observed) {
        Stage::Settled => {
            let seen = observed.groups.get(&group)?;
            let late = place.goal.members().find(|node| !seen.is_caught_up(*node));
            late.map(|node| Unrest::Behind { group, node })
        }
        Stage::CatchingUp { node } => Some(Unrest::Behind { group, node }),
        Stage::Leaderless => Some(Unrest::Leaderless { group }),
        _ => Some(Unrest::Moving { group }),
    });
    moving.or_else(|| {
        let hosts = moves::hosts(meta, observed, 0);
        let shards = moves::changes(meta, &hosts).0.into_iter();
        let wanted = shards.filter(|change| !meta.paused || change.why == Why::Drain);
        let mut all = moves::council(meta, &hosts).into_iter().chain(wanted);
        all.next().map(|change| Unrest::Misplaced { group: change.group, why: change.why })
    })
}

/// Whether every shard is owned by the node that is meant to own it.
#[must_use]
pub fn is_owned_as_meant(meta: &Meta, observed: &Observed) -> bool {
    let leader = |group| observed.groups.get(&group).and_then(|seen| seen.leader);
    meta.places().skip(1).all(|(group, place)| leader(group) == place.goal.preferred())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{GroupSeen, Load, NodeSeen};
    use super::*;
    use crate::meta::{Answer, Command, Goal, Labels, Newcomer, Profile};

    /// A cluster of two shards on `nodes` nodes that is as it is meant to be.
    fn at_rest(nodes: u64) -> (Meta, Observed) {
        let mut meta = Meta::default();
        let profile = Profile::named("n1");
        let found = Command::Found { cluster: 1, shards: 2, fingerprint: 0, node_uuid: 1, profile };
        assert_eq!(meta.apply(found), Answer::Node(1));
        for n in 2..=nodes {
            let token = [u8::try_from(n).unwrap(); 32];
            let issue = Command::IssueToken { hash: token, ttl_ms: 60_000, now_ms: 1 };
            assert_eq!(meta.apply(issue), Answer::Done);
            let profile = Profile { labels: Labels::default(), ..Profile::named(format!("n{n}")) };
            let newcomer =
                Newcomer { token, node_uuid: u128::from(n), fingerprint: 0, profile, now_ms: 1 };
            assert_eq!(meta.apply(Command::Join(newcomer)), Answer::Node(n));
        }
        let up = NodeSeen { silent_ms: 0, up_ms: 60_000, may_own: true };
        let up = (1..=nodes).map(|node| (node, up)).collect();
        let mut observed = Observed { nodes: up, groups: BTreeMap::new() };
        // Whatever placement wants is what is meant and what is.
        for _ in 0..4 {
            let hosts = moves::hosts(&meta, &observed, 0);
            let shards = moves::changes(&meta, &hosts).0;
            for change in moves::council(&meta, &hosts).into_iter().chain(shards) {
                let (group, goal) = (change.group.0, change.to);
                meta.apply(Command::Place { group, goal: goal.clone() });
                assert_eq!(meta.apply(Command::Settle { group, goal }), Answer::Done);
            }
        }
        let seen = |goal: &Goal| GroupSeen {
            leader: goal.preferred(),
            voters: vec![goal.voters.iter().copied().collect()],
            learners: goal.learners.iter().copied().collect(),
            lag: goal.members().map(|node| (node, 0)).collect::<BTreeMap<_, _>>(),
            load: Load::default(),
        };
        observed.groups = meta.places().map(|(group, place)| (group, seen(&place.goal))).collect();
        (meta, observed)
    }

    fn check(nodes: u64, change: impl FnOnce(&mut Meta, &mut Observed), expected: Option<Unrest>) {
        let (mut meta, mut observed) = at_rest(nodes);
        assert_eq!(unrest(&meta, &observed), None, "{nodes} nodes");
        assert!(is_owned_as_meant(&meta, &observed));
        change(&mut meta, &mut observed);
        assert_eq!(unrest(&meta, &observed), expected);
    }

    #[test]
    fn a_cluster_is_at_rest_or_says_why_not() {
        let group = GroupId::shard(1);
        for nodes in 1..=5 {
            check(nodes, |_, _| {}, None);
        }
        let silent = |_: &mut Meta, seen: &mut Observed| {
            seen.nodes.remove(&2);
        };
        check(3, silent, Some(Unrest::Silent { node: 2 }));
        let headless = |_: &mut Meta, seen: &mut Observed| {
            seen.groups.remove(&group);
        };
        check(3, headless, Some(Unrest::Leaderless { group }));
        let late = |_: &mut Meta, seen: &mut Observed| {
            let seen = seen.groups.get_mut(&group).unwrap();
            let late = *seen.lag.keys().find(|node| Some(**node) != seen.leader).unwrap();
            seen.lag.remove(&late);
            assert_eq!(late, 2);
        };
        check(3, late, Some(Unrest::Behind { group, node: 2 }));
        let drained = |meta: &mut Meta, _: &mut Observed| {
            assert_eq!(meta.apply(Command::Drain { node: 3 }), Answer::Done);
        };
        let expected = Unrest::Misplaced { group: GroupId::META, why: Why::Drain };
        check(3, drained, Some(expected));
    }

    #[test]
    fn an_owner_away_from_home_is_no_unrest() {
        let (meta, mut observed) = at_rest(3);
        let seen = observed.groups.get_mut(&GroupId::shard(0)).unwrap();
        let voters = seen.voters[0].clone();
        seen.leader = voters.into_iter().find(|node| Some(*node) != seen.leader);
        assert_eq!(unrest(&meta, &observed), None);
        assert!(!is_owned_as_meant(&meta, &observed));
    }
}
