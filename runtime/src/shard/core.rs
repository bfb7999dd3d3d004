//! One shard on its owner: the `Shard` machine with everything its turn touches, shared by the
//! actors of one arbiter thread. Decides nothing; carries out what the machine says.

mod room;

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use pollux_cluster::Epoch as LeaderEpoch;
use pollux_twin::input::CallId;
use pollux_twin::limits::Limits;
use pollux_twin::shard::{Now, Output, ProposalId, Shard, Slot, Wait};
use pollux_twin::table::Outcome;
use pollux_twin::{Change, Entry, Epoch, Rejection, Time, TwinKey};
use tokio::sync::Notify;

use super::handle::Shared;
use super::messages::{Admission, Order, PrepareDevice, TwinAddress};
use super::quota::Quota;
use super::released::Released;
use super::replica::Replica;
use super::twin_actor::TwinActor;
use crate::access::PolicyBook;
use crate::clock::Clock;
use crate::limits::{CALL_RETRY_MS, INPUT_BYTES, LOAD_MS, REST_MS, WAKES_PER_TURN};
use crate::metrics::Metrics;
use crate::session::{Valve, ValveState};
use crate::space::Space;
use crate::types::TypeBook;
use crate::watch::Listeners;

/// What a twin decided in one turn.
#[derive(Default)]
pub(super) struct Decided {
    pub(super) changes: Vec<Change>,
    pub(super) outputs: Vec<Released>,
}

/// What the proposer carries to the log.
pub(super) enum ToLog {
    /// An entry, to be proposed in this order.
    Entry { id: ProposalId, entry: Entry },
    /// A read barrier.
    Barrier { id: u64 },
}

/// What a core is made of, beside its machine.
pub(super) struct Parts {
    pub(super) node: u64,
    pub(super) clock: Clock,
    pub(super) limits: Limits,
    pub(super) types: Arc<TypeBook>,
    pub(super) policies: PolicyBook,
    pub(super) quota: Quota,
    pub(super) space: Space,
    pub(super) metrics: Arc<Metrics>,
    pub(super) shared: Arc<Shared>,
    pub(super) replica: Arc<Replica>,
    pub(super) valve: Arc<Valve>,
}

/// See the module.
pub(super) struct Core {
    parts: Parts,
    machine: Shard<Released>,
    epoch: Epoch,
    twins: HashMap<TwinKey, Occupant>,
    /// Keys of the active twins, by the index of their slot.
    keys: Vec<Option<TwinKey>>,
    to_log: VecDeque<ToLog>,
    /// Wakes the proposer.
    pub(super) wake: Rc<Notify>,
    /// Twins that had something to do when the shard was opened, yet to be woken.
    sleepers: VecDeque<TwinKey>,
    calls: u64,
    /// Whether what is new is taken.
    admission: Admission,
    /// Since when turns of twins are counted, and how many there were: the shard's load.
    turns: (u64, u64),
    /// Twins that decided something, to be told to rest then.
    restless: VecDeque<(u64, Slot)>,
}

#[derive(Clone)]
struct Occupant {
    address: TwinAddress,
    slot: Slot,
}

impl Core {
    pub(super) fn new(parts: Parts, machine: Shard<Released>) -> Self {
        Self {
            parts,
            machine,
            epoch: Epoch::default(),
            twins: HashMap::new(),
            keys: Vec::new(),
            to_log: VecDeque::new(),
            wake: Rc::new(Notify::new()),
            sleepers: VecDeque::new(),
            calls: 0,
            admission: Admission::Open,
            turns: (0, 0),
            restless: VecDeque::new(),
        }
    }

    /// The shard's time, read once a turn.
    pub(super) fn time(&mut self) -> Time {
        let now = self.now();
        self.machine.time(now)
    }

    fn now(&self) -> Now {
        let clock = self.parts.clock;
        Now { wall: clock.wall(), monotonic_ms: clock.elapsed_ms() }
    }

