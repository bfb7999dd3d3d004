//! The node's log on its disk: appends in order, one fsync after the other with delays and stalls,
//! a crash that loses the tail that was not synced, or a part of it. With one voter, what is synced
//! is committed.

use super::chance::Chance;
use super::sim::{Event, Sim};

/// What stands at an index of the log.
#[derive(Clone, Debug)]
pub(super) enum Record {
    /// What a new leader begins its term with; moves the position only.
    Blank,
    /// An entry of the shard, encoded.
    Entry(Vec<u8>),
}

/// The log. Index 1 is the first; nothing is forgotten, as the judge wants all of it.
#[derive(Debug, Default)]
pub(super) struct Log {
    records: Vec<Record>,
    /// Everything up to here is on disk.
    durable: u64,
    syncing: bool,
    /// The disk stands still until then.
    stalled_until: u64,
    /// A node can read back only what is behind this index.
    purged: u64,
    /// Longest ordinary fsync, in milliseconds.
    pub(super) sync_ms_max: u64,
}

impl Log {
    pub(super) fn last(&self) -> u64 {
        u64::try_from(self.records.len()).expect("a length fits 64 bits")
    }

    pub(super) const fn durable(&self) -> u64 {
        self.durable
    }

    pub(super) const fn purged(&self) -> u64 {
        self.purged
    }

    pub(super) fn record(&self, index: u64) -> &Record {
        let at = usize::try_from(index - 1).expect("an index of this log");
        &self.records[at]
    }

    /// Appends, starts an fsync if none is under way, and says at which index.
    pub(super) fn append(&mut self, sim: &mut Sim, boot: u64, record: Record) -> u64 {
        self.records.push(record);
        if !self.syncing {
            self.sync(sim, boot);
        }
        self.last()
    }

    /// An fsync ended; the next one starts if there is more.
    pub(super) fn synced(&mut self, sim: &mut Sim, boot: u64, upto: u64) {
        self.durable = upto;
        self.syncing = false;
        if self.last() > self.durable {
            self.sync(sim, boot);
        }
    }

    /// The disk stands still for so long.
    pub(super) fn stall(&mut self, sim: &Sim, ms: u64) {
        self.stalled_until = self.stalled_until.max(sim.now + ms);
    }

    /// The process is gone: of what was not synced a random beginning may have got to the disk.
    pub(super) fn crash(&mut self, chance: &mut Chance) {
        self.syncing = false;
        self.stalled_until = 0;
        let unsynced = self.last() - self.durable;
        let kept = if chance.one_in(2) { chance.between(0, unsynced) } else { 0 };
        self.durable += kept;
        let durable = usize::try_from(self.durable).expect("a length of this log");
        self.records.truncate(durable);
    }

    /// Forgets what a checkpoint stands for.
    pub(super) fn purge(&mut self, upto: u64) {
        assert!(upto <= self.durable, "only what is on disk can be behind a checkpoint");
        self.purged = self.purged.max(upto);
    }

    fn sync(&mut self, sim: &mut Sim, boot: u64) {
        self.syncing = true;
        let takes = sim.chance.between(1, self.sync_ms_max.max(1));
        let from = self.stalled_until.max(sim.now);
        let upto = self.last();
        sim.at(from + takes, Event::Synced { boot, upto });
    }
}
