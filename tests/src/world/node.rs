//! A node's owner side: the `Shard` machine, the actors of its twins, and what they release. The
//! same turns as runtime's driver takes, without its threads. Decides nothing.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU64;

use pollux_proto::device::convert::WelcomeTerms;
use pollux_proto::device::framing::encode;
use pollux_proto::device::{NodeFrame, Replica};
use pollux_runtime::watch::Ring;
use pollux_twin::input::{CallId, ConnectionId, FromDevice, Input};
use pollux_twin::limits::Limits;
use pollux_twin::output::{Answer, ByeReason, Output as Told, ToDevice};
use pollux_twin::registration::Shown;
use pollux_twin::shard::{Now, Options, Output, Shard, Slot, Wait};
use pollux_twin::table::Table;
use pollux_twin::{Epoch, Rejection, Time, Twin, TwinKey, image};

use super::World;
use super::connection::Connection;
use super::consensus::Consensus;
use super::host::{address, number};
use super::judge::Seen;
use super::kinds::Kinds;
use super::mutant::Mutant;
use super::proposer::Proposer;
use super::sim::Event;
use super::state::Outgoing;

/// What one input may take at the gate before it is known.
pub(super) const INPUT_BYTES: usize = 512;
/// What an output takes at the gate.
const OUTPUT_BYTES: usize = 300;
/// How long a session of an earlier opening may take to come back.
const GRACE_MS: u64 = 4_000;
/// How often the node looks at its deadlines.
pub(super) const TICK_MS: u64 = 25;
/// Bytes of changes that watchers can go back to: few, so that some are told to begin again.
pub(super) const RING_BYTES: usize = 12_000;
/// A section's bytes: small, so that some reports are too large.
const SECTION_BYTES_MAX: usize = 2_000;
/// Short enough that what was deleted is forgotten within a run, too.
const RESTORABLE_MS: Option<NonZeroU64> = NonZeroU64::new(3_000);

/// Something on its way out of the node.
#[derive(Clone, Debug)]
pub(super) struct Out {
    pub(super) key: TwinKey,
    pub(super) to: To,
}

/// To whom, and what.
#[derive(Clone, Debug)]
pub(super) enum To {
    /// A device, on a connection.
    Device { conn: u64, session: u64, message: ToDevice },
    /// A caller.
    Caller { call: u64, result: Result<Answer, Rejection> },
}

/// An active twin.
pub(super) struct Active {
    pub(super) slot: Slot,
    pub(super) twin: Twin,
    /// Connections of its device, with their session once they have one.
    pub(super) conns: Vec<(u64, Option<u64>)>,
    awake: bool,
}

/// A running node.
pub(super) struct Node {
    pub(super) boot: u64,
    started_ms: u64,
    pub(super) consensus: Consensus,
    /// Whether it acts for the shard.
    pub(super) owning: bool,
    /// Whether it has opened the shard since it started.
    pub(super) opened: bool,
    pub(super) epoch: Epoch,
    pub(super) limits: Limits,
    pub(super) shard: Shard<Out>,
    pub(super) table: Table,
    pub(super) twins: BTreeMap<TwinKey, Active>,
    keys: Vec<Option<TwinKey>>,
    pub(super) connections: BTreeMap<u64, Connection>,
    /// Bytes that came while the gate was full.
    pub(super) parked: VecDeque<(u64, Vec<u8>)>,
    pub(super) proposer: Proposer,
    /// Twins woken at an opening, and when their sessions must be back.
    expiring: VecDeque<(u64, TwinKey)>,
    /// The checkpoint whose cut is being taken or written.
    pub(super) cutting: Option<u64>,
    /// States on their way to others.
    pub(super) states: BTreeMap<usize, Outgoing>,
    /// Entries up to here are in the table, or on their way to it.
    pub(super) applying: u64,
    /// What watchers are told from.
    pub(super) ring: Ring,
    /// Entries up to here were in the log when it started.
    pub(super) restarted_at: u64,
    /// Its table has been all there is since it started.
    pub(super) was_whole: bool,
}

impl Node {
    pub(super) fn new(
        boot: u64,
        now_ms: u64,
        table: Table,
        (consensus, restarted_at): (Consensus, u64),
    ) -> Self {
        let applying = table.index();
        let options = Options {
            batch_bytes_max: 4 * 1024,
            gate_bytes_max: 48 * 1024,
            idle_ms: 1_500,
            ..Options::default()
        };
        Self {
            boot,
            started_ms: now_ms,
            consensus,
            owning: false,
            opened: false,
            epoch: Epoch::default(),
            limits: Limits {
                section_bytes_max: SECTION_BYTES_MAX,
                restorable_ms: RESTORABLE_MS,
                ..Limits::default()
            },
            shard: Shard::new(options),
            ring: Ring::new(table.index(), RING_BYTES),
            table,
            twins: BTreeMap::new(),
            keys: Vec::new(),
            connections: BTreeMap::new(),
            parked: VecDeque::new(),
            proposer: Proposer::default(),
            expiring: VecDeque::new(),
            cutting: None,
            states: BTreeMap::new(),
            applying,
            restarted_at,
            was_whole: false,
        }
    }

