//! A node of the world: its disk, its checkpoints, and the life it leads between a start and a crash. Owns
//! starting and crashing; the log, its recovery and the groups are the real ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::life::Life;
use super::machine::{Image, Machine};
use super::world::{Mutant, World};
use crate::ids::{GroupId, NodeId};
use crate::raft::leadership::leadership;
use crate::raft::{Group, GroupOptions, Settled};
use crate::wal::{Hand, Log, LogOptions, SimDisk};

/// Segments are small, so that a run rotates, frees and rewrites many.
const SEGMENT_BYTES: u64 = 64 * 1024;
/// More than one write can fill: nobody makes more while it waits.
const SPARE_SEGMENTS: usize = 4;
/// Added to a group's number, it names one that is not in the log yet.
const NOWHERE: u32 = 1000;
/// One sync in so many stalls.
const STALL_ONE_IN: u64 = 200;

/// What a crash leaves of a node, and its life, if it has one.
pub(super) struct Node {
    id: u64,
    lives: u64,
    disk: SimDisk,
    kept: BTreeMap<GroupId, Arc<Mutex<Image>>>,
    /// Groups whose replica has begun to leave.
    leaving: BTreeSet<GroupId>,
    life: Option<Living>,
}

/// A node that runs.
struct Living {
    life: Life,
    log: Log,
    writer: AbortHandle,
    /// Milliseconds by which the next syncs are late.
    stall_ms: Arc<AtomicU64>,
    seats: BTreeMap<GroupId, Seat>,
}

/// One replica during one life.
#[derive(Clone)]
pub(super) struct Seat {
    pub(super) life: Life,
    pub(super) group: Group,
    pub(super) machine: Machine,
}

impl Node {
    pub(super) fn new(id: u64) -> Self {
        let (disk, kept, leaving) = (SimDisk::new(), BTreeMap::new(), BTreeSet::new());
        Self { id, lives: 0, disk, kept, leaving, life: None }
    }

    pub(super) fn is_up(&self) -> bool {
        self.life.is_some()
    }

    /// The replica of a group, while the node lives.
    pub(super) fn seat(&self, group: GroupId) -> Option<Seat> {
        self.life.as_ref()?.seats.get(&group).cloned()
    }

    /// Makes the disk late from now on, until told otherwise.
    pub(super) fn stall(&self, time: Duration) {
        if let Some(living) = &self.life {
            living.stall_ms.store(u64::try_from(time.as_millis()).unwrap(), SeqCst);
        }
    }

    /// Power fails: what was not synced is lost, or torn; what still runs reaches nobody.
    pub(super) fn crash(&mut self, world: &World) {
        let Some(living) = self.life.take() else { return };
        living.life.end();
        world.truth.note("crashes", &[self.id, living.life.number]);
        world.truth.count(|counts| counts.crashes += 1);
        // Often all is lost that can be; else each sector may have made it.
        let all_lost = world.chance.one_in(2);
        self.disk = self.disk.after_power_failure(|_| !all_lost && world.chance.one_in(2));
        living.writer.abort();
        for seat in living.seats.into_values() {
            tokio::spawn(async move { seat.group.shutdown().await });
        }
    }
}

/// Starts a node from what is on its disk, with a replica of every group.
pub(super) async fn start(world: &Arc<World>, id: u64) {
    let (life, disk) = {
        let mut nodes = world.nodes.lock().unwrap();
        let node = nodes.get_mut(&id).unwrap();
        assert!(node.life.is_none(), "a node has one life at a time");
        node.lives += 1;
        (Life::new(id, node.lives), node.disk.clone())
    };
    world.truth.note("starts", &[id, life.number]);
    let mut options = LogOptions::new(PathBuf::from("/log"));
    (options.segment_bytes, options.spare_segments) = (SEGMENT_BYTES, SPARE_SEGMENTS);
    let (log, hand) = Log::by_hand(options, disk).unwrap();
    let stall_ms = Arc::new(AtomicU64::new(0));
    let writing = write(Arc::clone(world), life.clone(), hand, Arc::clone(&stall_ms));
    let writer = tokio::spawn(writing).abort_handle();
    let seats = BTreeMap::new();
    let living = Living { life: life.clone(), log, writer, stall_ms, seats };
    world.nodes.lock().unwrap().get_mut(&id).unwrap().life = Some(living);
    for group in world.groups() {
        let leaving = world.nodes.lock().unwrap()[&id].leaving.contains(&group);
        if leaving {
            forget(world, &life, group).await;
        }
        seat(world, id, group).await;
    }
}

