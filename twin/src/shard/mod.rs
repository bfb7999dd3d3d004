//! The `Shard` machine: what the owner of a shard does beside deciding. Batches changes for the
//! log, holds outputs back until their batch took effect, opens generations, lets quiet twins go.
//!
//! What a twin decides is [`crate::Twin`]'s business; carrying entries to the log and outputs to
//! their receivers is the driver's. The driver's turn: wait for one thing, read both clocks once
//! ([`Shard::time`]), hand in, drain [`Shard::poll_output`], arm a timer for
//! [`Shard::next_deadline`]. Safety rules 1 to 4, 8, 19 and 20 are kept here.

mod batches;
mod gate;
mod slots;
mod time;
mod weigh;

#[cfg(test)]
mod tests;

use crate::change::Change;
use crate::entry::{Entry, Epoch};
use crate::id::TwinKey;
use crate::limits;
use crate::table::{Fence, Outcome};
use crate::time::Time;

use batches::Batches;
use gate::{Gate, Held};
pub use slots::Slot;
use slots::Slots;
pub use time::Now;
use time::ShardClock;

/// The bounds of a shard, with the defaults of [`limits`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// See [`limits::BATCH_BYTES_MAX`].
    pub batch_bytes_max: usize,
    /// See [`limits::BATCHES_IN_FLIGHT_MAX`].
    pub batches_in_flight_max: usize,
    /// See [`limits::LINGER_MS`].
    pub linger_ms: u64,
    /// See [`limits::GATE_BYTES_MAX`].
    pub gate_bytes_max: usize,
    /// See [`limits::IDLE_MS`].
    pub idle_ms: u64,
    /// See [`limits::RETRY_MS`].
    pub retry_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            batch_bytes_max: limits::BATCH_BYTES_MAX,
            batches_in_flight_max: limits::BATCHES_IN_FLIGHT_MAX,
            linger_ms: limits::LINGER_MS,
            gate_bytes_max: limits::GATE_BYTES_MAX,
            idle_ms: limits::IDLE_MS,
            retry_ms: limits::RETRY_MS,
        }
    }
}

/// Names a proposed entry; unlike any other of this shard machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProposalId {
    /// The generation it belongs to.
    pub generation: u64,
    /// The batch's number; zero for the opening.
    pub number: u64,
}

/// What the outputs of a decision without changes wait for, beside the twin's newest change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Nothing more: they repeat what is in the log (an acknowledgement of a number seen before).
    Changes,
    /// A read barrier that begins from now on: they tell what the twin is (safety rule 3).
    Barrier,
}

/// What the driver has to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output<O> {
    /// Propose this entry to the log as the leader of its epoch; tell [`Shard::handed`], then
    /// [`Shard::applied`] or [`Shard::failed`].
    Propose {
        /// To be named in the answers.
        id: ProposalId,
        /// The entry.
        entry: Entry,
    },
    /// The opening took effect: twins may be activated from the table.
    Opened,
    /// This may leave now.
    Release(O),
    /// Start a read barrier; tell [`Shard::barrier_passed`] or [`Shard::barrier_failed`].
    Barrier {
        /// To be named in the answer.
        id: u64,
    },
    /// This twin was quiet: its slot is free as of now, drop the actor at once.
    Passivate(Slot),
    /// Something was lost: drop all actors; nothing that was not released will be.
    Reopen,
    /// After [`Shard::admit`] refused, there is room again.
    Room,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Closed,
    /// The opening is to be proposed, at the next poll.
    Due,
    /// The opening is on its way.
    Opening,
    /// The opening failed and is to be tried again then.
    Failed {
        again_ms: u64,
    },
    Open,
}

/// The owner's side of one shard; `O` is whatever the driver wants back when it may leave.
#[derive(Debug)]
pub struct Shard<O> {
    options: Options,
    stage: Stage,
    epoch: Epoch,
    generation: u64,
    clock: ShardClock,
    slots: Slots,
    batches: Batches<O>,
    gate: Gate<O>,
    reopen: Note,
    opened: Note,
    #[cfg(test)]
    mutant: tests::Mutant,
}

/// Whether something is still to be said at the next poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    Said,
    ToSay,
}

impl Note {
    fn take(&mut self) -> bool {
        core::mem::replace(self, Self::Said) == Self::ToSay
    }
}

impl<O> Shard<O> {
    /// A closed shard.
    pub fn new(options: Options) -> Self {
        let now = Now { wall: Time::default(), monotonic_ms: 0 };
        Self {
            stage: Stage::Closed,
            epoch: Epoch::default(),
            generation: 0,
            clock: ShardClock::starting(now, Time::default()),
            slots: Slots::new(options.idle_ms),
            batches: Batches::new(
                options.batch_bytes_max,
                options.batches_in_flight_max,
                options.linger_ms,
            ),
            gate: Gate::new(options.gate_bytes_max),
            reopen: Note::Said,
            opened: Note::Said,
            options,
            #[cfg(test)]
            mutant: tests::Mutant::None,
        }
    }

