//! The stages of one move, by example.

use std::collections::BTreeMap;

use super::super::*;
use crate::ids::GroupId;
use crate::meta::{Command, Goal, Place};

const GROUP: GroupId = GroupId(1);

/// A group of these voters and learners, led by its first voter, on nodes that are all there but one.
fn check(place: &Place, voters: &[&[u64]], learners: &[(u64, u64)], dead: u64, expected: &Stage) {
    let up = |id: u64| {
        let silent_ms = if id == dead { 60_000 } else { 0 };
        NodeSeen { silent_ms, up_ms: 60_000, may_own: true }
    };
    let mut lag: BTreeMap<u64, u64> =
        voters.iter().flat_map(|set| set.iter()).map(|v| (*v, 0)).collect();
    lag.extend(learners.iter().copied());
    let seen = GroupSeen {
        leader: voters[0].first().copied(),
        voters: voters.iter().map(|set| set.iter().copied().collect()).collect(),
        learners: learners.iter().map(|(id, _)| *id).collect(),
        lag,
        load: Load::default(),
    };
    let nodes = (1..=6).map(|id| (id, up(id))).collect();
    let observed = Observed { nodes, groups: [(GROUP, seen)].into() };
    assert_eq!(&stage(GROUP, place, &observed), expected);
}

fn moving(from: &[u64], to: &[u64]) -> Place {
    let leaving = from.iter().copied().filter(|id| !to.contains(id)).collect();
    Place { goal: Goal::of(to), acting: from.into(), leaving }
}

fn add(node: u64) -> Action {
    Action::AddLearner { group: GROUP, leader: 1, node }
}

fn vote(voters: &[u64]) -> Action {
    Action::SetVoters { group: GROUP, leader: 1, voters: voters.into() }
}

#[test]
fn a_replica_moves_in_order() {
    let place = moving(&[1, 2, 3], &[1, 2, 4]);
    let all: &[&[u64]] = &[&[1, 2, 3]];
    check(&place, all, &[], 0, &Stage::NotBegun(add(4)));
    check(&place, all, &[(4, 5000)], 0, &Stage::CatchingUp { node: 4 });
    check(&place, all, &[(4, 10)], 0, &Stage::Next(vote(&[1, 2, 4])));
    check(&place, &[&[1, 2, 3], &[1, 2, 4]], &[], 0, &Stage::Next(vote(&[1, 2, 4])));
    let drop = Action::RemoveLearner { group: GROUP, leader: 1, node: 3 };
    check(&place, &[&[1, 2, 4]], &[(3, 0)], 0, &Stage::Next(drop));
    let goal = Goal::of([1, 2, 4]);
    let settle = Action::Decide(Box::new(Command::Settle { group: 1, goal: goal.clone() }));
    check(&place, &[&[1, 2, 4]], &[], 0, &Stage::Reached(settle));
    check(&Place::settled(goal), &[&[1, 2, 4]], &[], 0, &Stage::Settled);
}

#[test]
fn those_without_a_vote_hold_nothing_up_unless_they_are_there() {
    let place = |voters: &[u64], learners: &[u64]| Place {
        goal: Goal { voters: voters.into(), learners: learners.into() },
        acting: vec![1, 2, 3],
        leaving: vec![],
    };
    let all: &[&[u64]] = &[&[1, 2, 3]];
    // The vote of 4 comes first, and 5 is away.
    check(&place(&[1, 2, 4], &[5]), all, &[(4, 0)], 5, &Stage::Next(vote(&[1, 2, 4])));
    let three = place(&[1, 2, 3], &[5]);
    check(&three, all, &[], 5, &Stage::Settled);
    check(&three, all, &[], 0, &Stage::NotBegun(add(5)));
    check(&three, all, &[(5, 9000), (6, 0)], 0, &Stage::CatchingUp { node: 5 });
    let drop = Action::RemoveLearner { group: GROUP, leader: 1, node: 6 };
    check(&three, all, &[(5, 1), (6, 0)], 0, &Stage::Next(drop));
    // A learner that has caught up before is no move of this group's: adding another begins one.
    check(&place(&[1, 4, 5], &[]), &[&[1]], &[(4, 0)], 0, &Stage::NotBegun(add(5)));
    check(&place(&[1, 4, 5], &[]), &[&[1]], &[(4, 9000)], 0, &Stage::Next(add(5)));
}

#[test]
fn an_owner_hands_over_before_it_loses_its_vote() {
    let place = moving(&[1, 2, 3], &[2, 3, 4]);
    let to = |to| Stage::Next(Action::Transfer { group: GROUP, leader: 1, to });
    check(&place, &[&[1, 2, 3]], &[(4, 0)], 0, &to(2));
    check(&place, &[&[1, 2, 3]], &[(4, 0)], 2, &to(3));
    // Nobody of the goal votes yet: for a moment both sets do.
    let place = moving(&[1], &[2]);
    check(&place, &[&[1]], &[(2, 0)], 0, &Stage::Next(vote(&[1, 2])));
    check(&place, &[&[1, 2]], &[], 0, &to(2));
}

#[test]
fn votes_wait_for_those_that_are_away() {
    let place = moving(&[1, 2, 3], &[1, 2, 4]);
    check(&place, &[&[1, 2, 3]], &[], 4, &Stage::WaitingFor { node: 4 });
    check(&place, &[&[1, 2, 3]], &[(4, 50_000)], 4, &Stage::WaitingFor { node: 4 });
    check(&place, &[&[1, 2, 3]], &[(4, 0)], 3, &Stage::Next(vote(&[1, 2, 4])));
    let lonely = moving(&[1, 2, 3], &[1, 4, 5]);
    check(&lonely, &[&[1, 2, 3]], &[(4, 0), (5, 0)], 3, &Stage::Next(vote(&[1, 4, 5])));
    check(&lonely, &[&[1, 2, 3]], &[(4, 0), (5, 9000)], 0, &Stage::CatchingUp { node: 5 });
    let nobody = Observed::default();
    assert_eq!(stage(GROUP, &place, &nobody), Stage::Leaderless);
}
