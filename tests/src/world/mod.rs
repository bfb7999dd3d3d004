//! The seeded world: the real pure machines (`Twin`, `Shard`, `Table`, the watchers' `Ring`, the
//! device's `Session`) on one to seven nodes, in a plain loop from one seed. Faults first, then quiet,
//! then everything must have healed, while the `invariants` watch whatever anyone can see.
//!
//! Owns what drivers own elsewhere: time, chance, the networks, disks, checkpoints; and a model of the
//! consensus under the shard's log (`consensus`), as the real one has a simulation of its own. Real
//! sockets, files and processes are for the tests `t10` and above.

mod caller;
mod chance;
mod connection;
mod consensus;
mod device;
mod faults;
mod host;
mod invariants;
mod judge;
mod kinds;
mod log;
mod mutant;
mod net;
mod node;
mod peers;
mod proposer;
mod pump;
mod replica;
mod sim;
mod state;
mod store;
mod stores;
mod truth;
mod watchers;
mod witness;

use std::collections::BTreeMap;
use std::fmt;

pub use mutant::Mutant;

use caller::Callers;
use device::Device;
use faults::Faults;
use host::Host;
use judge::{End, Judge};
use net::Net;
use peers::Peers;
use sim::{Event, Sim};
use watchers::Watcher;
use witness::Witness;

/// How long quiet may take until all has healed: the longest deadline of a command at half speed,
/// the grace of sessions, and a caller's patience.
const QUIET_MS_MAX: u64 = 120_000;
/// How long all must stay well: longer than the grace of a session whose device does not come back.
const WELL_MS: u64 = 6_000;

/// What world to run.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Decides everything.
    pub seed: u64,
    /// The known bug to put back.
    pub mutant: Mutant,
    /// How many nodes.
    pub nodes: usize,
    /// How many devices.
    pub devices: usize,
    /// How many callers.
    pub callers: usize,
    /// How many watchers.
    pub watchers: usize,
    /// How long things break, in milliseconds of the world's time.
    pub rough_ms: u64,
}

impl Setup {
    /// The usual world of one node, of a seed.
    pub const fn alone(seed: u64) -> Self {
        let mutant = Mutant::None;
        Self { seed, mutant, nodes: 1, devices: 5, callers: 3, watchers: 1, rough_ms: 12_000 }
    }

    /// The usual world of three to seven nodes, of a seed.
    pub const fn cluster(seed: u64) -> Self {
        let nodes = match seed % 10 {
            0..6 => 3,
            6 => 4,
            7 => 5,
            8 => 6,
            _ => 7,
        };
        Self { nodes, watchers: 2, ..Self::alone(seed) }
    }
}

/// What a run came to, if nothing was wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Hash of all that happened.
    pub trace: u64,
    /// How many events there were.
    pub events: u64,
    /// Changes that took effect.
    pub changes: u64,
    /// Messages of devices that were answered.
    pub acknowledged: u64,
    /// Operations of callers that were answered.
    pub returned: u64,
    /// Changes that watchers were told.
    pub watched: u64,
    /// Crashes of nodes.
    pub crashes: u64,
    /// Epochs that took effect.
    pub epochs: u64,
    /// Hand-offs begun.
    pub hand_offs: u64,
    /// How often links between nodes were blocked.
    pub parted: u64,
    /// States that one node took over from another.
    pub installs: u64,
    /// Generations that were given up because a batch was lost.
    pub reopened: u64,
    /// Checkpoints made durable.
    pub checkpoints: u64,
}

impl Report {
    /// Adds what another run came to; what is only of one run stays.
    pub const fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.changes += other.changes;
        self.acknowledged += other.acknowledged;
        self.returned += other.returned;
        self.watched += other.watched;
        self.crashes += other.crashes;
        self.epochs += other.epochs;
        self.hand_offs += other.hand_offs;
        self.parted += other.parted;
        self.installs += other.installs;
        self.reopened += other.reopened;
        self.checkpoints += other.checkpoints;
    }
}

/// What was wrong, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The seed of the run.
    pub seed: u64,
    /// How many nodes there were.
    pub nodes: usize,
    /// Milliseconds since the world began.
    pub at_ms: u64,
    /// The invariant that was broken.
    pub invariant: &'static str,
    /// How.
    pub text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, nodes, at_ms, invariant, text } = self;
        let test = if *nodes == 1 { "one_node" } else { "several_nodes" };
        write!(
            f,
            "seed {seed}, {nodes} nodes, {at_ms} ms: invariant `{invariant}` broken: {text}\n\
             replay it with: WORLD_SEED={seed} cargo test -p pollux-tests --test world {test} -- \
             --nocapture"
        )
    }
}