    pub(super) fn elapsed_ms(&self) -> u64 {
        self.parts.clock.elapsed_ms()
    }

    /// Has the twin told to rest in a while; it asks again if it is not quiet then.
    pub(super) fn rest_later(&mut self, slot: Slot) {
        self.restless.push_back((self.elapsed_ms() + REST_MS, slot));
    }

    pub(super) const fn policies(&self) -> &PolicyBook {
        &self.parts.policies
    }

    pub(super) fn types(&self) -> &TypeBook {
        &self.parts.types
    }

    pub(super) const fn node(&self) -> u64 {
        self.parts.node
    }

    pub(super) fn is_open(&self) -> bool {
        self.machine.is_open()
    }

    pub(super) fn is_active(&self, slot: Slot) -> bool {
        self.machine.is_active(slot)
    }

    /// Whether writes must be refused to keep the log from meeting a full disk (safety rule 23).
    pub(super) fn is_out_of_space(&self) -> bool {
        self.parts.space.is_low()
    }

    pub(super) const fn next_call(&mut self) -> CallId {
        self.calls += 1;
        CallId(self.calls)
    }

    /// Whether there is room for one more call.
    pub(super) fn admit(&mut self) -> Result<(), Rejection> {
        if !self.is_taking() {
            return Err(Rejection::NotOwner);
        }
        if self.machine.admit(INPUT_BYTES) {
            return Ok(());
        }
        self.parts.metrics.overloads_total.inc();
        Err(Rejection::Overloaded { retry_after_ms: CALL_RETRY_MS })
    }

    /// Whether it is open and not about to be handed over.
    pub(super) fn is_taking(&self) -> bool {
        self.is_open() && !self.is_held()
    }

    /// Whether the shard is about to be handed over: what is decided now would be lost with the epoch.
    pub(super) fn is_held(&self) -> bool {
        self.admission == Admission::Held
    }

    /// Takes nothing new from now on, or takes it again; whether all that was taken is finished.
    pub(super) fn set_admission(&mut self, admission: Admission) -> bool {
        if self.is_open() && self.admission != admission {
            self.admission = admission;
            match admission {
                Admission::Held => {
                    self.parts.shared.set_handed_over(true);
                    self.parts.shared.set_closed();
                    self.parts.valve.set(ValveState::Shut);
                }
                Admission::Open => {
                    self.parts.shared.set_handed_over(false);
                    self.parts.shared.set_open(self.epoch);
                    self.parts.valve.set(ValveState::Open);
                }
            }
        }
        self.machine.bytes() == 0
    }

    /// Twins that have an actor.
    pub(super) fn active_keys(&self) -> Vec<TwinKey> {
        self.keys.iter().flatten().cloned().collect()
    }

    /// Tells a twin's device where to connect ahead of a move.
    pub(super) fn prepare(&self, key: &TwinKey, address: &Arc<str>) {
        if let Some(occupant) = self.twins.get(key) {
            // One whose mailbox is full connects when the move has come.
            let _ = occupant.address.try_send(PrepareDevice(Arc::clone(address)));
        }
    }

    /// This node leads the shard's group: begin a generation.
    pub(super) fn open(&mut self, epoch: LeaderEpoch) {
        self.close();
        self.parts.shared.set_handed_over(false);
        self.epoch = Epoch { term: epoch.term, leader: epoch.leader };
        let now = self.now();
        self.machine.open(now, self.epoch, &self.parts.replica.fence());
        self.turn();
    }

    /// This node does not lead it any more.
    pub(super) fn close(&mut self) {
        self.admission = Admission::Open;
        self.machine.close();
        self.drop_actors();
        self.to_log.clear();
    }

