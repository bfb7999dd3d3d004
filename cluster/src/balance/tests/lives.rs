//! What must come of seeded clusters: they converge, keep their budget and their majorities, and lie still.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;

use super::super::load::Loads;
use super::super::*;
use super::world::{self, World};
use crate::ids::GroupId;
use crate::meta::{Answer, Budget, Command, NodeState};

fn even(counts: impl IntoIterator<Item = usize>, slack: usize) {
    let counts: Vec<usize> = counts.into_iter().collect();
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(most - least <= slack, "{counts:?}");
}

#[test]
fn a_founder_shares_with_two_that_join() {
    let mut world = World::founded(1, 16);
    world.run(10);
    world.join("");
    world.settle(300);
    let place = world.meta.place(GroupId::shard(3)).unwrap();
    assert_eq!((&place.goal.voters[..], &place.goal.learners[..]), (&[1][..], &[2][..]));
    world.join("");
    world.settle(600);
    assert!(world.meta.map.iter().all(|place| place.acting.len() == 3));
    assert_eq!(world.meta.own.acting.len(), 3);
    // What was moved before all three could own rests a while.
    world.run(400);
    even(world.led().into_values(), 1);
}

#[test]
fn a_new_node_takes_its_share_of_replicas_and_owners() {
    let mut world = World::settled(2, 64, 4, &[""]);
    let (copies, transfers) = (world.copies, world.transfers);
    let new = world.join("");
    world.settle(900);
    let held = world.held();
    even(held.values().copied(), 1);
    assert_eq!(world.copies - copies, held[&new], "only its share is copied");
    even(world.led().into_values(), 4);
    assert!(world.transfers - transfers <= 40, "{} transfers", world.transfers - transfers);
}

#[test]
fn a_drained_node_is_emptied_and_can_be_removed() {
    let mut world = World::settled(3, 64, 5, &["a", "b", "c", "d", "e"]);
    assert_eq!(world.meta.apply(Command::Drain { node: 2 }), Answer::Done);
    let first = world.now_ms;
    while world.led()[&2] > 0 {
        world.tick();
        assert!(world.now_ms < first + 60_000, "owners leave first and soon");
    }
    assert!(world.held()[&2] > 20, "replicas take longer");
    world.settle(900);
    assert_eq!(world.held()[&2], 0);
    assert_eq!(world.meta.apply(Command::Remove { node: 2 }), Answer::Done);
    world.machines.remove(&2);
    world.settle(100);
    even(world.held().into_values(), 1);
}

#[test]
fn a_drain_goes_on_while_paused_and_nothing_else_does() {
    let mut world = World::settled(4, 32, 4, &[""]);
    assert_eq!(world.meta.apply(Command::Pause), Answer::Done);
    let new = world.join("");
    world.settle(200);
    assert_eq!(world.held().get(&new), Some(&0));
    assert!(world.meta.own.goal.members().any(|id| id == new), "it follows what is agreed");
    assert_eq!(world.meta.apply(Command::Drain { node: 1 }), Answer::Done);
    world.settle(900);
    assert_eq!(world.held()[&1], 0);
    assert_eq!(world.meta.apply(Command::Resume), Answer::Done);
    world.settle(900);
    even(world.held().into_values().filter(|held| *held > 0), 1);
}

#[test]
fn a_dead_nodes_replicas_are_placed_anew_after_a_while() {
    let mut world = World::settled(5, 64, 5, &["a", "b", "c"]);
    let copies = world.copies;
    world.set_alive(3, false);
    world.run(200);
    assert_eq!(world.copies, copies, "it may come back");
    world.run(150);
    world.settle(900);
    assert_eq!(world.held()[&3], 0);
    assert!(world.groups.values().all(|group| group.configs[0].len() >= 3));
}