/// Runs one world.
pub fn run(setup: &Setup) -> Result<Report, Failure> {
    let mut world = World::new(setup);
    world.begin(setup);
    while world.sim.now < setup.rough_ms {
        world.step()?;
    }
    world.calm_down();
    let mut well_since = None;
    let last = setup.rough_ms + QUIET_MS_MAX;
    loop {
        world.step()?;
        let well = world.sick().is_empty();
        well_since = if well { well_since.or(Some(world.sim.now)) } else { None };
        let healed = well_since.is_some_and(|since| world.sim.now >= since + WELL_MS);
        if healed || world.sim.now > last {
            return world.end();
        }
    }
}

/// All of it. What it does is in the files of its parts.
struct World {
    seed: u64,
    mutant: Mutant,
    sim: Sim,
    net: Net,
    peers: Peers,
    hosts: Vec<Host>,
    devices: Vec<Device>,
    callers: Callers,
    watchers: Vec<Watcher>,
    faults: Faults,
    witness: Witness,
    judge: Judge,
    /// Nothing new is begun and nothing breaks any more.
    calm: bool,
    crashes: u64,
    reopened: u64,
    checkpoints: u64,
    hand_offs: u64,
    parted: u64,
    installs: u64,
}

impl World {
    fn new(setup: &Setup) -> Self {
        Self {
            seed: setup.seed,
            mutant: setup.mutant,
            sim: Sim::new(setup.seed),
            net: Net::rough(),
            peers: Peers::rough(),
            hosts: (0..setup.nodes).map(|_| Host::default()).collect(),
            devices: (0..setup.devices).map(Device::new).collect(),
            callers: Callers::default(),
            watchers: (0..setup.watchers).map(|_| Watcher::default()).collect(),
            faults: Faults::default(),
            witness: Witness::default(),
            judge: Judge::new(setup.mutant),
            calm: false,
            crashes: 0,
            reopened: 0,
            checkpoints: 0,
            hand_offs: 0,
            parted: 0,
            installs: 0,
        }
    }

    fn begin(&mut self, setup: &Setup) {
        for host in 0..setup.nodes {
            self.start(host);
        }
        for device in 0..self.devices.len() {
            self.sim.after(1, Event::DeviceStarts { device, life: 0 });
            self.sim.after(5, Event::DeviceActs { device });
        }
        for caller in 0..setup.callers {
            self.sim.after(20, Event::CallerActs { caller });
        }
        for watcher in 0..setup.watchers {
            self.sim.after(50, Event::WatcherAsks { watcher });
        }
        self.sim.after(300, Event::Breaks);
    }

    /// Lets one thing happen.
    fn step(&mut self) -> Result<(), Failure> {
        let event = self.sim.next().expect("something always is to come");
        if self.judge.tells {
            eprintln!("{:>7} {event:?}", self.sim.now);
        }
        self.happen(event);
        match self.judge.wrong.take() {
            None => Ok(()),
            Some((invariant, text)) => Err(self.failure(invariant, text)),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::DeviceActs { device } => self.device_acts(device),
            Event::DeviceDue { device, life } => self.device_due(device, life),
            Event::DeviceFinishes { device, life, command } => {
                self.device_finishes(device, life, command);
            }
            Event::DeviceStarts { device, life } => self.device_starts(device, life),
            Event::Dialled { conn } => self.dialled(conn),
            Event::Established { conn } => self.established(conn),
            Event::Up { conn, bytes } => self.node_reads(conn, bytes),
            Event::Down { conn, bytes } => self.device_reads(conn, &bytes),
            Event::Cut { conn } => self.net.cut(conn),
            Event::NodeLoses { conn } => self.node_loses(conn),
            Event::DeviceLoses { conn } => self.device_loses(conn),
            Event::CallerActs { caller } => self.caller_acts(caller),
            Event::CallArrives { host, call } => self.call_arrives(host, call),
            Event::AnswerArrives { call } => self.answer_arrives(call),
            Event::CallOverdue { call } => self.call_overdue(call),
            Event::WatcherAsks { watcher } => self.watcher_asks(watcher),
            Event::TurnsUp { record } => self.turns_up(record),
            Event::Heals => self.peers.heal(),
            Event::Breaks => self.breaks(),
            on_a_node => self.happen_on_node(on_a_node),
        }
    }