    /// The actor of a twin, started if it is not there.
    pub(super) fn actor(this: &Rc<RefCell<Self>>, key: &TwinKey) -> TwinAddress {
        let mut core = this.borrow_mut();
        let now = core.now();
        if let Some(Occupant { address, slot }) = core.twins.get(key).cloned() {
            core.machine.touch(now, slot);
            return address;
        }
        let twin = core.parts.replica.twin(key);
        let slot = core.machine.activate(now, key.clone());
        core.parts.metrics.activations_total.inc();
        let address = TwinActor::launch(key.clone(), slot, twin, Rc::clone(this));
        let index = slot.index();
        if core.keys.len() <= index {
            core.keys.resize(index + 1, None);
        }
        core.keys[index] = Some(key.clone());
        core.twins.insert(key.clone(), Occupant { address: address.clone(), slot });
        core.parts.shared.set_active(core.twins.len());
        address
    }

    /// Takes in what a twin decided, and does what follows from it.
    pub(super) fn decided(&mut self, slot: Slot, decided: Decided) {
        let Decided { changes, outputs } = decided;
        self.turns.1 += 1;
        if let Some(key) = self.keys.get(slot.index()).and_then(Option::as_ref) {
            self.parts.metrics.hot_twin_messages_per_second.note(key);
        }
        if changes.is_empty() && outputs.is_empty() {
            return;
        }
        let now = self.now();
        let repeats = outputs.iter().all(Released::is_repeat);
        let wait = if repeats { Wait::Changes } else { Wait::Barrier };
        let outputs = outputs.into_iter().map(|output| {
            let bytes = output.weigh();
            (output, bytes)
        });
        self.machine.decided(now, slot, changes, outputs, wait);
        self.turn();
        if !self.machine.admit(INPUT_BYTES) {
            self.parts.valve.set(ValveState::Shut);
        }
    }

    /// Keeps a twin from passivation, or lets it go when it is quiet.
    pub(super) fn set_wakefulness(&mut self, slot: Slot, wakefulness: Wakefulness) {
        let now = self.now();
        match wakefulness {
            Wakefulness::Awake => self.machine.keep_awake(now, slot),
            Wakefulness::MaySleep => self.machine.may_sleep(now, slot),
        }
    }

    /// The twin's actor knows something that the log does not.
    pub(super) fn overlays(&self, key: &TwinKey) {
        self.parts.shared.overlay.add(key);
    }

    pub(super) fn listeners(&self) -> &Listeners {
        &self.parts.shared.listeners
    }

    pub(super) fn take_to_log(&mut self) -> Option<ToLog> {
        self.to_log.pop_front()
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.parts.metrics
    }

    pub(super) const fn clock(&self) -> Clock {
        self.parts.clock
    }

    pub(super) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(super) fn handed(&mut self, id: ProposalId) {
        self.machine.handed(id);
        self.turn();
    }

    /// The answer to a proposal of this core.
    pub(super) fn proposed(&mut self, id: ProposalId, outcome: Option<Outcome>) {
        match outcome {
            Some(outcome) => self.machine.applied(id, outcome),
            None => {
                let now = self.now();
                self.machine.failed(now, id);
            }
        }
        self.turn();
    }

    /// The answer to a barrier of this core.
    pub(super) fn barrier(&mut self, id: u64, result: BarrierResult) {
        match result {
            BarrierResult::Passed => self.machine.barrier_passed(id),
            BarrierResult::Failed => {
                let now = self.now();
                self.machine.barrier_failed(now, id);
            }
        }
        self.turn();
    }

    /// Time has passed.
    pub(super) fn tick(&mut self) {
        let now = self.now();
        self.machine.handle_deadline(now);
        self.turn();
        self.parts.shared.set_gate_bytes(self.machine.bytes());
        self.tell_load(now.monotonic_ms);
        if self.machine.is_open() {
            self.parts.quota.tick(now.monotonic_ms);
        }
        while self.restless.front().is_some_and(|(at, _)| *at <= now.monotonic_ms) {
            let Some((_, slot)) = self.restless.pop_front() else { break };
            let key = self.keys.get(slot.index()).and_then(Option::as_ref);
            let occupant = key.and_then(|key| self.twins.get(key));
            if let Some(occupant) = occupant.filter(|occupant| occupant.slot == slot) {
                // One whose mailbox is full is not quiet: it asks again itself.
                if occupant.address.try_send(Order::Rest).is_err() {
                    self.restless.push_back((now.monotonic_ms + REST_MS, slot));
                }
            }
        }
    }

