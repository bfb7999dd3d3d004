//! Histories that chance takes long to come upon, told on purpose in the same world, under the same laws.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::clients::{get, put};
use super::nemesis::crash_for;
use super::node::{Seat, come_anew};
use super::truth::Law;
use super::world::{Mutant, Report, Setup, World, play};
use crate::ids::{Epoch, GroupId, NodeId};
use crate::raft::Demoted;

/// Of the fast profile.
const GROUP: GroupId = GroupId(1);
/// Of the profile that is slowest to elect.
const SLOW: GroupId = GroupId::META;
const LONG: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(2);

fn isolate(world: &World, node: u64) {
    for other in world.node_ids().into_iter().filter(|other| *other != node) {
        world.net.cut(node, other, LONG);
        world.net.cut(other, node, LONG);
    }
}

/// Writes through whoever believes to lead.
async fn put_anywhere(world: &World, group: GroupId) {
    for node in world.node_ids() {
        let Some(seat) = world.seat(node, group) else { continue };
        let ours = seat.group.leadership().borrow().ours;
        if let Some(token) = ours {
            put(world, &seat, token.epoch()).await;
        }
    }
}

/// The leader that a majority follows, once there is one other than those.
async fn leader_but(world: &World, group: GroupId, others: &[u64]) -> (Seat, Epoch) {
    for _ in 0..1000 {
        match world.true_leader(group).await {
            Some((seat, epoch)) if !others.contains(&seat.life.node) => return (seat, epoch),
            _ => sleep(Duration::from_millis(10)).await,
        }
    }
    panic!("no leader but {others:?}");
}

/// A leader that nobody follows any more does not know that a voter has left the group, and that a new
/// replica is in its place, which knows nothing of the epochs and entries the old one had promised to keep.
/// The two must not become a majority.
async fn an_old_leader_meets_a_new_replica(world: Arc<World>, restart: Restart) {
    let (old, epoch) = leader_but(&world, GROUP, &[]).await;
    assert!(put(&world, &old, epoch).await);
    let lost = old.life.node;
    isolate(&world, lost);
    let (next, epoch) = leader_but(&world, GROUP, &[lost]).await;
    for _ in 0..10 {
        put(&world, &next, epoch).await;
    }
    // Everything moves: the voters are the new leader and one that had no replica before.
    let members = next.group.metrics().members;
    let keeps = next.life.node;
    let gone = members.voters.iter().find(|n| ![lost, keeps].contains(&n.0)).unwrap().0;
    let outside = world.node_ids().into_iter().find(|n| !members.contains(NodeId(*n))).unwrap();
    next.group.add_learner(NodeId(outside), members.at.unwrap()).await.unwrap();
    next.group.caught_up(NodeId(outside), Duration::from_secs(5)).await.unwrap();
    let voters = BTreeSet::from([NodeId(keeps), NodeId(outside)]);
    let seen = next.group.metrics().members.at.unwrap();
    next.group.change_voters(&voters, Demoted::Leaves, seen).await.unwrap();
    come_anew(&world, gone, GROUP).await;
    sleep(Duration::from_secs(1)).await;
    if restart == Restart::Yes {
        crash_for(&world, &[lost], MOMENT);
        sleep(Duration::from_secs(2)).await;
    }
    // The old leader reaches the new replica, and nobody else.
    world.net.join(lost, gone);
    world.net.join(gone, lost);
    for _ in 0..40 {
        sleep(Duration::from_millis(100)).await;
        put_anywhere(&world, GROUP).await;
    }
    world.net.heal();
}

/// A leader's disk stalls while the others commit and the caller has its answer; then its power fails, and
/// it is back before anybody noticed.
async fn a_leader_loses_what_the_others_have(world: Arc<World>) {
    let (seat, epoch) = leader_but(&world, GROUP, &[]).await;
    let node = seat.life.node;
    world.nodes.lock().unwrap()[&node].stall(LONG);
    for _ in 0..5 {
        put(&world, &seat, epoch).await;
    }
    crash_for(&world, &[node], MOMENT);
    for _ in 0..100 {
        sleep(Duration::from_millis(10)).await;
        put_anywhere(&world, GROUP).await;
    }
}

/// Power fails everywhere right after an answer.
async fn all_lose_power(world: Arc<World>) {
    for _ in 0..3 {
        let (seat, epoch) = leader_but(&world, GROUP, &[]).await;
        for _ in 0..5 {
            put(&world, &seat, epoch).await;
        }
        crash_for(&world, &world.node_ids(), MOMENT);
        sleep(Duration::from_secs(1)).await;
    }
}

/// A replica was away until the log had gone. Of the messages by which it is brought up many get lost, and
/// some come twice; what has come stays there, and the rest follows.
async fn a_replica_is_brought_up_through_losses(world: Arc<World>) {
    let (seat, epoch) = leader_but(&world, GROUP, &[]).await;
    let voters = seat.group.metrics().members.voters;
    let away = voters.iter().find(|node| node.0 != seat.life.node).unwrap().0;
    isolate(&world, away);
    for _ in 0..60 {
        put(&world, &seat, epoch).await;
    }
    let before = world.seat(away, GROUP).unwrap().machine.copy().position;
    let mut upto = None;
    for other in voters.iter().filter(|node| node.0 != away) {
        let other = world.seat(other.0, GROUP).unwrap();
        let copy = other.machine.copy();
        upto = copy.position;
        assert!(other.machine.keep(copy) && upto > before);
        other.group.checkpointed(upto.unwrap()).await.unwrap();
        while other.group.metrics().purged <= before {
            sleep(Duration::from_millis(10)).await;
        }
    }
    world.net.heal();
    world.net.lose_pieces(3);
    for _ in 0..600 {
        sleep(Duration::from_millis(100)).await;
        let position = world.seat(away, GROUP).unwrap().machine.copy().position;
        if position >= upto {
            return world.net.heal();
        }
    }
    panic!("node {away} is not brought up");
}

