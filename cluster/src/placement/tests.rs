//! Plans by example, and their laws over seeded clusters of up to a hundred nodes and a thousand shards.

use std::collections::{BTreeMap, BTreeSet};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::meta::Labels;

fn host(id: u64, zone: &str, weight: u32) -> Host {
    let labels = Labels { zone: zone.into(), weight, capacity: 0 };
    Host { id, labels, standing: Standing::Fit }
}

fn alike(nodes: u64) -> Vec<Host> {
    (1..=nodes).map(|id| host(id, "", 100)).collect()
}

fn fresh(shards: usize) -> Vec<Goal> {
    vec![Goal::default(); shards]
}

fn held(goals: &[Goal]) -> BTreeMap<u64, usize> {
    let mut held = BTreeMap::new();
    goals.iter().flat_map(Goal::members).for_each(|id| *held.entry(id).or_default() += 1);
    held
}

fn owned(goals: &[Goal]) -> BTreeMap<u64, usize> {
    let mut owned = BTreeMap::new();
    goals.iter().filter_map(Goal::preferred).for_each(|id| *owned.entry(id).or_default() += 1);
    owned
}

/// Replicas that are in one list of goals and not at the same shard in the other.
fn moved(from: &[Goal], to: &[Goal]) -> usize {
    let members = |goal: &Goal| goal.members().collect::<BTreeSet<_>>();
    from.iter().zip(to).map(|(a, b)| members(b).difference(&members(a)).count()).sum()
}

/// What must be so of any plan.
fn whole(hosts: &[Host], plan: &Plan, replicas: usize) {
    let fit: BTreeSet<u64> =
        hosts.iter().filter(|h| h.standing == Standing::Fit).map(|h| h.id).collect();
    let lost: BTreeSet<u64> =
        hosts.iter().filter(|h| h.standing == Standing::Lost).map(|h| h.id).collect();
    for goal in &plan.goals {
        let members: BTreeSet<u64> = goal.members().collect();
        assert_eq!(members.len(), goal.members().count(), "twice in {goal:?}");
        assert!(goal.voters.len() % 2 == 1 && members.len() <= replicas, "{goal:?}");
        let silent = members.intersection(&lost).count();
        let leaving = members.iter().filter(|id| !fit.contains(id) && !lost.contains(id)).count();
        assert!(leaving == 0 || !lost.is_empty(), "it could have left: {goal:?}");
        let spare = fit.iter().any(|id| !members.contains(id));
        assert!(silent == 0 || !spare, "a spare was left: {goal:?}");
        if lost.is_empty() {
            assert_eq!(members.len(), replicas.min(fit.len()), "{goal:?}");
        }
        let zone = |id: &u64| hosts.iter().find(|h| h.id == *id).map(|h| &h.labels.zone);
        let zones: BTreeSet<_> =
            hosts.iter().filter(|h| h.standing == Standing::Fit).map(|h| &h.labels.zone).collect();
        let used: BTreeSet<_> =
            members.iter().filter(|id| fit.contains(id)).filter_map(zone).collect();
        assert!(used.len() >= zones.len().min(members.len() - silent - leaving), "{goal:?}");
    }
    let again = super::plan(hosts, &plan.goals, u32::try_from(replicas).unwrap());
    assert_eq!(&again, plan, "a plan is content with itself");
}

#[test]
fn few_nodes_get_what_they_can_carry() {
    let shape = |nodes| {
        let plan = plan(&alike(nodes), &fresh(4), 3);
        whole(&alike(nodes), &plan, 3);
        let goal = &plan.goals[0];
        (goal.voters.len(), goal.learners.len(), plan.notes)
    };
    assert_eq!(shape(1), (1, 0, vec![Note::FewNodes { nodes: 1, replicas: 3 }]));
    assert_eq!(shape(2), (1, 1, vec![Note::FewNodes { nodes: 2, replicas: 3 }]));
    assert_eq!(shape(3), (3, 0, vec![]));
    assert_eq!(shape(4), (3, 0, vec![]));
    let none = plan(&[], &fresh(2), 3);
    assert_eq!((none.goals, none.notes), (fresh(2), vec![Note::NoNode]));
    let two = Note::FewNodes { nodes: 2, replicas: 3 }.to_string();
    assert!(two.contains("one voter and one learner"), "{two}");
}