    fn happen_on_node(&mut self, event: Event) {
        match event {
            Event::Peer { host, from, message } => self.peer_says(host, from, message),
            Event::Append { host, boot, ticket } => self.append(host, boot, ticket),
            Event::Synced { host, boot, sync } => self.synced(host, boot, sync),
            Event::Apply { host, boot, upto } => self.apply(host, boot, upto),
            Event::Settled { host, boot, ticket } => self.settled(host, boot, ticket),
            Event::BarrierFails { host, boot, id } => self.barrier_fails(host, boot, id),
            Event::RoundsEnd { host, boot } => {
                if self.running(host, boot).is_some() {
                    self.rounds_end(host);
                }
            }
            Event::Tick { host, boot } => self.tick(host, boot),
            Event::CutBegins { host, boot } => self.cut_begins(host, boot),
            Event::CutGoesOn { host, cut } => self.cut_goes_on(host, cut),
            Event::Checkpointed { host, cut } => self.checkpointed(host, cut),
            Event::StateGoesOn { host, boot, to } => self.state_goes_on(host, boot, to),
            Event::StateIsIn { host, boot, state } => self.state_is_in(host, boot, state),
            Event::Starts { host } => self.start(host),
            other => unreachable!("{other:?} is no event of a node"),
        }
    }

    /// From now on nothing breaks.
    fn calm_down(&mut self) {
        self.calm = true;
        self.net.rough = false;
        self.peers.rough = false;
        self.peers.heal();
        for host in &mut self.hosts {
            host.log.sync_ms_max = 4;
            host.wall_off_ms = 0;
        }
    }

    /// Whether proposals and barriers may go wrong.
    const fn rough(&self) -> bool {
        !self.calm
    }

    /// What has not healed, in words.
    fn sick(&self) -> Vec<String> {
        let mut sick: Vec<String> = self.devices.iter().filter_map(Device::unrest).collect();
        sick.extend(self.callers.busy.values().map(|op| format!("operation {op} is under way")));
        let behind = self.watchers.iter().filter(|watcher| self.is_behind(watcher)).count();
        if behind > 0 {
            sick.push(format!("{behind} watchers are behind"));
        }
        let nodes = self.hosts.iter().enumerate();
        let open = nodes
            .clone()
            .filter(|(_, host)| host.node.as_ref().is_some_and(|node| node.shard.is_open()));
        if open.count() != 1 {
            sick.push("the shard is not open on one node".into());
        }
        for (number, host) in nodes {
            let Some(node) = &host.node else {
                sick.push(format!("node {number} is down"));
                continue;
            };
            if !node.shard.is_drained() || node.shard.bytes() > 0 {
                sick.push(format!("{} bytes wait at the gate", node.shard.bytes()));
            }
            let live = node.twins.values().filter_map(|active| active.twin.next_deadline());
            sick.extend(live.map(|due| format!("a command is live until {}", due.ms)));
            if node.table.index() < host.log.last().index {
                sick.push(format!("the log of node {number} has more than its table"));
            }
            if node.table.index() < self.judge.truth.index {
                sick.push(format!("node {number} is behind"));
            }
        }
        sick
    }

    fn end(mut self) -> Result<Report, Failure> {
        let sick = self.sick();
        for host in 0..self.hosts.len() {
            let node = self.hosts[host].node.iter();
            let keys: Vec<_> = node.flat_map(|node| node.twins.keys().cloned()).collect();
            if sick.is_empty() {
                keys.iter().for_each(|key| self.settle(host, key));
            }
        }
        self.inspect();
        let sessions: BTreeMap<_, _> =
            self.devices.iter().map(|device| (device.key.clone(), device.online)).collect();
        let nodes = self.hosts.iter().flat_map(|host| &host.node);
        let tables = nodes.map(|node| &node.table).collect();
        self.judge.end(&End { tables, sessions, sick });
        if let Some((invariant, text)) = self.judge.wrong.take() {
            return Err(self.failure(invariant, text));
        }
        Ok(Report {
            trace: self.sim.trace(),
            events: self.sim.events,
            changes: self.judge.place(),
            acknowledged: self.devices.iter().map(|device| device.acknowledged).sum(),
            returned: self.callers.returned,
            watched: self.watchers.iter().map(|watcher| watcher.told).sum(),
            crashes: self.crashes,
            epochs: self.judge.truth.epochs,
            hand_offs: self.hand_offs,
            parted: self.parted,
            installs: self.installs,
            reopened: self.reopened,
            checkpoints: self.checkpoints,
        })
    }

    const fn failure(&self, invariant: &'static str, text: String) -> Failure {
        let nodes = self.hosts.len();
        Failure { seed: self.seed, nodes, at_ms: self.sim.now, invariant, text }
    }
}