    fn now(&self, now_ms: u64, wall_ms: u64) -> Now {
        Now { wall: Time::from_ms(wall_ms), monotonic_ms: now_ms - self.started_ms }
    }
}

impl World {
    pub(super) fn node_now(&self, host: usize) -> Option<Now> {
        let node = self.hosts[host].node.as_ref()?;
        Some(node.now(self.sim.now, self.wall_ms(host)))
    }

    /// The node leads its log: it opens the shard in a new generation.
    pub(super) fn lead(&mut self, host: usize) {
        self.step_down(host);
        let Some(now) = self.node_now(host) else { return };
        let node = self.hosts[host].node.as_mut().expect("it was just there");
        node.owning = true;
        node.epoch = Epoch { term: node.consensus.ballot.term, leader: number(host) };
        let fence = node.table.fence();
        node.shard.open(now, node.epoch, &fence);
        self.drive(host);
    }

    /// The node leads no more, or nobody answers it: it owns nothing, for now.
    pub(super) fn step_down(&mut self, host: usize) {
        let Some(node) = &mut self.hosts[host].node else { return };
        node.owning = false;
        node.shard.close();
        node.epoch = Epoch::default();
        let unknown = node.proposer.fail_all();
        self.drop_actors(host);
        self.drive(host);
        for record in unknown {
            if self.rough() && self.sim.chance.one_in(2) {
                self.goes_astray(&record);
            }
        }
    }

    /// An owner that a majority is silent to gives up by itself, as its log does not; and goes on when
    /// it is heard again (safety rule 6).
    fn look_around(&mut self, host: usize) {
        let now = self.sim.now;
        let Some(node) = &self.hosts[host].node else { return };
        if !node.consensus.leads() || self.mutant == Mutant::AnswersIsolated {
            return;
        }
        match (node.owning, node.consensus.hears_majority(now)) {
            (true, false) => self.step_down(host),
            (false, true) => self.lead(host),
            _ => {}
        }
    }

    /// The actor of a twin, started if it is not there.
    pub(super) fn activate(&mut self, host: usize, key: &TwinKey) {
        let now = self.node_now(host).expect("only a running node is asked");
        let node = self.hosts[host].node.as_mut().expect("only a running node is asked");
        if let Some(active) = node.twins.get(key) {
            node.shard.touch(now, active.slot);
            return;
        }
        let twin = node.table.twin(key).expect("the table is sound").unwrap_or_default();
        let slot = node.shard.activate(now, key.clone());
        let index = slot.index();
        if node.keys.len() <= index {
            node.keys.resize(index + 1, None);
        }
        node.keys[index] = Some(key.clone());
        let awake = twin.wants_wake();
        if awake {
            node.shard.keep_awake(now, slot);
        }
        let active = Active { slot, twin, conns: Vec::new(), awake };
        node.twins.insert(key.clone(), active);
    }

    /// A twin handles an input; what it decides goes to the shard.
    pub(super) fn decide(&mut self, host: usize, key: &TwinKey, input: Input) {
        let kinds = Kinds::heard_by(host, self.sim.now);
        self.turn_of(host, key, |twin, time, limits| {
            // Errors are for messages of sessions that are over: nobody is there to be told.
            let _dropped = twin.handle_typed(time, limits, &kinds, input);
        });
    }

