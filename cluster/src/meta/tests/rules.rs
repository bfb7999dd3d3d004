//! What commands do and what they refuse, by example.

use super::super::{Addresses, Budget, Goal, Labels, NodeState, Place};
use super::*;

/// Applies to a cluster of three nodes and four shards at node 1. A refusal must change nothing.
fn check(command: Command, expected: Answer) {
    let mut meta = cluster(3);
    let before = meta.clone();
    let answer = meta.apply(command);
    assert_eq!(answer, expected);
    if matches!(answer, Answer::Refused(_)) {
        assert_eq!(meta, before);
    } else {
        assert!((meta.version > before.version) == (meta != before));
    }
}

fn place(group: u32, voters: &[u64], learners: &[u64]) -> Command {
    let goal = Goal { voters: voters.into(), learners: learners.into() };
    Command::Place { group, goal }
}

fn invalid(answer: &Answer, words: &str) {
    match answer {
        Answer::Refused(
            Refusal::Invalid { why } | Refusal::BadPlace { why } | Refusal::BadRoot { why },
        ) => assert!(why.contains(words), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_goes_before_the_founding_and_it_goes_once() {
    let mut meta = Meta::default();
    assert_eq!(meta.apply(Command::Remove { node: 1 }), refused(Refusal::NotFounded));
    assert_eq!(meta, Meta::default());
    check(founding(), Answer::Node(1));
    let Command::Found { shards, fingerprint, node_uuid, profile, .. } = founding() else {
        panic!("it founds");
    };
    let other = Command::Found { cluster: 8, shards, fingerprint, node_uuid, profile };
    check(other, refused(Refusal::OtherCluster));
}

#[test]
fn a_token_lets_one_node_in_and_answers_again_until_its_first_start() {
    let mut meta = cluster(1);
    done(&mut meta, token(1));
    let join = Command::Join(newcomer(1, 200));
    assert_eq!(meta.apply(join.clone()), Answer::Node(2));
    assert_eq!(meta.apply(join.clone()), Answer::Node(2), "the answer may have been lost");
    let other = meta.apply(Command::Join(newcomer(1, 300)));
    assert_eq!(other, refused(Refusal::TokenUsed { node: 2 }));
    assert_eq!(meta.apply(start(2, 200, 1)), Answer::Node(2));
    assert_eq!(meta.apply(join), refused(Refusal::TokenUsed { node: 2 }));
}

#[test]
fn a_token_has_its_time() {
    let mut meta = cluster(1);
    done(&mut meta, token(1));
    let at = |now_ms| Command::Join(Newcomer { now_ms, ..newcomer(1, 200) });
    for wrong in [0, NOW - 60_001, NOW + 60_000, u64::MAX] {
        assert_eq!(meta.apply(at(wrong)), refused(Refusal::TokenExpired));
    }
    let unknown = meta.apply(Command::Join(newcomer(2, 200)));
    assert_eq!(unknown, refused(Refusal::UnknownToken));
    done(&mut meta, token(2));
    done(&mut meta, Command::RevokeToken { hash: [2; 32] });
    let revoked = meta.apply(Command::Join(newcomer(2, 200)));
    assert_eq!(revoked, refused(Refusal::UnknownToken));
    assert_eq!(meta.apply(at(NOW + 59_999)), Answer::Node(2));
    // What has expired makes room when the next one is issued.
    done(&mut meta, Command::IssueToken { hash: [3; 32], ttl_ms: 10_000, now_ms: NOW + 60_000 });
    assert_eq!(meta.tokens.len(), 1);
    for ttl_ms in [0, 9_999, u64::MAX] {
        invalid(&meta.apply(Command::IssueToken { hash: [4; 32], ttl_ms, now_ms: NOW }), "lives");
    }
}

#[test]
fn a_newcomer_must_fit() {
    let mut meta = cluster(2);
    done(&mut meta, token(1));
    let mut ask = |change: fn(&mut Newcomer)| {
        let mut asking = newcomer(1, 300);
        change(&mut asking);
        let before = meta.clone();
        let answer = meta.apply(Command::Join(asking));
        assert_eq!(meta, before, "the token is not used up");
        answer
    };
    assert_eq!(ask(|n| n.fingerprint = 6), refused(Refusal::OtherConfiguration));
    assert_eq!(ask(|n| n.node_uuid = 200), refused(Refusal::KnownDisk { node: 2 }));
    assert_eq!(ask(|n| n.profile.name = "one".into()), refused(Refusal::NameTaken { node: 1 }));
    let level = Formats::OURS.newest;
    let old = Refusal::Formats { level, oldest: 1, newest: 1, node: 0 };
    assert_eq!(ask(|n| n.profile.formats = Formats { oldest: 1, newest: 1 }), refused(old));
    invalid(&ask(|n| n.profile.name = String::new()), "name");
    invalid(&ask(|n| n.profile.labels.zone = "a b".into()), "zone");
    invalid(&ask(|n| n.profile.labels.weight = 0), "drain");
    invalid(&ask(|n| n.profile.addresses.peers = "nowhere".into()), "host:port");
    invalid(&ask(|n| n.profile.addresses.grpc = "host:0".into()), "host:port");
    assert_eq!(meta.apply(Command::Join(newcomer(1, 300))), Answer::Node(3));
}

#[test]
fn ids_are_given_once() {
    let mut meta = cluster(2);
    done(&mut meta, Command::Remove { node: 2 });
    done(&mut meta, Command::Remove { node: 2 });
    let gone = refused(Refusal::GoneNode { node: 2 });
    assert_eq!(meta.apply(start(2, 200, 9)), gone);
    assert_eq!(meta.apply(Command::Drain { node: 2 }), gone);
    done(&mut meta, token(7));
    let again = meta.apply(Command::Join(newcomer(7, 200)));
    assert_eq!(again, refused(Refusal::KnownDisk { node: 2 }));
    assert_eq!(meta.apply(Command::Join(newcomer(7, 201))), Answer::Node(3));
    assert_eq!(meta.apply(start(4, 200, 9)), refused(Refusal::UnknownNode));
}

#[test]
fn a_disk_that_went_back_is_refused() {
    check(start(2, 200, 1), Answer::Node(2));
    check(start(2, 201, 1), refused(Refusal::OtherDisk));
    check(start(7, 200, 1), refused(Refusal::UnknownNode));
    let mut meta = cluster(1);
    assert_eq!(meta.apply(start(1, 100, 5)), Answer::Node(1));
    for back in [5, 4, 0] {
        assert_eq!(meta.apply(start(1, 100, back)), refused(Refusal::WentBack { seen: 5 }));
    }
    assert_eq!(meta.apply(start(1, 100, 6)), Answer::Node(1));
}

#[test]
fn a_node_says_what_it_is_like() {
    let labels = Labels { zone: "b".into(), weight: 50, capacity: 1000 };
    let addresses = Addresses { devices: "[::1]:4433".into(), ..Addresses::default() };
    let profile = Profile { labels, addresses, ..Profile::named("n200") };
    let advertise = |node_uuid| Command::Advertise { node: 2, node_uuid, profile: profile.clone() };
    check(advertise(201), refused(Refusal::OtherDisk));
    let mut meta = cluster(2);
    done(&mut meta, advertise(200));
    assert_eq!(meta.nodes[&2].profile, profile);
    let version = meta.version;
    done(&mut meta, advertise(200));
    assert_eq!(meta.version, version);
    let taken = Command::Advertise { node: 1, node_uuid: 100, profile };
    assert_eq!(meta.apply(taken), refused(Refusal::NameTaken { node: 2 }));
}

#[test]
fn goals_name_nodes_that_are_there() {
    check(place(3, &[2, 1, 3], &[]), Answer::Done);
    check(place(0, &[1], &[2, 3]), Answer::Done);
    for (command, words) in [
        (place(5, &[1], &[]), "no group 5"),
        (place(1, &[], &[]), "odd"),
        (place(1, &[1, 2], &[]), "odd"),
        (place(1, &[1, 1, 2], &[]), "twice"),
        (place(1, &[1], &[1]), "twice"),
        (place(1, &[4], &[]), "node 4"),
        (place(1, &[1], &[2, 3, 4, 5, 6, 7, 8, 9]), "learners"),
    ] {
        invalid(&cluster(3).apply(command), words);
    }
    let mut meta = cluster(3);
    done(&mut meta, Command::Drain { node: 2 });
    invalid(&meta.apply(place(1, &[1, 2, 3], &[])), "node 2");
}

#[test]
fn a_move_leaves_nobody_out_of_sight() {
    let mut meta = cluster(4);
    let goal = Goal::of([2, 3, 4]);
    done(&mut meta, place(1, &[1, 2, 3], &[]));
    done(&mut meta, Command::Place { group: 1, goal: goal.clone() });
    let expected = Place { goal: goal.clone(), acting: vec![1], leaving: vec![1] };
    assert_eq!(meta.map[0], expected);
    let stale = Command::Settle { group: 1, goal: Goal::of([1, 2, 3]) };
    assert_eq!(meta.apply(stale), refused(Refusal::OtherGoal));
    let needed = Refusal::NeededForMajority { node: 1, groups: 5, first: 0 };
    assert_eq!(meta.apply(Command::Remove { node: 1 }), refused(needed));
    done(&mut meta, Command::Settle { group: 1, goal: goal.clone() });
    assert_eq!(meta.map[0], Place::settled(goal));
}

#[test]
fn a_node_that_is_needed_stays() {
    let mut meta = cluster(4);
    for group in 0..5 {
        let goal = Goal::of([1, 2, 3]);
        done(&mut meta, Command::Place { group, goal: goal.clone() });
        done(&mut meta, Command::Settle { group, goal });
    }
    let placed = Refusal::StillPlaced { node: 3, groups: 5, first: 0 };
    let text = placed.to_string();
    assert!(text.contains("meta and 4 other groups") && text.contains("drain"), "{text}");
    assert_eq!(meta.apply(Command::Remove { node: 3 }), refused(placed));
    done(&mut meta, Command::Drain { node: 3 });
    done(&mut meta, Command::Undrain { node: 3 });
    for node in [2, 3, 4] {
        done(&mut meta, Command::Drain { node });
    }
    let last = refused(Refusal::LastNode { node: 1 });
    assert_eq!(meta.apply(Command::Drain { node: 1 }), last);
    // Following the meta group without a vote does not hold a node back, and ends with its removal.
    let follows = Goal { voters: vec![1], learners: vec![4] };
    done(&mut meta, Command::Undrain { node: 4 });
    done(&mut meta, Command::Place { group: 0, goal: follows.clone() });
    done(&mut meta, Command::Settle { group: 0, goal: follows });
    done(&mut meta, Command::Drain { node: 4 });
    done(&mut meta, Command::Remove { node: 4 });
    assert_eq!(meta.nodes[&4].state, NodeState::Removed);
    assert_eq!((&meta.own.goal.learners[..], &meta.own.leaving[..]), (&[][..], &[4][..]));
}

#[test]
fn a_lost_disk_is_replaced_unless_it_held_the_majority() {
    let mut meta = cluster(3);
    let goal = Goal { voters: vec![1, 2, 3], learners: vec![] };
    for group in 1..5 {
        done(&mut meta, Command::Place { group, goal: goal.clone() });
        done(&mut meta, Command::Settle { group, goal: goal.clone() });
    }
    done(&mut meta, token(1));
    let replace = |old| Command::Replace { old, newcomer: newcomer(1, 900) };
    let needed = Refusal::NeededForMajority { node: 1, groups: 1, first: 0 };
    assert_eq!(meta.apply(replace(1)), refused(needed), "the meta group is on node 1 alone");
    assert_eq!(meta.apply(replace(2)), Answer::Node(4));
    assert_eq!(meta.apply(replace(2)), Answer::Node(4));
    assert_eq!(meta.map[0].goal.voters, [1, 4, 3]);
    assert_eq!((&meta.map[0].acting[..], &meta.map[0].leaving[..]), (&[1, 2, 3][..], &[2][..]));
    assert_eq!(meta.apply(start(2, 200, 9)), refused(Refusal::GoneNode { node: 2 }));
    done(&mut meta, token(2));
    // Until node 4 has caught up, only 1 and 3 vote: a second loss is a loss of data.
    let second = Command::Replace { old: 3, newcomer: newcomer(2, 901) };
    let needed = Refusal::NeededForMajority { node: 3, groups: 4, first: 1 };
    assert_eq!(meta.apply(second.clone()), refused(needed));
    let goal = Goal::of([1, 4, 3]);
    for group in 1..5 {
        done(&mut meta, Command::Settle { group, goal: goal.clone() });
    }
    assert_eq!(meta.apply(second), Answer::Node(5));
}

#[test]
fn settings_have_their_ranges() {
    let budget = Budget { transfers_max: 2, ..Budget::default() };
    check(Command::Budget(budget), Answer::Done);
    for (bad, words) in [
        (Budget { transfers_max: 0, ..budget }, "transfers_max"),
        (Budget { moves_max: 65, ..budget }, "moves_max"),
        (Budget { threshold_percent: 0, ..budget }, "threshold"),
        (Budget { replicas: 2, ..budget }, "odd"),
        (Budget { replicas: 9, ..budget }, "1 to 7"),
        (Budget { lost_after_ms: 9, ..budget }, "lost_after_ms"),
    ] {
        invalid(&cluster(1).apply(Command::Budget(bad)), words);
    }
    let mut meta = cluster(1);
    done(&mut meta, Command::Pause);
    assert!(meta.paused);
    done(&mut meta, Command::Resume);
    assert!(!meta.paused);
    done(&mut meta, Command::RaiseLineage { lineage: 4 });
    let old = Refusal::OldLineage { lineage: 4 };
    assert_eq!(meta.apply(Command::RaiseLineage { lineage: 3 }), refused(old));
    done(&mut meta, Command::Configure { fingerprint: 6 });
    assert_eq!(meta.apply(start(1, 100, 1)), refused(Refusal::OtherConfiguration));
}

#[test]
fn a_level_is_raised_when_all_are_upgraded() {
    let mut meta = cluster(2);
    // The cluster is at the level of this program.
    let (oldest, now) = (Formats::OURS.oldest, Formats::OURS.newest);
    let next = now + 1;
    let formats = |newest| Formats { oldest, newest };
    let upgraded = |node: u64, newest| Command::Start {
        node,
        node_uuid: u128::from(node) * 100,
        starts: u64::from(newest),
        fingerprint: SHARED,
        formats: formats(newest),
    };
    assert_eq!(meta.apply(upgraded(1, next)), Answer::Node(1));
    let behind = Refusal::Formats { level: next, oldest, newest: now, node: 2 };
    assert_eq!(meta.apply(Command::Finish { level: next }), refused(behind));
    assert_eq!(meta.apply(upgraded(2, next)), Answer::Node(2));
    done(&mut meta, Command::Finish { level: next });
    assert_eq!(
        meta.apply(Command::Finish { level: now }),
        refused(Refusal::BadLevel { level: next })
    );
    let old = Refusal::Formats { level: next, oldest, newest: now, node: 2 };
    assert_eq!(meta.apply(start(2, 200, 9)), refused(old));
}

#[test]
fn authorities_overlap_and_the_old_one_goes_when_nobody_needs_it() {
    let mut meta = cluster(1);
    let trust = |generation: u32| {
        let certificate = generation.to_le_bytes().to_vec();
        Command::TrustRoot { generation, certificate }
    };
    invalid(&meta.apply(trust(2)), "should be 1");
    done(&mut meta, trust(1));
    let shown = |authority| Command::Advertise {
        node: 1,
        node_uuid: 100,
        profile: Profile { authority, ..Profile::named("one") },
    };
    done(&mut meta, shown(1));
    invalid(&meta.apply(Command::RetireRoot { generation: 1 }), "newer one");
    done(&mut meta, trust(2));
    invalid(&meta.apply(trust(3)), "retire the oldest");
    invalid(&meta.apply(Command::RetireRoot { generation: 1 }), "node 1 still");
    done(&mut meta, shown(2));
    done(&mut meta, Command::RetireRoot { generation: 1 });
    done(&mut meta, trust(3));
    invalid(&meta.apply(Command::RetireRoot { generation: 9 }), "no authority 9");
}