/// A replica that the group is settled without leaves its node, and one that is new comes in its place,
/// as when the map wants it there again.
pub(super) async fn come_anew(world: &Arc<World>, id: u64, group: GroupId) {
    let Some((leader, _)) = world.true_leader(group).await else { return };
    let members = leader.group.metrics().members;
    let settled = members.settled == Settled::Yes && members.leaving.is_none();
    if !settled || members.contains(NodeId(id)) {
        return;
    }
    let old = {
        let mut nodes = world.nodes.lock().unwrap();
        let Node { leaving, life, .. } = nodes.get_mut(&id).unwrap();
        let Some(old) = life.as_mut().and_then(|living| living.seats.remove(&group)) else {
            return;
        };
        leaving.insert(group);
        old
    };
    world.truth.note("leaves", &[id, u64::from(group.0)]);
    old.group.shutdown().await;
    let life = old.life.clone();
    drop(old);
    forget(world, &life, group).await;
    sleep(world.chance.millis(0, 300)).await;
    if !life.is_over() {
        seat(world, id, group).await;
    }
}

/// First the log, then the checkpoint; the note that it has begun goes last.
async fn forget(world: &Arc<World>, life: &Life, group: GroupId) {
    let log = world.nodes.lock().unwrap()[&life.node].life.as_ref().map(|now| now.log.clone());
    let Some(log) = log.filter(|_| !life.is_over()) else { return };
    if log.group(group).unwrap().forget().await.is_err() || life.is_over() {
        return;
    }
    let mut nodes = world.nodes.lock().unwrap();
    let node = nodes.get_mut(&life.node).unwrap();
    node.kept.insert(group, Arc::default());
    node.leaving.remove(&group);
    world.truth.count(|counts| counts.forgotten += 1);
}

/// Starts the replica of a group on a node that lives.
pub(super) async fn seat(world: &Arc<World>, id: u64, group: GroupId) {
    let (life, log, machine) = {
        let mut nodes = world.nodes.lock().unwrap();
        let Node { kept, life, .. } = nodes.get_mut(&id).unwrap();
        let Some(living) = life else { return };
        let kept = Arc::clone(kept.entry(group).or_default());
        let (image, truth) = (Arc::default(), world.truth.clone());
        let machine = Machine { group, life: living.life.clone(), truth, image, kept };
        let mut log = living.log.group(group).unwrap();
        if world.setup.mutant == Some(Mutant::PromisesForgotten) && log.is_below_floor() {
            log = living.log.group(GroupId(group.0 + NOWHERE)).unwrap();
        }
        (living.life.clone(), log, machine)
    };
    let options = options(group);
    let mut config = options.config(group).unwrap();
    if world.setup.mutant == Some(Mutant::LeaderRestored) {
        Arc::make_mut(&mut config).enable_leader_restore = Some(true);
    }
    let network = Arc::new(world.net.port(life.clone()));
    let started =
        Group::start_as(config, group, NodeId(id), options, &log, network, machine.clone()).await;
    if life.is_over() {
        return;
    }
    let replica = Seat { life, group: started.unwrap(), machine };
    tokio::spawn(follow(Arc::clone(world), replica.clone()));
    let mut nodes = world.nodes.lock().unwrap();
    if let Some(living) = &mut nodes.get_mut(&id).unwrap().life {
        living.seats.insert(group, replica);
    }
}

/// The profiles of the product, so that groups differ.
fn options(group: GroupId) -> GroupOptions {
    let profile = match group.0 % 3 {
        0 => GroupOptions::meta(),
        1 => GroupOptions::fast(),
        _ => GroupOptions::shard(),
    };
    // So little is kept that a replica that was away needs a snapshot.
    GroupOptions { keep_entries: 20, keep_bytes: 4 * 1024, ..profile }
}

/// What the log's threads do on a real node, in the world's time.
async fn write(world: Arc<World>, life: Life, mut hand: Hand, stall_ms: Arc<AtomicU64>) {
    loop {
        hand.wait().await;
        while let Some(mut written) = hand.write() {
            if world.setup.mutant == Some(Mutant::AnsweredBeforeSync) {
                hand.answer(&mut written);
            }
            let stalls = world.chance.one_in(STALL_ONE_IN) && !world.is_calm();
            let usual =
                if stalls { world.chance.millis(50, 400) } else { world.chance.millis(1, 4) };
            sleep(usual.max(Duration::from_millis(stall_ms.load(SeqCst)))).await;
            if life.is_over() || !hand.sync(&written) || !hand.answer(&mut written) {
                return;
            }
        }
    }
}

/// Tells the truth of every epoch that a replica leads.
async fn follow(world: Arc<World>, seat: Seat) {
    let mut watch = seat.group.raft().server_metrics();
    loop {
        let ours = leadership(&watch.borrow_and_update()).ours;
        if let Some(token) = ours.filter(|_| !seat.life.is_over()) {
            world.truth.led(seat.group.id(), token.epoch(), &seat.life);
        }
        if watch.changed().await.is_err() {
            return;
        }
    }
}