    fn turn_of(&mut self, host: usize, key: &TwinKey, act: impl FnOnce(&mut Twin, Time, &Limits)) {
        let now = self.node_now(host).expect("only a running node decides");
        let node = self.hosts[host].node.as_mut().expect("only a running node decides");
        let time = node.shard.time(now);
        let active = node.twins.get_mut(key).expect("only an active twin decides");
        act(&mut active.twin, time, &node.limits);
        let mut changes = Vec::new();
        let mut outs = Vec::new();
        while let Some(told) = active.twin.poll_output() {
            match told {
                Told::Change(change) => changes.push(change),
                Told::Device { session, message } => {
                    if let Some(conn) = active.conn_for(session, &message) {
                        let to = To::Device { conn, session, message };
                        outs.push(Out { key: key.clone(), to });
                    }
                }
                Told::Answer { call: CallId(call), result } => {
                    outs.push(Out { key: key.clone(), to: To::Caller { call, result } });
                }
            }
        }
        let awake = active.twin.wants_wake() || active.twin.is_busy();
        let slot = active.slot;
        if awake != active.awake {
            active.awake = awake;
            if awake {
                node.shard.keep_awake(now, slot);
            } else {
                node.shard.may_sleep(now, slot);
            }
        }
        let early =
            if self.mutant == Mutant::ReleasesEarly { outs.split_off(0) } else { Vec::new() };
        let repeats = outs.iter().all(Out::is_repeat);
        let wait = if repeats { Wait::Changes } else { Wait::Barrier };
        let outs = outs.into_iter().map(|out| (out, OUTPUT_BYTES));
        node.shard.decided(now, slot, changes, outs, wait);
        for out in early {
            self.deliver(host, out);
        }
        self.drive(host);
    }

    /// Carries out what the shard says until it has nothing more to say.
    pub(super) fn drive(&mut self, host: usize) {
        loop {
            let Some(node) = &mut self.hosts[host].node else { return };
            let Some(output) = node.shard.poll_output() else { break };
            match output {
                Output::Propose { id, entry } => self.propose(host, id, &entry),
                Output::Barrier { id } => self.barrier(host, id),
                Output::Release(out) => self.deliver(host, out),
                Output::Opened => self.opened(host),
                Output::Passivate(slot) => {
                    let key = node.keys[slot.index()].take().expect("an active twin's slot");
                    self.settle(host, &key);
                    if let Some(node) = &mut self.hosts[host].node {
                        node.twins.remove(&key);
                    }
                }
                Output::Reopen => {
                    self.reopened += 1;
                    self.drop_actors(host);
                }
                Output::Room => {
                    let parked = core::mem::take(&mut node.parked);
                    for (conn, bytes) in parked {
                        self.sim.after(0, Event::Up { conn, bytes });
                    }
                }
            }
        }
    }

    fn opened(&mut self, host: usize) {
        let node = self.hosts[host].node.as_mut().expect("a running node's shard opened");
        node.opened = true;
        let woken: Vec<TwinKey> = node.table.wakeful().cloned().collect();
        for key in woken {
            self.activate(host, &key);
            let due = self.sim.now + GRACE_MS;
            let node = self.hosts[host].node.as_mut().expect("a running node's shard opened");
            node.expiring.push_back((due, key));
        }
    }

