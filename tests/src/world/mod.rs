//! The seeded world: the real pure machines (`Twin`, `Shard`, `Table`, the device's `Session`) in
//! a plain loop from one seed. Faults first, then quiet, then everything must have healed, while
//! the `invariants` watch whatever anyone can see.
//!
//! Owns what drivers own elsewhere: time, chance, the network, the log's disk, checkpoints. Real
//! sockets, files and processes are for the tests `t10` and above.

mod caller;
mod chance;
mod connection;
mod device;
mod faults;
mod invariants;
mod judge;
mod log;
mod mutant;
mod net;
mod node;
mod proposer;
mod replica;
mod sim;
mod store;
mod stores;
mod truth;

use std::collections::BTreeMap;
use std::fmt;

pub use mutant::Mutant;

use caller::Callers;
use device::Device;
use faults::Faults;
use judge::{End, Judge};
use log::Log;
use net::Net;
use node::Node;
use sim::{Event, Sim};
use store::Store;

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
    /// How many devices.
    pub devices: usize,
    /// How many callers.
    pub callers: usize,
    /// How long things break, in milliseconds of the world's time.
    pub rough_ms: u64,
}

impl Setup {
    /// The usual world of a seed.
    pub const fn new(seed: u64) -> Self {
        Self { seed, mutant: Mutant::None, devices: 5, callers: 3, rough_ms: 12_000 }
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
    /// Crashes of the node.
    pub crashes: u64,
    /// Generations that were given up because a batch was lost.
    pub reopened: u64,
    /// Checkpoints made durable.
    pub checkpoints: u64,
}

/// What was wrong, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The seed of the run.
    pub seed: u64,
    /// Milliseconds since the world began.
    pub at_ms: u64,
    /// The invariant that was broken.
    pub invariant: &'static str,
    /// How.
    pub text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, at_ms, invariant, text } = self;
        write!(
            f,
            "seed {seed}, {at_ms} ms: invariant `{invariant}` broken: {text}\nreplay it with: \
             WORLD_SEED={seed} cargo test -p pollux-tests --test world seeds -- --nocapture"
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
    log: Log,
    store: Store,
    node: Option<Node>,
    devices: Vec<Device>,
    callers: Callers,
    faults: Faults,
    judge: Judge,
    /// Nothing new is begun and nothing breaks any more.
    calm: bool,
    boot: u64,
    term: u64,
    /// The first term that the running node leads in.
    first_term: u64,
    crashes: u64,
    reopened: u64,
}

impl World {
    fn new(setup: &Setup) -> Self {
        Self {
            seed: setup.seed,
            mutant: setup.mutant,
            sim: Sim::new(setup.seed),
            net: Net::rough(),
            log: Log::default(),
            store: Store::default(),
            node: None,
            devices: (0..setup.devices).map(Device::new).collect(),
            callers: Callers::default(),
            faults: Faults::default(),
            judge: Judge::new(setup.mutant),
            calm: false,
            boot: 0,
            term: 0,
            first_term: 1,
            crashes: 0,
            reopened: 0,
        }
    }

    fn begin(&mut self, setup: &Setup) {
        self.start();
        for device in 0..self.devices.len() {
            self.sim.after(1, Event::DeviceStarts { device, life: 0 });
            self.sim.after(5, Event::DeviceActs { device });
        }
        for caller in 0..setup.callers {
            self.sim.after(20, Event::CallerActs { caller });
        }
        self.sim.after(300, Event::Breaks);
    }

    /// Lets one thing happen.
    fn step(&mut self) -> Result<(), Failure> {
        let event = self.sim.next().expect("a running node always has a tick to come");
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
            Event::CallArrives { call } => self.call_arrives(call),
            Event::AnswerArrives { call } => self.answer_arrives(call),
            Event::CallOverdue { call } => self.call_overdue(call),
            Event::Append { boot, ticket } => self.append(boot, ticket),
            Event::Synced { boot, upto } => self.synced(boot, upto),
            Event::Apply { boot, upto } => self.apply(boot, upto),
            Event::Settled { boot, ticket } => self.settled(boot, ticket),
            Event::BarrierEnds { boot, term, id, passed } => {
                self.barrier_ends(boot, term, id, passed);
            }
            Event::Tick { boot } => self.tick(boot),
            Event::CutGoesOn { boot } => self.cut_goes_on(boot),
            Event::Checkpointed { boot } => self.checkpointed(boot),
            Event::Leads { boot } => {
                if self.boot == boot {
                    self.lead();
                }
            }
            Event::Starts => self.start(),
            Event::Breaks => self.breaks(),
        }
    }

    /// From now on nothing breaks.
    fn calm_down(&mut self) {
        self.calm = true;
        self.net.rough = false;
        self.log.sync_ms_max = 4;
        self.faults.mend();
    }

    /// Whether proposals and barriers may go wrong.
    const fn rough(&self) -> bool {
        !self.calm
    }

    /// What has not healed, in words.
    fn sick(&self) -> Vec<String> {
        let mut sick: Vec<String> = self.devices.iter().filter_map(Device::unrest).collect();
        sick.extend(self.callers.busy.values().map(|op| format!("operation {op} is under way")));
        match &self.node {
            None => sick.push("the node is down".into()),
            Some(node) if !node.shard.is_open() => sick.push("the shard is closed".into()),
            Some(node) => {
                if !node.shard.is_drained() || node.shard.bytes() > 0 {
                    sick.push(format!("{} bytes wait at the gate", node.shard.bytes()));
                }
                let live = node.twins.values().filter_map(|active| active.twin.next_deadline());
                sick.extend(live.map(|due| format!("a command is live until {}", due.ms)));
                if node.table.index() < self.log.last() {
                    sick.push("the log has more than the table".into());
                }
            }
        }
        sick
    }

    fn end(mut self) -> Result<Report, Failure> {
        let sick = self.sick();
        let keys: Vec<_> = self.node.iter().flat_map(|node| node.twins.keys().cloned()).collect();
        if sick.is_empty() {
            keys.iter().for_each(|key| self.settle(key));
        }
        if let Some(node) = &self.node {
            let sessions: BTreeMap<_, _> =
                self.devices.iter().map(|device| (device.key.clone(), device.online)).collect();
            let end = End { log: &self.log, table: &node.table, sessions, sick };
            self.judge.end(&end);
        }
        if let Some((invariant, text)) = self.judge.wrong.take() {
            return Err(self.failure(invariant, text));
        }
        Ok(Report {
            trace: self.sim.trace(),
            events: self.sim.events,
            changes: self.judge.place(),
            acknowledged: self.devices.iter().map(|device| device.acknowledged).sum(),
            returned: self.callers.returned,
            crashes: self.crashes,
            reopened: self.reopened,
            checkpoints: self.store.count,
        })
    }

    const fn failure(&self, invariant: &'static str, text: String) -> Failure {
        Failure { seed: self.seed, at_ms: self.sim.now, invariant, text }
    }
}
