//! Scores of loads, and which owners move for them.

use super::super::load::Loads;
use super::super::*;
use super::world::World;
use crate::ids::GroupId;
use crate::meta::{Answer, Command, Labels, Profile};

fn load(messages_per_s: u64) -> Load {
    Load { messages_per_s, sessions: messages_per_s * 2, bytes: 0 }
}

#[test]
fn a_score_is_a_share_and_a_handful_of_messages_is_noise() {
    let scores = |loads: [u64; 2]| {
        let mut all = Loads::default();
        let seen = loads.map(load);
        all.observe(0, (0..2).map(|n| (GroupId::shard(n), seen[n as usize])));
        all.scores(2)
    };
    assert_eq!(scores([1000, 1000]), [900, 900]);
    assert_eq!(scores([0, 2000]), [100, 1700]);
    assert_eq!(scores([0, 0]), [100, 100]);
    assert_eq!(scores([0, 2]), [100, 168]);
}

#[test]
fn loads_are_smoothed() {
    let mut all = Loads::default();
    let both = |n| (0..2).map(move |shard| (GroupId::shard(shard), load(n * u64::from(shard + 1))));
    all.observe(0, both(1000));
    let before = all.scores(2);
    all.observe(1000, [(GroupId::shard(0), load(20_000))].into_iter());
    let after = all.scores(2);
    assert!(after[0] > before[0] && after[0] < before[0] * 3 / 2, "{before:?} {after:?}");
}

#[test]
fn weights_and_capacities_are_kept() {
    let mut world = World::settled(1, 30, 3, &[""]);
    let advertise = |node: u64, weight, capacity| {
        let labels = Labels { weight, capacity, ..Labels::default() };
        let profile = Profile { labels, ..Profile::named(format!("n{node}")) };
        Command::Advertise { node, node_uuid: node.into(), profile }
    };
    assert_eq!(world.meta.apply(advertise(1, 300, 0)), Answer::Done);
    // Every shard has a thousand sessions.
    assert_eq!(world.meta.apply(advertise(2, 100, 10_000)), Answer::Done);
    world.run(900);
    let led = world.led();
    assert!((17..=19).contains(&led[&1]) && led[&2] <= 10, "{led:?}");
}

#[test]
fn an_evening_that_was_asked_for_goes_below_the_threshold() {
    let mut world = World::settled(2, 40, 4, &[""]);
    let goal = |world: &World, shard: usize| world.meta.map[shard].goal.clone();
    // One owner off its place is within the threshold.
    let shard = (0..40).find(|n| goal(&world, *n).preferred() == Some(1)).unwrap();
    let to = goal(&world, shard).voters[1];
    let group = u32::try_from(shard).unwrap() + 1;
    let moved = Command::Place { group, goal: goal(&world, shard).preferring(to) };
    assert_eq!(world.meta.apply(moved), Answer::Done);
    world.run(200);
    let uneven = world.led();
    assert_eq!(uneven.values().max(), Some(&11));
    world.balancer.urge();
    world.run(200);
    assert_eq!(world.led().into_values().collect::<Vec<_>>(), [10; 4]);
}