    /// Time has passed on the node.
    pub(super) fn tick(&mut self, host: usize, boot: u64) {
        let Some(now) = self.node_now(host) else { return };
        let node = self.hosts[host].node.as_mut().expect("it was just there");
        if node.boot != boot {
            return;
        }
        self.sim.after(TICK_MS, Event::Tick { host, boot });
        let own = &mut self.hosts[host];
        let node = own.node.as_mut().expect("it was just there");
        node.consensus.tick(self.sim.now, &mut self.sim.chance, &mut own.log);
        self.pump(host);
        self.look_around(host);
        let Some(node) = self.hosts[host].node.as_mut() else { return };
        node.shard.handle_deadline(now);
        self.drive(host);
        let node = self.hosts[host].node.as_mut().expect("it is still there");
        if !node.shard.is_open() {
            return;
        }
        let time = node.shard.time(now);
        let due: Vec<TwinKey> = node
            .twins
            .iter()
            .filter(|(_, active)| active.twin.next_deadline().is_some_and(|at| at <= time))
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            self.turn_of(host, &key, |twin, time, _| twin.handle_deadline(time));
        }
        self.expire_sessions(host);
    }

    /// Sessions whose devices did not come back to this opening are over (safety rule 18).
    fn expire_sessions(&mut self, host: usize) {
        loop {
            let now_ms = self.sim.now;
            let Some(node) = self.hosts[host].node.as_mut().filter(|node| node.shard.is_open())
            else {
                return;
            };
            if node.expiring.front().is_none_or(|(due, _)| *due > now_ms) {
                return;
            }
            let Some((_, key)) = node.expiring.pop_front() else { return };
            if self.mutant == Mutant::ForgetsPresence {
                continue;
            }
            self.activate(host, &key);
            let Some(node) = &self.hosts[host].node else { return };
            let Some(active) = node.twins.get(&key) else { continue };
            let Some(session) = active.twin.session() else { continue };
            if !active.conns.iter().any(|(_, own)| *own == Some(session)) {
                self.decide(host, &key, Input::Disconnected { session });
            }
        }
    }

    /// Hands something to its receiver.
    fn deliver(&mut self, host: usize, out: Out) {
        self.judge.see(&Seen::Released { out: &out });
        match out.to {
            To::Caller { call, result } => self.answer(host, call, result),
            To::Device { conn, session, message } => {
                if matches!(message, ToDevice::Bye { .. })
                    && let Some(active) =
                        self.hosts[host].node.as_mut().and_then(|node| node.twins.get_mut(&out.key))
                {
                    active.conns.retain(|(own, _)| *own != conn);
                }
                self.send(host, conn, session, message);
            }
        }
    }

    fn send(&mut self, host: usize, conn: u64, session: u64, message: ToDevice) {
        let frame = NodeFrame::from_message(session, message, || self.terms(host));
        let mut bytes = Default::default();
        encode(&frame, &mut bytes).expect("what a twin tells fits a frame");
        self.net.down(&mut self.sim, conn, Event::Down { conn, bytes: bytes.to_vec() });
        if frame.is_last() {
            self.net.down(&mut self.sim, conn, Event::DeviceLoses { conn });
            if let Some(node) = &mut self.hosts[host].node {
                node.connections.remove(&conn);
            }
        }
    }

    /// What a welcome says of the cluster: who may own the shard next.
    fn terms(&self, host: usize) -> WelcomeTerms {
        let others = (0..self.hosts.len()).filter(|other| *other != host);
        let replica = |other| Replica { address: address(other) };
        WelcomeTerms { limits: Default::default(), replicas: others.map(replica).collect() }
    }

    /// Lets all actors go: their devices are sent away for now, as their answers are lost.
    fn drop_actors(&mut self, host: usize) {
        let Some(node) = &mut self.hosts[host].node else { return };
        node.keys.clear();
        node.expiring.clear();
        node.parked.clear();
        for (_, active) in core::mem::take(&mut node.twins) {
            for (conn, session) in active.conns {
                let bye = ToDevice::Bye { reason: ByeReason::Stopping };
                self.send(host, conn, session.unwrap_or(0), bye);
            }
        }
    }

    /// Compares an actor whose changes are all applied with the table.
    pub(super) fn settle(&mut self, host: usize, key: &TwinKey) {
        let Some(node) = &self.hosts[host].node else { return };
        let Some(active) = node.twins.get(key) else { return };
        let table = node.table.image(key);
        let index = table
            .as_ref()
            .map_or(0, |table| image::applied_index(table).expect("the table's images are sound"));
        let own = image::pack(&active.twin, index);
        self.judge.see(&Seen::Settled { key, own: &own, table });
    }

    /// A device says hello.
    pub(super) fn hello(&mut self, host: usize, conn: u64, key: &TwinKey, incarnation: u64) {
        self.activate(host, key);
        let node = self.hosts[host].node.as_mut().expect("only a running node is greeted");
        let active = node.twins.get_mut(key).expect("it was just activated");
        active.conns.push((conn, None));
        let connection = ConnectionId(conn);
        self.decide(
            host,
            key,
            Input::Hello {
                connection,
                incarnation,
                node: number(host),
                shown: Shown::Certificate(None),
            },
        );
    }

    /// A device of a session says something.
    pub(super) fn device_says(
        &mut self,
        host: usize,
        conn: u64,
        key: &TwinKey,
        message: FromDevice,
    ) {
        let Some(node) = &self.hosts[host].node else { return };
        let Some(active) = node.twins.get(key) else { return };
        let session = active.conns.iter().find(|(own, _)| *own == conn).and_then(|(_, own)| *own);
        if let Some(session) = session {
            self.decide(host, key, Input::Device { session, message });
        }
    }
}

impl Active {
    /// Where a message of a session goes. A welcome gives its connection the session; a bye ends
    /// it, but the connection stays known until the bye is out: if it never gets out, because the
    /// generation is given up, someone must still send the device away.
    fn conn_for(&mut self, session: u64, message: &ToDevice) -> Option<u64> {
        if let ToDevice::Welcome { connection, .. } = message {
            let own = self.conns.iter_mut().find(|(conn, _)| *conn == connection.0)?;
            own.1 = Some(session);
        }
        let own = self.conns.iter_mut().find(|(_, own)| *own == Some(session))?;
        if matches!(message, ToDevice::Bye { .. }) {
            own.1 = None;
        }
        Some(own.0)
    }
}

impl Out {
    /// Whether it only repeats what is in the log.
    const fn is_repeat(&self) -> bool {
        matches!(self.to, To::Device { message: ToDevice::Ack { .. } | ToDevice::Nack { .. }, .. })
    }
}