#[test]
fn a_node_that_returns_gets_its_owners_back_bit_by_bit() {
    let mut world = World::settled(6, 64, 4, &[""]);
    let before = world.led();
    world.set_alive(1, false);
    world.run(30);
    assert_eq!(world.led()[&1], 0);
    world.set_alive(1, true);
    for _ in 0..14 {
        world.tick();
        assert_eq!(world.led()[&1], 0, "not at once");
    }
    let mut led = 0;
    for _ in 0..90 {
        world.tick();
        let now = world.led()[&1];
        assert!(now <= led + 2, "{led} to {now} in a second");
        led = now;
    }
    assert_eq!(world.led(), before);
}

#[test]
fn a_new_leader_keeps_still_until_nothing_of_the_last_can_be_on_its_way() {
    let mut world = World::settled(12, 32, 4, &[""]);
    assert_eq!(world.meta.apply(Command::Drain { node: 1 }), Answer::Done);
    world.run(2);
    assert!(world.led()[&1] < 8, "owners are on their way");
    world.forget();
    let before = (world.transfers, world.meta.version);
    world.run(4);
    assert_eq!((world.transfers, world.meta.version), before);
    world.settle(600);
    assert_eq!(world.held()[&1], 0, "and then it goes on");
}

#[test]
fn a_node_that_may_not_own_hands_over_and_keeps_its_replicas() {
    let mut world = World::settled(7, 32, 3, &[""]);
    let before = world.led();
    world.machines.get_mut(&2).unwrap().may_own = false;
    world.run(30);
    assert_eq!((world.led()[&2], world.held()[&2]), (0, 32));
    world.machines.get_mut(&2).unwrap().may_own = true;
    world.run(60);
    assert_eq!(world.led(), before);
}

#[test]
fn an_emptied_disk_is_replaced() {
    let mut world = World::settled(8, 32, 3, &[""]);
    world.set_alive(2, false);
    world.run(5);
    let newcomer = world.newcomer("");
    assert_eq!(world.meta.apply(Command::Replace { old: 2, newcomer }), Answer::Node(4));
    let machine = world::Machine { alive: true, since_ms: world.now_ms, may_own: true };
    world.machines.insert(4, machine);
    world.settle(900);
    assert_eq!(world.held(), [(1, 32), (3, 32), (4, 32)].into());
    assert!(world.meta.places().all(|(_, place)| !place.may_hold(2)));
    even(world.led().into_values(), 3);
}

/// What each node's shards cost it, without the noise; 12,000 on average.
fn carried(world: &World) -> BTreeMap<u64, u64> {
    let mut loads = Loads::default();
    loads.observe(0, world.groups.iter().map(|(group, played)| (*group, played.load)));
    let mut carried = BTreeMap::new();
    for (score, played) in loads.scores(48).into_iter().zip(world.groups.values().skip(1)) {
        *carried.entry(played.leader.unwrap()).or_default() += score;
    }
    carried
}

#[test]
fn a_learners_disk_is_replaced_within_the_budget() {
    let mut world = World::settled(13, 32, 2, &[""]);
    world.set_alive(2, false);
    let newcomer = world.newcomer("");
    assert_eq!(world.meta.apply(Command::Replace { old: 2, newcomer }), Answer::Node(3));
    let machine = world::Machine { alive: true, since_ms: world.now_ms, may_own: true };
    world.machines.insert(3, machine);
    world.settle(600);
    assert_eq!(world.held(), [(1, 32), (3, 32)].into());
}

#[test]
fn a_node_that_never_came_does_not_hold_up_the_meta_group() {
    let mut world = World::settled(14, 8, 6, &[""]);
    let never = world.join("");
    world.set_alive(never, false);
    world.run(20);
    world.set_alive(4, false);
    world.run(400);
    assert!(world.meta.own.goal.learners.contains(&never));
    assert!(!world.meta.own.acting.contains(&4), "{:?}", world.meta.own);
}