    /// Says once a second how much the shard had to do.
    fn tell_load(&mut self, now_ms: u64) {
        let (since_ms, turns) = self.turns;
        let passed = now_ms.saturating_sub(since_ms);
        if passed >= LOAD_MS {
            self.wake_overdue();
            self.parts.shared.set_messages_per_s(turns * 1000 / passed);
            self.turns = (now_ms, 0);
        }
    }

    /// Wakes twins whose buried content is to be forgotten: they do that themselves.
    fn wake_overdue(&mut self) {
        if self.is_open() && self.sleepers.is_empty() {
            let now = self.time();
            let overdue = self.parts.replica.overdue(now, WAKES_PER_TURN);
            self.sleepers.extend(overdue);
        }
    }

    /// The next twins that had something to do when the shard was opened.
    pub(super) fn take_sleepers(&mut self, most: usize) -> Vec<TwinKey> {
        let count = most.min(self.sleepers.len());
        self.sleepers.drain(..count).collect()
    }

    /// Sends an order to every active twin.
    pub(super) fn order_all(&self, order: Order) {
        for occupant in self.twins.values() {
            // One whose mailbox is full notices by itself, or is told again.
            let _ = occupant.address.try_send(order);
        }
    }

    fn turn(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Propose { id, entry } => self.push_to_log(ToLog::Entry { id, entry }),
                Output::Barrier { id } => self.push_to_log(ToLog::Barrier { id }),
                Output::Release(released) => released.deliver(&self.parts.metrics),
                Output::Opened => {
                    self.parts.shared.set_open(self.epoch);
                    self.sleepers = self.parts.replica.wakeful().into();
                    tracing::info!(
                        shard = %self.parts.shared.shard,
                        term = self.epoch.term,
                        to_wake = self.sleepers.len(),
                        "shard open"
                    );
                }
                Output::Passivate(slot) => self.passivate(slot),
                Output::Reopen => {
                    tracing::info!(
                        shard = %self.parts.shared.shard,
                        "a batch was lost; the shard begins a new generation"
                    );
                    self.to_log.clear();
                    self.drop_actors();
                }
                Output::Room if self.admission == Admission::Open => {
                    self.parts.valve.set(ValveState::Open);
                }
                Output::Room => {}
            }
        }
    }

    /// The node stops: nothing may linger.
    pub(super) fn hurry(&mut self) {
        self.machine.hurry();
        self.turn();
    }

    fn push_to_log(&mut self, to_log: ToLog) {
        self.to_log.push_back(to_log);
        self.wake.notify_one();
    }

    fn passivate(&mut self, slot: Slot) {
        let key = self.keys.get_mut(slot.index()).and_then(Option::take);
        let Some(key) = key else { return };
        if let Some(occupant) = self.twins.remove(&key) {
            let _ = occupant.address.try_send(Order::Stop);
            self.parts.shared.overlay.remove(&key);
            self.parts.metrics.passivations_total.inc();
        }
        self.parts.shared.set_active(self.twins.len());
    }

    fn drop_actors(&mut self) {
        self.parts.shared.set_closed();
        self.parts.quota.forget();
        self.order_all(Order::Stop);
        self.parts.shared.overlay.clear();
        self.twins.clear();
        self.keys.clear();
        self.sleepers.clear();
        self.restless.clear();
        self.parts.shared.set_active(0);
        self.parts.valve.set(ValveState::Open);
    }
}

/// Whether a twin may be passivated when it is quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wakefulness {
    /// It has a session, live commands or waiting callers.
    Awake,
    /// Nothing keeps it.
    MaySleep,
}

/// What came of a read barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BarrierResult {
    Passed,
    Failed,
}
