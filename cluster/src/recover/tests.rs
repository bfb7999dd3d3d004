//! Recoveries by example, and against a played election over random logs.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::meta::{Answer, Command, Newcomer, Profile};

const NOW: u64 = 1_700_000_000_000;

/// A cluster of this many nodes whose two shards and meta group are on nodes 1, 2 and 3.
fn cluster(nodes: u8) -> Meta {
    let mut meta = Meta::default();
    let profile = Profile::named("n1");
    let founding =
        Command::Found { cluster: 7, shards: 2, fingerprint: 0, node_uuid: 101, profile };
    assert_eq!(meta.apply(founding), Answer::Node(1));
    for n in 2..=nodes {
        let issue = Command::IssueToken { hash: [n; 32], ttl_ms: 60_000, now_ms: NOW };
        assert_eq!(meta.apply(issue), Answer::Done);
        let profile = Profile::named(format!("n{n}"));
        let node_uuid = 100 + u128::from(n);
        let newcomer = Newcomer { token: [n; 32], node_uuid, fingerprint: 0, profile, now_ms: NOW };
        assert_eq!(meta.apply(Command::Join(newcomer)), Answer::Node(n.into()));
    }
    for group in 0..3 {
        let goal = Goal::of([1, 2, 3]);
        meta.apply(Command::Place { group, goal: goal.clone() });
        meta.apply(Command::Settle { group, goal });
    }
    meta
}

fn survivor(node: u64, meta: &Meta, last: &[(u32, u64, u64)]) -> Survivor {
    let position = |term, index| Position { term, leader: 1, index };
    Survivor {
        cluster: 7,
        lineage: meta.lineage,
        node,
        next_uuid: 200 + u128::from(node),
        meta: Some(meta.clone()),
        last: last
            .iter()
            .map(|(group, term, index)| (GroupId(*group), position(*term, *index)))
            .collect(),
        voters: BTreeMap::new(),
    }
}

fn fault(survivors: &[Survivor], expected: &RecoverFault) {
    assert_eq!(recover(survivors).as_ref(), Err(expected));
}

#[test]
fn one_of_three_goes_on_and_says_what_may_be_lost() {
    let meta = cluster(4);
    let survivors =
        [survivor(3, &meta, &[(0, 4, 90), (1, 4, 70)]), survivor(4, &meta, &[(0, 4, 88)])];
    let recovery = recover(&survivors).unwrap();
    assert!(recovery.is_needed());
    assert_eq!(recovery.ids, [(3, 5), (4, 6)].into());
    let next = &recovery.meta;
    assert_eq!((next.lineage, next.last_node, next.cluster), (2, 6, 7));
    assert!((1..=4).all(|id| !next.nodes[&id].is_member()), "old ids are burned");
    assert_eq!((next.nodes[&5].uuid, &next.nodes[&5].profile.name[..]), (203, "n3"));
    assert_eq!(next.own, Place::settled(Goal::of([5])));
    // Shard 1 is nowhere: it begins empty where there is least.
    assert_eq!(next.map, [Place::settled(Goal::of([5])), Place::settled(Goal::of([6]))]);
    let text: Vec<String> = recovery.outcomes.iter().map(ToString::to_string).collect();
    assert_eq!(text[1], "shard 0: goes on at 70@4.1 of node 3; what only nodes 1, 2 had is lost");
    assert_eq!(text[2], "shard 1: no directory holds it; it begins empty on node 4");
    // And the cluster lives on from there.
    let mut next = next.clone();
    let start = Command::Start {
        node: 5,
        node_uuid: 203,
        starts: 1,
        fingerprint: 0,
        formats: crate::meta::Formats::OURS,
    };
    assert_eq!(next.apply(start), Answer::Node(5));
}

#[test]
fn a_majority_has_everything_and_the_newest_log_is_chosen() {
    let meta = cluster(3);
    // The longer log is the older one.
    let last_1 = [(0, 3, 50), (1, 2, 900), (2, 5, 10)];
    let last_2 = [(0, 3, 50), (1, 3, 800), (2, 5, 11)];
    let recovery = recover(&[survivor(1, &meta, &last_1), survivor(2, &meta, &last_2)]).unwrap();
    assert!(!recovery.is_needed());
    let nodes: Vec<u64> = recovery.outcomes.iter().map(|outcome| outcome.node).collect();
    assert_eq!(nodes, [1, 2, 2]);
    assert!(recovery.outcomes[0].to_string().ends_with("nothing is lost"));
}

#[test]
fn a_move_that_was_not_over_needs_both_majorities() {
    let mut meta = cluster(5);
    meta.apply(Command::Place { group: 1, goal: Goal::of([3, 4, 5]) });
    let last = [(0, 1, 5), (1, 1, 5), (2, 1, 5)];
    let two = [survivor(4, &meta, &last), survivor(5, &meta, &last)];
    let missing = vec![1, 2, 3];
    assert_eq!(recover(&two).unwrap().outcomes[1].loss, Loss::Newest { missing });
    let all = [1, 2, 4, 5].map(|node| survivor(node, &meta, &last));
    assert_eq!(recover(&all).unwrap().outcomes[1].loss, Loss::Nothing);
}