#[test]
fn hot_shards_are_spread_and_noise_moves_nothing() {
    let mut world = World::settled(9, 48, 4, &[""]);
    world.noise = 30;
    // All that node 1 owns becomes four times as busy.
    for (_, played) in world.groups.iter_mut().filter(|(_, played)| played.leader == Some(1)) {
        played.load.messages_per_s *= 4;
    }
    let before = (world.transfers, carried(&world));
    assert!(before.1.values().any(|score| *score > 15_000), "{before:?}");
    world.run(900);
    assert!(world.transfers > before.0 + 3, "the load is spread");
    let after = carried(&world);
    assert!(after.values().all(|score| (10_500..=13_500).contains(score)), "{after:?}");
    let settled = world.transfers;
    world.run(1000);
    assert_eq!(world.transfers, settled, "noise of a third moves nothing");
}

#[test]
fn a_rehearsal_names_what_will_be_done() {
    let mut world = World::settled(10, 32, 4, &[""]);
    world.join("");
    let observed = world.observe();
    let changes = world.balancer.rehearse(world.now_ms, &world.meta, &observed);
    let replicas = changes.iter().filter(|change| change.why == Why::Even).count();
    let copies = world.copies;
    world.settle(900);
    assert_eq!(world.copies - copies, replicas);
}

#[test]
fn thousands_of_replicas_on_a_hundred_nodes_converge() {
    let mut world = World::settled(11, 1024, 100, &["a", "b", "c", "d", "e"]);
    let budget = Budget { moves_max: 32, transfers_max: 16, ..Budget::default() };
    assert_eq!(world.meta.apply(Command::Budget(budget)), Answer::Done);
    let new = world.join("a");
    assert_eq!(world.meta.apply(Command::Drain { node: 7 }), Answer::Done);
    world.settle(900);
    assert_eq!(world.held()[&7], 0);
    assert!(world.held()[&new] >= 25, "{}", world.held()[&new]);
    let zone = |id: &u64| world.meta.nodes[id].profile.labels.zone.clone();
    for played in world.groups.values().skip(1) {
        let zones: BTreeSet<_> = played.configs[0].iter().map(zone).collect();
        assert_eq!(zones.len(), 3);
    }
}

/// Steps are lost, joint changes stop half-way, leaders of the meta group come and go, and so do nodes,
/// one at a time.
fn life(seed: u64) {
    let mut world = World::settled(seed, 24, 5, &["a", "b", "c"]);
    (world.loss, world.noise) = (20, 20);
    for _ in 0..6 {
        match world.rng.random_range(0..5) {
            0 => {
                let zone = ["a", "b", "c"][world.rng.random_range(0..3)];
                world.join(zone);
            }
            1 => {
                let ids: Vec<u64> = world.meta.active().map(|(id, _)| id).collect();
                if ids.len() > 3 {
                    let node = ids[world.rng.random_range(0..ids.len())];
                    assert_eq!(world.meta.apply(Command::Drain { node }), Answer::Done);
                }
            }
            2 => {
                let draining = |n: &crate::meta::Node| n.state == NodeState::Draining;
                let node = world.meta.members().find(|(_, n)| draining(n)).map(|(id, _)| id);
                if let Some(node) = node {
                    assert_eq!(world.meta.apply(Command::Undrain { node }), Answer::Done);
                }
            }
            _ => {
                let ids: Vec<u64> = world.meta.members().map(|(id, _)| id).collect();
                let node = ids[world.rng.random_range(0..ids.len())];
                let ticks = [5, 60, 330][world.rng.random_range(0..3)];
                world.set_alive(node, false);
                world.run(ticks);
                world.set_alive(node, true);
                world.run(20);
            }
        }
        let ticks = world.rng.random_range(0..60);
        world.run(ticks);
        world.forget();
    }
    world.loss = 0;
    world.settle(1500);
    let fit: Vec<u64> = world.meta.active().map(|(id, _)| id).collect();
    let held = world.held();
    assert!(held.iter().all(|(id, held)| fit.contains(id) || *held == 0), "{held:?}");
}

#[test]
fn clusters_survive_what_happens_to_them() {
    for seed in 100..108 {
        println!("seed {seed}");
        life(seed);
    }
}