    /// This node leads the shard's log in `epoch`; `fence` is its table's. Begins a generation
    /// above all that this machine and this table ever saw.
    pub fn open(&mut self, now: Now, epoch: Epoch, fence: &Fence) {
        assert!(self.stage == Stage::Closed, "a shard is closed before it is opened again");
        assert!(epoch >= self.epoch, "epochs of one node only rise");
        self.drop_all();
        if self.generation == 0 {
            // Nothing else says how long this node was away: the wall clock is taken at its word.
            self.clock = ShardClock::starting(now, fence.time);
        } else {
            self.clock.resume(now, fence.time);
        }
        let seen = if fence.epoch == epoch { fence.generation } else { 0 };
        self.generation = self.generation.max(seen) + 1;
        self.epoch = epoch;
        self.stage = Stage::Due;
    }

    /// This node does not lead any more, or a quorum was silent for too long (safety rule 6). All
    /// that was not released is dropped; drop all actors.
    pub fn close(&mut self) {
        self.drop_all();
        self.stage = Stage::Closed;
        self.reopen = Note::Said;
        self.opened = Note::Said;
    }

    /// Whether twins may be activated and decide.
    pub fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// The newest epoch and generation it opened, or is opening.
    pub const fn generation(&self) -> (Epoch, u64) {
        (self.epoch, self.generation)
    }

    /// The shard's time, to be read once a turn and given to the twins.
    pub fn time(&mut self, now: Now) -> Time {
        self.clock.read(now)
    }

    /// Whether there is room for an input of about this size; if not, leave it unread until
    /// [`Output::Room`] (safety rule 19).
    pub fn admit(&mut self, bytes: usize) -> bool {
        self.gate.admit(bytes)
    }

    /// Gives a twin a slot. The driver looks after having one actor per twin.
    pub fn activate(&mut self, now: Now, key: TwinKey) -> Slot {
        assert!(self.is_open(), "twins are activated in an open shard only");
        self.slots.add(key, now.monotonic_ms)
    }

    /// Whether the slot's twin is still active. False after a reopening, a closing, a passivation.
    pub fn is_active(&self, slot: Slot) -> bool {
        self.slots.is_live(slot)
    }

    /// How many twins are active.
    pub fn active(&self) -> usize {
        self.slots.len()
    }

    /// The twin is in use, though it decides nothing.
    pub fn touch(&mut self, now: Now, slot: Slot) {
        self.slots.touch(slot, now.monotonic_ms);
    }

    /// Keeps a twin active however quiet it is: it has a session or live commands
    /// ([`crate::Twin::wants_wake`]).
    pub fn keep_awake(&mut self, now: Now, slot: Slot) {
        self.slots.keep_awake(slot, now.monotonic_ms);
    }

    /// Ends [`Shard::keep_awake`].
    pub fn may_sleep(&mut self, now: Now, slot: Slot) {
        self.slots.may_sleep(slot, now.monotonic_ms);
    }

    /// A twin handled an input: its changes go to the log, its outputs (with their bytes) wait.
    pub fn decided(
        &mut self,
        now: Now,
        slot: Slot,
        changes: impl IntoIterator<Item = Change>,
        outputs: impl IntoIterator<Item = (O, usize)>,
        wait: Wait,
    ) {
        assert!(self.is_open(), "twins decide in an open shard only");
        let place = self.slots.touch(slot, now.monotonic_ms);
        let pushed = self.batches.push(place.key(), changes, now.monotonic_ms);
        if let Some((number, bytes)) = pushed {
            place.last_batch = number;
            self.gate.add(bytes);
        }
        let mut outputs = outputs.into_iter().peekable();
        if outputs.peek().is_some() && pushed.is_none() && wait == Wait::Barrier {
            place.last_round = self.gate.join_round();
        }
        #[cfg(test)]
        match self.mutant {
            tests::Mutant::ReleasesEarly => place.last_batch = 0,
            tests::Mutant::ReadsAtOnce => place.last_round = 0,
            tests::Mutant::None | tests::Mutant::PassivatesEarly => {}
        }
        for (output, bytes) in outputs {
            self.gate.add(bytes);
            let held = Held { output, bytes, round: place.last_round };
            if place.last_batch > self.batches.applied() {
                self.batches.hold(place.last_batch, held);
            } else {
                self.gate.settle(held);
            }
        }
    }

    /// The log took the entry over; its order is settled.
    pub fn handed(&mut self, id: ProposalId) {
        if self.is_current(id) && id.number > 0 {
            self.batches.handed(id.number);
        }
    }

    /// The entry was applied, and this is the answer to this very proposal (safety rule 2).
    pub fn applied(&mut self, id: ProposalId, outcome: Outcome) {
        if !self.is_current(id) {
            return;
        }
        match outcome {
            Outcome::Took { time } => {
                self.clock.raise(time);
                if id.number == 0 {
                    self.opening_took();
                } else {
                    self.batch_took(id.number);
                }
            }
            // Only a newer epoch is above our opening: this node was deposed and will be told.
            Outcome::Skipped if id.number == 0 => {
                self.close();
                self.reopen = Note::ToSay;
            }
            Outcome::Skipped => self.reopen(),
        }
    }

