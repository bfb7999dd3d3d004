//! Who uses the groups: writers, readers, and those who make checkpoints. Owns what a caller does with an
//! answer; what it may make of it is what [`ProposeError`] promises.

use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use openraft::ReadPolicy;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::machine::entry;
use super::node::Seat;
use super::world::{Mutant, World};
use crate::ids::{Epoch, GroupId};
use crate::raft::{Applied, ProposeError};

/// Writers, each with one call at a time.
const WRITERS: u64 = 4;
/// Readers beside them. They stay with a leader that cannot commit any more, which a writer does not.
const READERS: u64 = 4;
/// Registers of a group.
const KEYS: u64 = 3;
/// How long a caller waits.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Starts them all; they end when the world is closed.
pub(super) fn start(world: &Arc<World>) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for _ in 0..WRITERS {
        clients.spawn(writer(Arc::clone(world)));
    }
    for _ in 0..READERS {
        clients.spawn(reader(Arc::clone(world)));
    }
    for id in world.node_ids() {
        clients.spawn(keeper(Arc::clone(world), id));
    }
    clients
}

fn group(world: &World) -> GroupId {
    world.chance.pick(&world.groups()).unwrap()
}

fn key(world: &World) -> u8 {
    u8::try_from(world.chance.between(1, KEYS)).unwrap()
}

fn epoch(seat: &Seat) -> Option<Epoch> {
    seat.group.leadership().borrow().ours.map(|token| token.epoch())
}

async fn writer(world: Arc<World>) {
    while !world.is_closed() {
        sleep(world.chance.millis(2, 40)).await;
        let group = group(&world);
        let Some(seat) = world.leader(group) else { continue };
        let Some(epoch) = epoch(&seat) else { continue };
        put(&world, &seat, epoch).await;
    }
}

/// Proposes once, and tells the truth what came of it. A proposal that was refused is not tried again under
/// the same number, so that it must never be seen.
pub(super) async fn put(world: &World, seat: &Seat, epoch: Epoch) -> bool {
    let key = key(world);
    let write = world.truth.write(seat.group.id(), key);
    let ballast = usize::try_from(world.chance.between(0, 200)).unwrap();
    let call = async {
        let proposal = seat.group.propose(epoch, entry(write, key, ballast)).await?;
        proposal.applied().await
    };
    let answer: Option<Result<Applied, ProposeError>> = timeout(PATIENCE, call).await.ok();
    // Nobody hears what a dead node says.
    match answer.filter(|_| !seat.life.is_over()) {
        Some(Ok(Applied { position, mut answer })) => {
            world.truth.acknowledged(write, position, answer.get_u64_le());
            true
        }
        Some(Err(ProposeError::Refused { .. })) => {
            world.truth.refused(write);
            false
        }
        Some(Err(ProposeError::Unknown(_))) | None => {
            world.truth.count(|counts| counts.unknown += 1);
            false
        }
    }
}

async fn reader(world: Arc<World>) {
    let mut seat: Option<Seat> = None;
    while !world.is_closed() {
        sleep(world.chance.millis(2, 40)).await;
        let led = seat.as_ref().and_then(epoch);
        let Some(epoch) = led.filter(|_| !world.chance.one_in(50)) else {
            seat = world.leader(group(&world));
            continue;
        };
        let Some(at) = seat.as_ref().filter(|seat| !seat.life.is_over()) else {
            seat = None;
            continue;
        };
        get(&world, at, epoch).await;
    }
}

/// Reads once, the way the runtime does it.
pub(super) async fn get(world: &World, seat: &Seat, epoch: Epoch) -> bool {
    let (key, began) = (key(world), world.truth.moment());
    if seat.group.leads_alone(epoch) {
        world.truth.count(|counts| counts.reads_alone += 1);
    } else if !timeout(PATIENCE, barrier(world, seat, epoch)).await.unwrap_or(false) {
        return false;
    }
    let value = seat.machine.copy().read(key);
    if seat.life.is_over() {
        return false;
    }
    world.truth.read(seat.group.id(), key, began, value);
    true
}

async fn barrier(world: &World, seat: &Seat, epoch: Epoch) -> bool {
    if world.setup.mutant != Some(Mutant::LeaseRead) {
        return seat.group.read_barrier(epoch).await.is_ok();
    }
    let raft = seat.group.raft();
    match raft.get_read_linearizer(ReadPolicy::LeaseRead).await {
        Ok(read) => read.await_ready(raft).await.is_ok(),
        Err(_) => false,
    }
}

/// Makes checkpoints on one node, and lets the log go behind them.
async fn keeper(world: Arc<World>, node: u64) {
    while !world.is_closed() {
        sleep(world.chance.millis(100, 1_000)).await;
        let Some(seat) = world.seat(node, group(&world)) else { continue };
        let copy = seat.machine.copy();
        let Some(upto) = copy.position else { continue };
        sleep(world.chance.millis(1, 20)).await;
        if seat.machine.keep(copy) && seat.group.checkpointed(upto).await.is_ok() {
            world.truth.note("checkpoint", &[node, u64::from(seat.group.id().0), upto.index]);
            world.truth.count(|counts| counts.checkpoints += 1);
        }
    }
}
