//! A group's log in memory: everything not yet purged, so that no read touches the disk. Owns the
//! newest state, which may be ahead of the file; `view` has the file's.

use std::collections::VecDeque;
use std::ops::Range;

use super::record::{Entry, Marks, Vote};
use super::replay::Replayed;
use crate::ids::{Epoch, Position};

/// The newest state of a group's log.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    pub(crate) vote: Option<Vote>,
    pub(crate) purged: Option<Position>,
    pub(crate) committed: Option<Position>,
    /// The last entry of a replica that has left this node. Others may count on its having been there: the
    /// one that comes in its place must neither vote nor stand before it has got that far again.
    pub(crate) floor: Option<Position>,
    entries: VecDeque<Entry>,
    bytes: u64,
}

impl Tail {
    pub(crate) fn from_replay(replayed: Replayed) -> Self {
        let Replayed { marks, entries } = replayed;
        let entries: VecDeque<Entry> = entries.into_values().map(|(entry, _)| entry).collect();
        let bytes = entries.iter().map(size).sum();
        let (vote, purged, committed) = (marks.vote, marks.purged, marks.committed);
        Self { vote, purged, committed, floor: marks.floor, entries, bytes }
    }

    /// What is left when the replica leaves the node: what it had promised, and nothing it holds.
    pub(crate) fn left(&self) -> Marks {
        let floor = self.last().into_iter().chain(self.floor).max_by_key(rank);
        Marks { vote: self.vote, floor, ..Marks::default() }
    }

    /// A log in which there are only these.
    pub(crate) fn of(marks: Marks) -> Self {
        Self { vote: marks.vote, floor: marks.floor, ..Self::default() }
    }

    /// Whether the log has yet to come as far as that of the replica which was here before.
    pub(crate) fn is_below_floor(&self) -> bool {
        let last = self.last();
        self.floor.is_some_and(|floor| last.is_none_or(|last| rank(&last) < rank(&floor)))
    }

    /// The last entry, or the last purged one when there is none.
    pub(crate) fn last(&self) -> Option<Position> {
        self.entries.back().map(|entry| entry.position).or(self.purged)
    }

    /// The index of the first entry kept, if any is.
    fn first(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.position.index)
    }

    /// Bytes of the entries kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds entries at the end. Says which place is wrong if they do not follow the last one.
    pub(crate) fn append(&mut self, entries: &[Entry]) -> Result<(), String> {
        let mut next = self.last().map(|last| last.index + 1);
        for entry in entries {
            let index = entry.position.index;
            if next.is_some_and(|next| next != index) {
                return Err(format!(
                    "entry {index} does not follow entry {}",
                    next.unwrap_or(0) - 1
                ));
            }
            next = Some(index + 1);
        }
        self.bytes += entries.iter().map(size).sum::<u64>();
        self.entries.extend(entries.iter().cloned());
        Ok(())
    }

    /// Drops all entries from `from` on.
    pub(crate) fn truncate(&mut self, from: u64) {
        while self.entries.back().is_some_and(|entry| entry.position.index >= from) {
            let dropped = self.entries.pop_back();
            self.bytes -= dropped.as_ref().map_or(0, size);
        }
    }

    /// Drops all entries up to `upto`, inclusive. False if that was done before.
    pub(crate) fn purge(&mut self, upto: Position) -> bool {
        if self.purged.is_some_and(|purged| purged.index >= upto.index) {
            return false;
        }
        while self.entries.front().is_some_and(|entry| entry.position.index <= upto.index) {
            let dropped = self.entries.pop_front();
            self.bytes -= dropped.as_ref().map_or(0, size);
        }
        self.purged = Some(upto);
        true
    }

    /// The entries of a range that are here, up to `bytes_max` of them but at least one.
    pub(crate) fn read(&self, range: Range<u64>, bytes_max: usize) -> Vec<Entry> {
        let Some(first) = self.first() else { return Vec::new() };
        let place = |index: u64| {
            usize::try_from(index.saturating_sub(first))
                .unwrap_or(usize::MAX)
                .min(self.entries.len())
        };
        let (start, end) = (place(range.start), place(range.end));
        if start >= end {
            return Vec::new();
        }
        let mut taken = 0;
        let within = |entry: &&Entry| {
            let before = taken;
            taken += entry.body.bytes().len();
            before == 0 || taken <= bytes_max
        };
        self.entries.range(start..end).take_while(within).cloned().collect()
    }

    /// The first index after `from` at which the entries kept up to `upto` fit into `bytes_max`.
    pub(crate) fn index_within(&self, upto: u64, bytes_max: u64) -> u64 {
        let mut total = 0;
        for entry in self.entries.iter().rev().filter(|entry| entry.position.index <= upto) {
            total += size(entry);
            if total > bytes_max {
                return entry.position.index + 1;
            }
        }
        self.first().unwrap_or(0)
    }
}

/// Which of two logs is further in an election: the one with the later leader, then the longer one.
fn rank(last: &Position) -> (Epoch, u64) {
    (last.epoch(), last.index)
}

fn size(entry: &Entry) -> u64 {
    entry.body.bytes().len() as u64
}
