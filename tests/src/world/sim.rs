//! Virtual time: what will happen when, in one order for one seed. Knows nothing of what the
//! events mean.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use super::chance::{Chance, Trace};
use super::consensus::Message;
use super::log::Record;
use super::state::State;

/// Something that happens at a point in time. Events of a node carry its boot, those of a device
/// its life: what was meant for an earlier one is dropped.
#[derive(Clone, Debug, Hash)]
pub(super) enum Event {
    /// A device's application does something.
    DeviceActs { device: usize },
    /// A device's machine has a deadline.
    DeviceDue { device: usize, life: u64 },
    /// A device's application finishes a command.
    DeviceFinishes { device: usize, life: u64, command: u64 },
    /// A device starts again.
    DeviceStarts { device: usize, life: u64 },
    /// A dial reaches the node.
    Dialled { conn: u64 },
    /// The device learns that its connection stands.
    Established { conn: u64 },
    /// Bytes reach the node.
    Up { conn: u64, bytes: Vec<u8> },
    /// Bytes reach the device.
    Down { conn: u64, bytes: Vec<u8> },
    /// From now on nothing gets through.
    Cut { conn: u64 },
    /// The node learns that the connection is gone.
    NodeLoses { conn: u64 },
    /// The device learns that the connection is gone.
    DeviceLoses { conn: u64 },
    /// A caller starts an operation.
    CallerActs { caller: usize },
    /// A call reaches a node.
    CallArrives { host: usize, call: u64 },
    /// An answer reaches the caller.
    AnswerArrives { call: u64 },
    /// The caller does not wait any longer.
    CallOverdue { call: u64 },
    /// A node is told something by another.
    Peer { host: usize, from: u64, message: Message },
    /// The log takes an entry over.
    Append { host: usize, boot: u64, ticket: u64 },
    /// An entry that went astray turns up.
    TurnsUp { record: Record },
    /// An fsync ends.
    Synced { host: usize, boot: u64, sync: u64 },
    /// The table takes in what is committed.
    Apply { host: usize, boot: u64, upto: u64 },
    /// The proposer is told what became of its entry.
    Settled { host: usize, boot: u64, ticket: u64 },
    /// A read barrier goes wrong.
    BarrierFails { host: usize, boot: u64, id: u64 },
    /// Read rounds were answered.
    RoundsEnd { host: usize, boot: u64 },
    /// A node looks at its deadlines.
    Tick { host: usize, boot: u64 },
    /// A node begins a checkpoint.
    CutBegins { host: usize, boot: u64 },
    /// A node takes the next images of a checkpoint's cut.
    CutGoesOn { host: usize, cut: u64 },
    /// A checkpoint is durable.
    Checkpointed { host: usize, cut: u64 },
    /// A node takes the next images of a state for another.
    StateGoesOn { host: usize, boot: u64, to: usize },
    /// Another's state is on a node's disk.
    StateIsIn { host: usize, boot: u64, state: State },
    /// A watcher asks for what is new.
    WatcherAsks { watcher: usize },
    /// A node starts.
    Starts { host: usize },
    /// The links between nodes are good again.
    Heals,
    /// Something breaks.
    Breaks,
}

/// The clock and what is to come.
#[derive(Debug)]
pub(super) struct Sim {
    /// Milliseconds since the world began.
    pub(super) now: u64,
    pub(super) chance: Chance,
    /// How many events there were.
    pub(super) events: u64,
    trace: Trace,
    order: u64,
    queue: BTreeMap<(u64, u64), Event>,
}

impl Sim {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            now: 0,
            chance: Chance::new(seed),
            events: 0,
            trace: Trace::default(),
            order: 0,
            queue: BTreeMap::new(),
        }
    }

    /// Lets an event happen `ms` from now.
    pub(super) fn after(&mut self, ms: u64, event: Event) {
        self.at(self.now + ms, event);
    }

    /// Lets an event happen at a time that is not past.
    pub(super) fn at(&mut self, ms: u64, event: Event) {
        self.order += 1;
        self.queue.insert((ms.max(self.now), self.order), event);
    }

    /// The next event; time goes on to it.
    pub(super) fn next(&mut self) -> Option<Event> {
        let ((at, _), event) = self.queue.pop_first()?;
        self.now = at;
        self.events += 1;
        at.hash(&mut self.trace);
        event.hash(&mut self.trace);
        Some(event)
    }

    /// A hash of all that happened.
    pub(super) fn trace(&self) -> u64 {
        self.trace.finish()
    }
}