    /// The proposal was refused, or nobody knows what became of it.
    pub fn failed(&mut self, now: Now, id: ProposalId) {
        if !self.is_current(id) {
            return;
        }
        if id.number == 0 {
            self.generation += 1;
            let again_ms = now.monotonic_ms.saturating_add(self.options.retry_ms);
            self.stage = Stage::Failed { again_ms };
        } else {
            self.reopen();
        }
    }

    /// The read barrier passed: this node was the leader after it began.
    pub fn barrier_passed(&mut self, id: u64) {
        self.gate.barrier_passed(id);
    }

    /// The read barrier failed; it is tried again until the shard is closed.
    pub fn barrier_failed(&mut self, now: Now, id: u64) {
        self.gate.barrier_failed(id, now.monotonic_ms.saturating_add(self.options.retry_ms));
    }

    /// From now on every change goes to the log at once, also one that nobody waits for: before a
    /// handoff or a stop.
    pub fn hurry(&mut self) {
        self.batches.hurry();
    }

    /// Whether nothing is on its way: for a handoff, once no input is admitted any more.
    pub fn is_drained(&self) -> bool {
        self.batches.is_empty() && self.gate.is_empty()
    }

    /// Bytes of changes and outputs that are on their way.
    pub fn bytes(&self) -> usize {
        self.gate.bytes()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output<O>> {
        if self.stage == Stage::Open
            && let Some((number, changes)) = self.batches.take_proposal()
        {
            let (epoch, generation, time) = (self.epoch, self.generation, self.clock.time());
            let id = ProposalId { generation, number };
            let entry = Entry::Batch { epoch, generation, number, time, changes };
            return Some(Output::Propose { id, entry });
        }
        if let Some(id) = self.gate.take_barrier() {
            return Some(Output::Barrier { id });
        }
        if let Some(output) = self.gate.take_ready() {
            return Some(Output::Release(output));
        }
        self.poll_seldom()
    }

    /// When [`Shard::handle_deadline`] is due, in monotonic milliseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        let opening = match self.stage {
            Stage::Failed { again_ms } => Some(again_ms),
            _ => None,
        };
        let due = [
            opening,
            self.batches.next_deadline(),
            self.gate.next_deadline(),
            self.slots.next_deadline(),
        ];
        due.into_iter().flatten().min()
    }

    /// Time has passed. Early or repeated calls do no harm.
    pub fn handle_deadline(&mut self, now: Now) {
        if matches!(self.stage, Stage::Failed { again_ms } if again_ms <= now.monotonic_ms) {
            self.stage = Stage::Due;
        }
        self.batches.handle_deadline(now.monotonic_ms);
        self.gate.handle_deadline(now.monotonic_ms);
        self.slots.handle_deadline(now.monotonic_ms);
    }

    fn poll_seldom(&mut self) -> Option<Output<O>> {
        if self.reopen.take() {
            return Some(Output::Reopen);
        }
        if self.opened.take() {
            return Some(Output::Opened);
        }
        if self.stage == Stage::Due {
            self.stage = Stage::Opening;
            let (epoch, generation, time) = (self.epoch, self.generation, self.clock.time());
            let id = ProposalId { generation, number: 0 };
            return Some(Output::Propose { id, entry: Entry::Open { epoch, generation, time } });
        }
        let applied = self.batches.applied();
        #[cfg(test)]
        let applied = match self.mutant {
            tests::Mutant::PassivatesEarly => u64::MAX,
            _ => applied,
        };
        let gate = &self.gate;
        let quiet = self.slots.take_quiet(applied, |round| gate.is_ahead(round));
        if let Some(slot) = quiet {
            return Some(Output::Passivate(slot));
        }
        self.gate.take_room().then_some(Output::Room)
    }

    /// Answers to proposals of generations that were given up tell nothing.
    fn is_current(&self, id: ProposalId) -> bool {
        let expected = if id.number == 0 { Stage::Opening } else { Stage::Open };
        id.generation == self.generation && self.stage == expected
    }

    fn opening_took(&mut self) {
        self.stage = Stage::Open;
        self.opened = Note::ToSay;
    }

    fn batch_took(&mut self, number: u64) {
        self.batches.took(number);
        while let Some((bytes, mut held)) = self.batches.pop_took() {
            self.gate.subtract(bytes);
            for held in held.drain(..) {
                self.gate.settle(held);
            }
            self.batches.recycle(held);
        }
    }

    /// A batch was lost: what was decided on top of it must never be seen (safety rule 1).
    fn reopen(&mut self) {
        self.drop_all();
        self.generation += 1;
        self.stage = Stage::Due;
        self.reopen = Note::ToSay;
        self.opened = Note::Said;
    }

    fn drop_all(&mut self) {
        self.batches.restart();
        self.slots.clear();
        self.gate.drop_waiting();
    }
}