#[test]
fn a_founder_shares_with_those_that_join() {
    let alone = plan(&alike(1), &fresh(64), 3).goals;
    let two = plan(&alike(2), &alone, 3).goals;
    assert!(two.iter().all(|goal| goal.voters == [1] && goal.learners == [2]));
    let three = plan(&alike(3), &two, 3).goals;
    assert!(three.iter().all(|goal| goal.voters[0] == 1 && goal.voters.len() == 3));
    let four = plan(&alike(4), &three, 3).goals;
    assert_eq!(held(&four), [(1, 48), (2, 48), (3, 48), (4, 48)].into());
    assert_eq!(moved(&three, &four), 48);
}

#[test]
fn owners_and_replicas_follow_the_weights() {
    let mut hosts = alike(6);
    hosts[0].labels.weight = 200;
    let plan = plan(&hosts, &fresh(700), 3);
    whole(&hosts, &plan, 3);
    let (held, owned) = (held(&plan.goals), owned(&plan.goals));
    assert!((595..=605).contains(&held[&1]), "{held:?}");
    assert!((195..=205).contains(&owned[&1]), "{owned:?}");
    for id in 2..=6 {
        assert!((298..=302).contains(&held[&id]), "{held:?}");
        assert!((95..=105).contains(&owned[&id]), "{owned:?}");
    }
}

#[test]
fn a_lost_node_is_kept_where_nobody_can_take_its_place() {
    let mut hosts = alike(3);
    let before = plan(&hosts, &fresh(8), 3).goals;
    hosts[2].standing = Standing::Lost;
    let silent = plan(&hosts, &before, 3);
    assert_eq!(silent.notes, [Note::NoSpare { node: 3, shards: 8 }]);
    assert!(silent.goals.iter().all(|goal| goal.voters.len() == 3 && goal.voters[0] != 3));
    hosts.push(host(4, "", 100));
    let healed = plan(&hosts, &silent.goals, 3);
    assert_eq!(held(&healed.goals), [(1, 8), (2, 8), (4, 8)].into());
    whole(&hosts, &healed, 3);
}

#[test]
fn a_leaving_node_is_emptied_even_if_fewer_replicas_remain() {
    let mut hosts = alike(3);
    let before = plan(&hosts, &fresh(8), 3).goals;
    hosts[0].standing = Standing::Leaving;
    let after = plan(&hosts, &before, 3);
    assert!(after.goals.iter().all(|goal| goal.voters.len() == 1 && goal.learners.len() == 1));
    assert_eq!(held(&after.goals), [(2, 8), (3, 8)].into());
}

#[test]
fn a_leaving_node_stays_while_another_is_lost() {
    let mut hosts = alike(3);
    let before = plan(&hosts, &fresh(2), 3).goals;
    hosts[0].standing = Standing::Lost;
    hosts[1].standing = Standing::Leaving;
    let plan_now = plan(&hosts, &before, 3);
    assert!(plan_now.notes.contains(&Note::Stays { node: 2, shards: 2 }), "{:?}", plan_now.notes);
    let stuck = plan_now.goals;
    assert_eq!(moved(&stuck, &before), 0);
    assert_eq!(moved(&before, &stuck), 0);
    assert!(stuck.iter().all(|goal| goal.preferred() == Some(3)));
    hosts.extend([host(4, "", 100), host(5, "", 100)]);
    assert_eq!(held(&plan(&hosts, &stuck, 3).goals), [(3, 2), (4, 2), (5, 2)].into());
}

#[test]
fn zones_come_before_evenness_and_it_is_said() {
    let mut hosts = vec![host(1, "a", 100)];
    hosts.extend((2..=6).map(|id| host(id, "b", 100)));
    hosts.extend((7..=11).map(|id| host(id, "c", 100)));
    let plan = plan(&hosts, &fresh(100), 3);
    whole(&hosts, &plan, 3);
    let held = held(&plan.goals);
    assert_eq!(held[&1], 100);
    assert!((2..=11).all(|id| held[&id] == 20), "{held:?}");
    assert_eq!(plan.notes, [Note::Crowded { node: 1, held: 100, share: 27 }]);
    let two = super::plan(&hosts[..6], &fresh(4), 3);
    assert!(two.notes.contains(&Note::FewZones { zones: 2, replicas: 3 }), "{:?}", two.notes);
}

#[test]
fn labels_that_come_later_spread_what_is_there() {
    let before = plan(&alike(6), &fresh(60), 3).goals;
    let hosts: Vec<Host> = (1..=6)
        .zip(["a", "b", "c"].into_iter().cycle())
        .map(|(id, zone)| host(id, zone, 100))
        .collect();
    let after = plan(&hosts, &before, 3);
    whole(&hosts, &after, 3);
    assert!(held(&after.goals).values().all(|held| *held == 30), "{:?}", held(&after.goals));
}