#[test]
fn the_groups_own_word_on_its_voters_is_newer_than_what_was_meant() {
    let meta = cluster(5);
    let last = [(0, 1, 5), (1, 1, 5), (2, 1, 5)];
    let mut survivors = [1, 2].map(|node| survivor(node, &meta, &last));
    let missing = vec![3, 4, 5];
    for survivor in &mut survivors {
        survivor.voters.insert(GroupId(1), vec![[1, 2, 3].into(), [3, 4, 5].into()]);
    }
    let outcomes = recover(&survivors).unwrap().outcomes;
    assert_eq!(outcomes[1].loss, Loss::Newest { missing }, "a change of voters was under way");
    assert_eq!(outcomes[2].loss, Loss::Nothing, "nothing but what was meant is known");
    // An older log knows less, and does not speak.
    survivors[0].last.insert(GroupId(1), Position { term: 2, leader: 1, index: 6 });
    survivors[0].voters.insert(GroupId(1), vec![[1, 2, 4].into()]);
    assert_eq!(recover(&survivors).unwrap().outcomes[1].loss, Loss::Nothing);
}

#[test]
fn the_newest_agreement_is_chosen() {
    let old = cluster(3);
    let mut new = old.clone();
    new.apply(Command::Pause);
    let survivors = [survivor(1, &old, &[(0, 2, 9)]), survivor(2, &new, &[(0, 3, 4)])];
    let recovery = recover(&survivors).unwrap();
    assert!(recovery.meta.paused);
    assert_eq!(recovery.meta.own.goal, Goal::of([recovery.ids[&2]]));
}

#[test]
fn directories_that_do_not_belong_together_are_refused() {
    let meta = cluster(3);
    let good = || survivor(1, &meta, &[(0, 1, 1)]);
    let other = |change: fn(&mut Survivor)| {
        let mut survivor = survivor(2, &meta, &[(0, 1, 1)]);
        change(&mut survivor);
        [good(), survivor]
    };
    fault(&[], &RecoverFault::NoDirectory);
    fault(&other(|s| s.cluster = 8), &RecoverFault::OtherCluster { node: 2, than: 1 });
    let old = RecoverFault::OldLineage { node: 1, lineage: 1, newest_lineage: 2 };
    fault(&other(|s| s.lineage = 2), &old);
    fault(&other(|s| s.node = 1), &RecoverFault::Twice(1));
    fault(&other(|s| s.node = 9), &RecoverFault::UnknownNode(9));
    let blind = Survivor { meta: None, ..good() };
    fault(&[blind], &RecoverFault::NoMeta);
}

proptest! {
    /// Logs as leaders leave them: each term's leader had the newest log of some majority and got its
    /// entries to some of the others. What a majority had must be in the log that is chosen, whichever
    /// majority survives.
    #[test]
    fn what_a_majority_had_survives_in_any_majority(
        terms in vec((0..3_usize, 0..3_usize, 1..4_u64, [0..4_u64, 0..4, 0..4]), 1..8),
        lost in 0..3_usize,
    ) {
        let mut logs: [Vec<(u64, u64)>; 3] = Default::default();
        let mut acknowledged: Vec<(u64, u64)> = Vec::new();
        for (term, (one, other, wrote, reached)) in (1..).zip(terms) {
            let newest = |node: &usize| (logs[*node].last().copied(), logs[*node].len());
            let voters = [one, if one == other { (other + 1) % 3 } else { other }];
            let leader = voters.into_iter().max_by_key(newest).unwrap();
            let mut log = logs[leader].clone();
            for n in 0..wrote {
                log.push((term, n));
            }
            let before = logs[leader].len();
            for node in 0..3 {
                // A follower's log becomes a beginning of the leader's, if anything reached it.
                let got = if node == leader { wrote } else { reached[node].min(wrote) };
                if got > 0 {
                    logs[node] = log[..before + usize::try_from(got).unwrap()].to_vec();
                }
            }
            let on_majority = |end: &usize| {
                (*end > before) && logs.iter().filter(|l| l.get(..*end) == Some(&log[..*end])).count() > 1
            };
            if let Some(end) = (0..=log.len()).rev().find(on_majority) {
                acknowledged = log[..end].to_vec();
            }
        }
        let meta = cluster(3);
        let survivors: Vec<Survivor> = (0..3)
            .filter(|node| *node != lost)
            .map(|node| {
                let mut survivor = survivor(node as u64 + 1, &meta, &[]);
                if let Some((term, _)) = logs[node].last() {
                    let index = logs[node].len() as u64;
                    let last = Position { term: *term, leader: 0, index };
                    survivor.last.insert(GroupId(1), last);
                }
                survivor
            })
            .collect();
        let outcome = recover(&survivors).unwrap().outcomes.swap_remove(1);
        let node = usize::try_from(outcome.node - 1).unwrap();
        if outcome.loss == Loss::Nothing {
            prop_assert_eq!(logs[node].get(..acknowledged.len()), Some(&acknowledged[..]));
        } else {
            prop_assert!(survivors.iter().any(|s| s.last.is_empty()));
        }
    }
}
