//! The world: nodes, network, clients and nemesis in one thread, under one seed. Owns the order of a run:
//! faults first, then calm, then the judgement.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{sleep, timeout};

use super::chance::Chance;
use super::net::Net;
use super::node::{self, Node, Seat};
use super::runtime::seed_this_thread;
use super::truth::{Breach, Counts, Truth};
use super::{clients, judge, nemesis, panics};
use crate::ids::{Epoch, GroupId, NodeId};

/// A bug put in on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutant {
    /// A leader that restarts goes on in its old term: the library's default.
    LeaderRestored,
    /// The log says that something is durable before it is synced.
    AnsweredBeforeSync,
    /// Reads trust the leader's lease, though a node that restarts forgets whom it granted one.
    LeaseRead,
    /// A replica that leaves its node takes along what it had promised.
    PromisesForgotten,
}

/// What a run is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) seed: u64,
    pub(super) nodes: u64,
    pub(super) groups: u32,
    /// One group in so many begins with a single voter; none does if this is zero.
    pub(super) single_one_in: u64,
    pub(super) faults: Duration,
    pub(super) mutant: Option<Mutant>,
}

impl Setup {
    pub(super) fn of(seed: u64) -> Self {
        let nodes = 3 + seed % 3;
        let faults = Duration::from_secs(10);
        Self { seed, nodes, groups: 3, single_one_in: 4, faults, mutant: None }
    }
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) trace: u64,
    pub(super) counts: Counts,
    pub(super) breaches: Vec<Breach>,
}

/// All there is.
pub(super) struct World {
    pub(super) setup: Setup,
    pub(super) chance: Chance,
    pub(super) net: Net,
    pub(super) truth: Truth,
    pub(super) nodes: Mutex<BTreeMap<u64, Node>>,
    /// A hand-over is under way.
    pub(super) handing_over: AtomicBool,
    /// No more faults.
    calm: AtomicBool,
    /// No more calls.
    closed: AtomicBool,
}

impl World {
    fn new(setup: Setup) -> Self {
        let (chance, truth) = (Chance::new(setup.seed), Truth::new());
        let net = Net::new(chance.clone(), truth.clone());
        let nodes = (1..=setup.nodes).map(|id| (id, Node::new(id))).collect();
        Self {
            setup,
            chance,
            net,
            truth,
            nodes: Mutex::new(nodes),
            handing_over: AtomicBool::new(false),
            calm: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(SeqCst)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    pub(super) fn groups(&self) -> Vec<GroupId> {
        (0..self.setup.groups).map(GroupId).collect()
    }

    pub(super) fn node_ids(&self) -> Vec<u64> {
        (1..=self.setup.nodes).collect()
    }

    pub(super) fn seat(&self, node: u64, group: GroupId) -> Option<Seat> {
        self.nodes.lock().unwrap().get(&node)?.seat(group)
    }

    /// A node that a majority follows as the group's leader, at this moment.
    pub(super) async fn true_leader(&self, group: GroupId) -> Option<(Seat, Epoch)> {
        for id in self.node_ids() {
            let Some(seat) = self.seat(id, group) else { continue };
            let ours = seat.group.leadership().borrow().ours;
            let Some(epoch) = ours.map(|token| token.epoch()) else { continue };
            let passed = timeout(Duration::from_secs(1), seat.group.read_barrier(epoch)).await;
            if passed.is_ok_and(|read| read.is_ok()) {
                return Some((seat, epoch));
            }
        }
        None
    }

    /// A node that believes to lead the group.
    pub(super) fn leader(&self, group: GroupId) -> Option<Seat> {
        let seats: Vec<Seat> =
            self.node_ids().into_iter().filter_map(|id| self.seat(id, group)).collect();
        let leading: Vec<Seat> =
            seats.into_iter().filter(|s| s.group.leadership().borrow().ours.is_some()).collect();
        self.chance.pick(&leading)
    }

    pub(super) fn up(&self) -> Vec<u64> {
        let nodes = self.nodes.lock().unwrap();
        nodes.iter().filter(|(_, node)| node.is_up()).map(|(id, _)| *id).collect()
    }
}

/// Runs a seed, in this thread and in no real time.
pub(super) fn run(setup: Setup) -> Report {
    play(setup, |world| Box::pin(live(world)))
}

/// Plays what is given in a world that has just begun, and judges it.
pub(super) fn play(
    setup: Setup,
    story: impl FnOnce(Arc<World>) -> BoxFuture<'static, ()>,
) -> Report {
    seed_this_thread(setup.seed);
    let before = panics::here();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let truth = runtime.unwrap().block_on(async {
        let world = Arc::new(World::new(setup));
        begin(&world).await;
        story(Arc::clone(&world)).await;
        judge::judge(&world).await;
        world.truth.clone()
    });
    judge::histories(&truth);
    judge::panics(&truth, panics::here() - before);
    let (counts, breaches) = truth.with(|inner| (inner.counts, inner.breaches.clone()));
    Report { trace: truth.trace(), counts, breaches }
}

/// Starts the nodes, and gives each group its first voters.
async fn begin(world: &Arc<World>) {
    for id in world.node_ids() {
        node::start(world, id).await;
    }
    for group in world.groups() {
        // Groups begin with one or three voters, in different places.
        let first = u64::from(group.0) % world.setup.nodes;
        let single = world.setup.single_one_in;
        let voters = if single > 0 && world.chance.one_in(single) { 1 } else { 3 };
        let at = |n: u64| NodeId(1 + (first + n) % world.setup.nodes);
        let voters: Vec<NodeId> = (0..voters).map(at).collect();
        let seat = world.seat(voters[0].0, group).unwrap();
        seat.group.initialize(&voters).await.unwrap();
    }
    sleep(Duration::from_secs(1)).await;
}

async fn live(world: Arc<World>) {
    let mut clients = clients::start(&world);
    nemesis::run(&world).await;
    world.calm.store(true, SeqCst);
    nemesis::heal(&world).await;
    sleep(Duration::from_secs(3)).await;
    world.closed.store(true, SeqCst);
    while clients.join_next().await.is_some() {}
}
