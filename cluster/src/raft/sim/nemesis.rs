//! What goes wrong in the world, and what is changed on purpose meanwhile: cuts, losses, crashes, stalled
//! disks, elections, hand-overs, members that come and go. Owns what happens when; clocks stay right.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::members;
use super::node;
use super::world::World;
use crate::ids::{GroupId, NodeId};

/// Goes on until the time of faults is over.
pub(super) async fn run(world: &Arc<World>) {
    let end = Instant::now() + world.setup.faults;
    while Instant::now() < end {
        sleep(world.chance.millis(50, 700)).await;
        strike(world);
    }
}

/// Ends all faults, and waits until every node is back.
pub(super) async fn heal(world: &Arc<World>) {
    world.net.heal();
    while world.up().len() < world.node_ids().len() {
        sleep(Duration::from_millis(10)).await;
    }
    for node in world.nodes.lock().unwrap().values() {
        node.stall(Duration::ZERO);
    }
    world.net.heal();
}

fn strike(world: &Arc<World>) {
    let chance = &world.chance;
    let group = chance.pick(&world.groups()).unwrap();
    let node = victim(world, group);
    let others: Vec<u64> = world.node_ids().into_iter().filter(|id| *id != node).collect();
    let time = chance.millis(100, 2_500);
    match chance.between(1, 16) {
        1 | 2 => isolate(world, node, &others, time),
        3 => cut(world, node, chance.pick(&others).unwrap(), time, true),
        4 => cut(world, node, chance.pick(&others).unwrap(), time, false),
        5 => world.net.lose(chance.between(2, 20), time),
        6 => crash(world, &[node]),
        7 => crash(world, &[node, chance.pick(&others).unwrap()]),
        8 => stalled_crash(world, node),
        9 => isolated_while_others_restart(world, node, &others),
        10 if chance.one_in(4) => crash(world, &world.node_ids()),
        10 | 11 => hand_over(world, group, chance.pick(&others)),
        12 => elect(world, node, group),
        13 => {
            let world = Arc::clone(world);
            tokio::spawn(async move { node::come_anew(&world, node, group).await });
        }
        _ => {
            tokio::spawn(members::change(Arc::clone(world), group));
        }
    }
}

/// The leader half of the time, so that faults hit where it matters.
fn victim(world: &World, group: GroupId) -> u64 {
    let leader = world.leader(group).filter(|_| world.chance.one_in(2));
    leader.map_or_else(|| world.chance.pick(&world.node_ids()).unwrap(), |seat| seat.life.node)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

fn isolate(world: &World, node: u64, others: &[u64], time: Duration) {
    world.truth.note("isolates", &[node, millis(time)]);
    for other in others {
        world.net.cut(node, *other, time);
        world.net.cut(*other, node, time);
    }
}

fn cut(world: &World, from: u64, to: u64, time: Duration, both: bool) {
    world.truth.note("cuts", &[from, to, millis(time), u64::from(both)]);
    world.net.cut(from, to, time);
    if both {
        world.net.cut(to, from, time);
    }
}

/// Power fails on some nodes at once; each comes back by itself.
fn crash(world: &Arc<World>, victims: &[u64]) {
    for id in victims {
        let most = if world.chance.one_in(2) { 20 } else { 1_500 };
        crash_for(world, &[*id], world.chance.millis(0, most));
    }
}

/// Power fails on some nodes at once, for so long.
pub(super) fn crash_for(world: &Arc<World>, victims: &[u64], pause: Duration) {
    for id in victims {
        let up = {
            let mut nodes = world.nodes.lock().unwrap();
            let node = nodes.get_mut(id).unwrap();
            let up = node.is_up();
            node.crash(world);
            up
        };
        if up {
            let (world, id) = (Arc::clone(world), *id);
            tokio::spawn(async move {
                sleep(pause).await;
                node::start(&world, id).await;
            });
        }
    }
}

/// What the disk did not get to is lost, though the others may have it and the client its answer.
fn stalled_crash(world: &Arc<World>, node: u64) {
    let time = world.chance.millis(100, 600);
    world.truth.note("stalls", &[node, millis(time)]);
    world.nodes.lock().unwrap()[&node].stall(2 * time);
    let world = Arc::clone(world);
    tokio::spawn(async move {
        sleep(time).await;
        crash(&world, &[node]);
    });
}

/// A rolling restart, with a leader that does not hear of it.
fn isolated_while_others_restart(world: &Arc<World>, node: u64, others: &[u64]) {
    isolate(world, node, others, world.chance.millis(500, 2_500));
    let (world, others) = (Arc::clone(world), others.to_vec());
    tokio::spawn(async move {
        for other in others {
            sleep(world.chance.millis(0, 50)).await;
            crash(&world, &[other]);
        }
    });
}

fn hand_over(world: &Arc<World>, group: GroupId, to: Option<u64>) {
    let Some(seat) = world.leader(group) else { return };
    // One at a time: two that wait for the same leadership would be woken in an order of tokio's own.
    if world.handing_over.swap(true, SeqCst) {
        return;
    }
    let to = to.map(NodeId).filter(|_| world.chance.one_in(2));
    let world = Arc::clone(world);
    tokio::spawn(async move {
        let done = seat.group.hand_over(to).await;
        world.handing_over.store(false, SeqCst);
        world.truth.note("hands over", &[seat.life.node, u64::from(done.is_ok())]);
        if done.is_ok() {
            world.truth.count(|counts| counts.handed_over += 1);
        }
    });
}

fn elect(world: &World, node: u64, group: GroupId) {
    let Some(seat) = world.seat(node, group) else { return };
    let ask_first = world.chance.one_in(2);
    world.truth.note("elects", &[node, u64::from(group.0), u64::from(ask_first)]);
    tokio::spawn(async move { seat.group.raft().trigger().elect(ask_first).await });
}