#[test]
fn the_meta_group_has_five_voters_and_everybody_follows() {
    let mut hosts: Vec<Host> = vec![];
    let mut goal = Goal::of([1]);
    for (nodes, voters) in [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (9, 5)] {
        hosts.extend((hosts.len() as u64 + 1..=nodes).map(|id| host(id, "", 100)));
        goal = plan_council(&hosts, &goal);
        assert_eq!((goal.voters.len(), goal.members().count() as u64), (voters, nodes));
        assert_eq!(goal.preferred(), Some(1));
        assert_eq!(plan_council(&hosts, &goal), goal);
    }
    hosts[1].standing = Standing::Lost;
    goal = plan_council(&hosts, &goal);
    assert_eq!(goal.voters, [1, 6, 3, 4, 5]);
    assert!(goal.learners.contains(&2), "it will follow again when it comes back");
    hosts[1].standing = Standing::Leaving;
    goal = plan_council(&hosts, &goal);
    assert!(goal.learners.contains(&2), "it follows until it is removed");
    hosts[0].standing = Standing::Leaving;
    goal = plan_council(&hosts, &goal);
    assert!(goal.learners.contains(&1) && !goal.voters.contains(&1), "without its vote");
    hosts.remove(1);
    goal = plan_council(&hosts, &goal);
    assert!(goal.members().all(|id| id != 2));
}

/// One seeded life of a cluster: nodes come, go, are lost and found.
fn life(seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let zones = rng.random_range(1..5_usize);
    let shards = *[7, 64, 256, 1024].get(rng.random_range(0..4_usize)).unwrap();
    let most = *[5, 12, 100].get(rng.random_range(0..3_usize)).unwrap();
    let replicas = if rng.random_bool(0.8) { 3 } else { 5 };
    let mut hosts: Vec<Host> = vec![];
    let mut goals = fresh(shards);
    for _ in 0..12 {
        for _ in 0..rng.random_range(1..=most / 4 + 1) {
            match rng.random_range(0..10) {
                0..6 if hosts.len() < most => {
                    let id = hosts.last().map_or(1, |host| host.id + 1);
                    let zone = ["", "a", "b", "c", "d"][rng.random_range(0..zones)];
                    hosts.push(host(
                        id,
                        zone,
                        if id % 4 == 3 { 300 } else { 100 / (1 + u32::from(id % 4 == 2)) },
                    ));
                }
                6 if hosts.len() > 1 => {
                    hosts.remove(rng.random_range(0..hosts.len()));
                }
                7.. if !hosts.is_empty() => {
                    let at = rng.random_range(0..hosts.len());
                    hosts[at].standing =
                        [Standing::Fit, Standing::Lost, Standing::Leaving][rng.random_range(0..3)];
                }
                _ => {}
            }
        }
        if !hosts.iter().any(|host| host.standing == Standing::Fit) {
            continue;
        }
        let plan = plan(&hosts, &goals, replicas);
        whole(&hosts, &plan, replicas as usize);
        goals = plan.goals;
    }
}

#[test]
fn plans_keep_their_laws_through_seeded_lives() {
    for seed in 0..24 {
        println!("seed {seed}");
        life(seed);
    }
}

#[test]
fn a_new_node_takes_its_share_and_nothing_else_moves() {
    for (nodes, shards) in [(3, 64), (5, 256), (20, 1024), (99, 1024)] {
        let before = plan(&alike(nodes), &fresh(shards), 3).goals;
        let after = plan(&alike(nodes + 1), &before, 3).goals;
        let (held, new) = (held(&after), nodes + 1);
        let share = shards * 3 / usize::try_from(new).unwrap();
        assert!((share..=share + 1).contains(&held[&new]), "{held:?}");
        assert_eq!(moved(&before, &after), held[&new], "only what the new node takes moves");
        assert!(held.values().max().unwrap() - held.values().min().unwrap() <= 1, "{held:?}");
    }
}

#[test]
fn a_leaving_nodes_shards_move_and_no_others() {
    let mut hosts = alike(20);
    let before = plan(&hosts, &fresh(1024), 3).goals;
    hosts[4].standing = Standing::Leaving;
    let after = plan(&hosts, &before, 3).goals;
    assert_eq!(moved(&before, &after), held(&before)[&5]);
    assert!(!held(&after).contains_key(&5));
}
