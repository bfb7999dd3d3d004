//! A node's log on its disk: appends in order, one fsync after the other with delays and stalls, a
//! crash that loses the tail that was not synced, or a part of it, or brings back what was cut off.

use super::chance::Chance;
use super::consensus::Place;

/// What stands at an index of the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Record {
    /// What a new leader begins its term with; moves the position only.
    Blank,
    /// An entry of the shard, encoded.
    Entry(Vec<u8>),
}

/// A record, and the term of the leader that wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Slot {
    pub(super) term: u64,
    pub(super) record: Record,
}

/// An fsync under way.
#[derive(Debug)]
struct Sync {
    number: u64,
    upto: u64,
}

/// The log. Index 1 is the first.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Everything up to here is gone: a checkpoint stands for it.
    base: Place,
    slots: Vec<Slot>,
    /// Everything up to here is on disk.
    durable: u64,
    sync: Option<Sync>,
    syncs: u64,
    /// What was cut off, as long as no fsync has seen it go: from which index, and what.
    ghost: Option<(u64, Vec<Slot>)>,
    /// The disk stands still until then.
    stalled_until: u64,
    /// Longest ordinary fsync, in milliseconds.
    pub(super) sync_ms_max: u64,
}

impl Log {
    pub(super) const fn base(&self) -> Place {
        self.base
    }

    pub(super) fn last(&self) -> Place {
        let index = self.base.index + self.slots.len() as u64;
        self.slots.last().map_or(self.base, |slot| Place { term: slot.term, index })
    }

    pub(super) const fn durable(&self) -> u64 {
        self.durable
    }

    /// The place at an index; `None` if it is not there, or no longer.
    pub(super) fn place(&self, index: u64) -> Option<Place> {
        if index == self.base.index {
            return Some(self.base);
        }
        self.slot(index).map(|slot| Place { term: slot.term, index })
    }

    pub(super) fn slot(&self, index: u64) -> Option<&Slot> {
        let at = index.checked_sub(self.base.index + 1)?;
        self.slots.get(usize::try_from(at).ok()?)
    }

    /// Some slots from an index on.
    pub(super) fn slots(&self, from: u64, most: u64) -> Vec<Slot> {
        (from..from + most).map_while(|index| self.slot(index).cloned()).collect()
    }

    /// Appends, and says at which index.
    pub(super) fn push(&mut self, term: u64, record: Record) -> u64 {
        self.slots.push(Slot { term, record });
        self.last().index
    }

    /// Cuts everything off from an index on. On the disk it is gone with the next fsync.
    pub(super) fn truncate(&mut self, from: u64) {
        let kept = usize::try_from(from - self.base.index - 1).expect("an index of this log");
        let mut cut = self.slots.split_off(kept);
        if self.durable >= from {
            cut.truncate(usize::try_from(self.durable + 1 - from).expect("a length of this log"));
            if let Some((_, before)) = self.ghost.take() {
                cut.extend(before);
            }
            self.ghost = Some((from, cut));
            self.durable = from - 1;
        }
        if let Some(sync) = &mut self.sync {
            sync.upto = sync.upto.min(from - 1);
        }
    }

    /// Starts an fsync, if there is something to sync and none under way: its number, and when it
    /// ends.
    pub(super) fn begin_sync(&mut self, now: u64, chance: &mut Chance) -> Option<(u64, u64)> {
        if self.sync.is_some() || self.last().index == self.durable {
            return None;
        }
        self.syncs += 1;
        self.sync = Some(Sync { number: self.syncs, upto: self.last().index });
        let takes = chance.between(1, self.sync_ms_max.max(1));
        Some((self.syncs, self.stalled_until.max(now) + takes))
    }

    /// An fsync ended. False if it is not the one under way.
    pub(super) fn synced(&mut self, number: u64) -> bool {
        match self.sync.take_if(|sync| sync.number == number) {
            Some(sync) => {
                self.durable = self.durable.max(sync.upto);
                self.ghost = None;
                true
            }
            None => false,
        }
    }

    /// The disk stands still for so long.
    pub(super) fn stall(&mut self, now: u64, ms: u64) {
        self.stalled_until = self.stalled_until.max(now + ms);
    }

    /// The process is gone: of what was not synced a random beginning may have got to the disk.
    pub(super) fn crash(&mut self, chance: &mut Chance) {
        self.sync = None;
        self.stalled_until = 0;
        let unsynced = self.last().index - self.durable;
        let kept = if chance.one_in(2) { chance.between(0, unsynced) } else { 0 };
        let ghost = self.ghost.take().filter(|_| kept == 0 && chance.one_in(2));
        self.durable += kept;
        let kept = usize::try_from(self.durable - self.base.index).expect("a length of this log");
        self.slots.truncate(kept);
        if let Some((_, cut)) = ghost {
            self.slots.extend(cut);
            self.durable = self.last().index;
        }
    }

    /// Forgets what a checkpoint stands for.
    pub(super) fn purge(&mut self, upto: u64) {
        assert!(upto <= self.durable, "only what is on disk can be behind a checkpoint");
        if let Some(place) = self.place(upto).filter(|place| place.index > self.base.index) {
            let gone = usize::try_from(upto - self.base.index).expect("a length of this log");
            self.slots.drain(..gone);
            self.base = place;
        }
    }

    /// Another's state is on this disk: the log begins anew behind it.
    pub(super) fn reset(&mut self, base: Place) {
        self.slots.clear();
        self.base = base;
        self.durable = base.index;
        self.sync = None;
        self.ghost = None;
    }
}