/// A leader hears nobody any more, and all others restart: they forget that they granted it a lease.
async fn others_restart_behind_a_leader(world: Arc<World>) {
    let (old, epoch) = leader_but(&world, SLOW, &[]).await;
    let node = old.life.node;
    put(&world, &old, epoch).await;
    isolate(&world, node);
    let others: Vec<u64> = world.node_ids().into_iter().filter(|id| *id != node).collect();
    crash_for(&world, &others, MOMENT);
    // It is read from as long as it answers.
    while get(&world, &old, epoch).await {
        sleep(Duration::from_millis(5)).await;
        let seats = others.iter().filter_map(|id| world.seat(*id, SLOW));
        let leads = |seat: &Seat| seat.group.leadership().borrow().ours.is_some();
        if let Some(next) = seats.into_iter().find(leads) {
            let ours = next.group.leadership().borrow().ours;
            put(&world, &next, ours.unwrap().epoch()).await;
        }
    }
    world.net.heal();
}

/// Whether the old leader restarts before that, and stands for election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restart {
    Yes,
    No,
}

fn told(seed: u64, restart: Restart, mutant: Option<Mutant>) -> Report {
    let setup = Setup { nodes: 5, groups: 2, single_one_in: 0, mutant, ..Setup::of(seed) };
    let story = |world| an_old_leader_meets_a_new_replica(world, restart);
    let report = play(setup, |world| Box::pin(story(world)));
    let whole = report.counts.acknowledged > 10 && report.counts.forgotten == 1;
    assert!(whole, "seed {seed}: {:?}", report.counts);
    report
}

#[test]
fn a_replica_that_is_new_gives_no_old_leader_a_majority() {
    for seed in 1..=2 {
        for restart in [Restart::Yes, Restart::No] {
            let report = told(seed, restart, None);
            assert_eq!(report.breaches, [], "seed {seed}, restart {restart:?}");
        }
    }
}

#[test]
fn a_replica_that_forgot_what_it_had_promised_is_found() {
    let mutant = Some(Mutant::PromisesForgotten);
    let report = told(1, Restart::Yes, mutant);
    assert!(report.breaches.iter().any(|b| LOSS.contains(&b.law)), "{:?}", report.breaches);
}

#[test]
fn a_snapshot_goes_on_where_pieces_get_lost() {
    for seed in 1..=3 {
        let setup = Setup { nodes: 3, groups: 2, single_one_in: 0, ..Setup::of(seed) };
        let report = play(setup, |world| Box::pin(a_replica_is_brought_up_through_losses(world)));
        assert_eq!(report.breaches, [], "seed {seed}");
        let counts = report.counts;
        assert!(counts.snapshots >= 1 && counts.resumed >= 1, "seed {seed}: {counts:?}");
        assert!(counts.pieces_again >= counts.resumed, "seed {seed}: {counts:?}");
    }
}

/// Tells a story in ten worlds: never any harm, unless the bug is put in; then in one of them at least.
fn harm_is_done_only_by<F>(mutant: Mutant, harm: &[Law], story: F)
where
    F: Fn(Arc<World>) -> BoxFuture<'static, ()>,
{
    let breaches = |seed: u64, mutant: Option<Mutant>| {
        let setup = Setup { nodes: 3, groups: 2, single_one_in: 0, mutant, ..Setup::of(seed) };
        play(setup, &story).breaches
    };
    let found = |seed: &u64| {
        let breaches = breaches(*seed, Some(mutant));
        breaches.iter().any(|breach| harm.contains(&breach.law))
    };
    let found = (1..=10).find(found);
    let seed = found.unwrap_or_else(|| panic!("{mutant:?} goes unnoticed"));
    for seed in [1, seed] {
        assert_eq!(breaches(seed, None), [], "seed {seed} without {mutant:?}");
    }
}

const LOSS: [Law; 3] = [Law::SamePrefix, Law::Kept, Law::Linear];

#[test]
fn a_leader_that_goes_on_after_a_restart_is_found() {
    harm_is_done_only_by(Mutant::LeaderRestored, &LOSS, |world| {
        Box::pin(a_leader_loses_what_the_others_have(world))
    });
}

#[test]
fn an_answer_before_the_sync_is_found() {
    harm_is_done_only_by(Mutant::AnsweredBeforeSync, &LOSS, |world| {
        Box::pin(all_lose_power(world))
    });
}

#[test]
fn a_lease_that_a_restart_forgets_is_found() {
    harm_is_done_only_by(Mutant::LeaseRead, &[Law::Linear], |world| {
        Box::pin(others_restart_behind_a_leader(world))
    });
}
