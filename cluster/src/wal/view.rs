//! What the file says about one group, as far as it has been written. Owns the account of which segment
//! holds which live entries; the entries themselves are in `tail`, which may be ahead of the file.

use std::collections::VecDeque;
use std::ops::Range;

use super::record::{Entry, Marks, Vote};
use super::replay::Replayed;
use crate::ids::{Epoch, Position};

/// Consecutive entries of one leader in one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: u64,
    epoch: Epoch,
    segment: u64,
}

/// The file's view of a group. Moves only when a frame is written.
#[derive(Debug, Default)]
pub(crate) struct View {
    marks: Marks,
    runs: VecDeque<Run>,
}

impl View {
    pub(crate) fn from_replay(replayed: &Replayed) -> Self {
        let mut view = Self { marks: replayed.marks, runs: VecDeque::new() };
        for (entry, segment) in replayed.entries.values() {
            view.push_run(entry.position, *segment);
        }
        view
    }

    /// Of a group that has no entries.
    pub(crate) fn of(marks: Marks) -> Self {
        Self { marks, runs: VecDeque::new() }
    }

    /// What the head of a new segment has to say about the group.
    pub(crate) fn marks(&self) -> &Marks {
        &self.marks
    }

    pub(crate) fn vote(&mut self, vote: Vote) {
        self.marks.vote = Some(vote);
    }

    pub(crate) fn committed(&mut self, position: Position) {
        self.marks.committed = Some(position);
    }

    /// Entries of one leader were written, beginning at `first`, after all earlier ones.
    pub(crate) fn entries(&mut self, first: Position, count: usize, segment: u64) {
        self.push_run(first, segment);
        self.marks.next = first.index + count as u64;
    }

    fn push_run(&mut self, first: Position, segment: u64) {
        let run = Run { first: first.index, epoch: first.epoch(), segment };
        match self.runs.back() {
            Some(last) if (last.epoch, last.segment) == (run.epoch, run.segment) => {}
            _ => self.runs.push_back(run),
        }
    }

    pub(crate) fn truncate(&mut self, from: u64) {
        while self.runs.back().is_some_and(|run| run.first >= from) {
            self.runs.pop_back();
        }
        self.marks.next = from;
    }

    pub(crate) fn purge(&mut self, upto: Position) {
        self.marks.purged = Some(upto);
        self.marks.next = self.marks.next.max(upto.index + 1);
        while self.runs.len() > 1 && self.runs[1].first <= upto.index + 1 {
            self.runs.pop_front();
        }
        match self.runs.front_mut() {
            Some(run) if run.first <= upto.index => run.first = upto.index + 1,
            _ => {}
        }
        if self.runs.front().is_some_and(|run| run.first >= self.marks.next) {
            self.runs.pop_front();
        }
    }

    /// The live entries that lie in `segment`: ranges of indexes with the leader that wrote them.
    pub(crate) fn live_in(&self, segment: u64) -> impl Iterator<Item = (Range<u64>, Epoch)> + '_ {
        let ends = self.runs.iter().skip(1).map(|run| run.first).chain([self.marks.next]);
        self.runs
            .iter()
            .zip(ends)
            .filter(move |(run, _)| run.segment == segment)
            .map(|(run, end)| (run.first..end, run.epoch))
    }

    /// All live entries of segment `from` were written again into segment `to`.
    pub(crate) fn relocate(&mut self, from: u64, to: u64) {
        for run in self.runs.iter_mut().filter(|run| run.segment == from) {
            run.segment = to;
        }
    }
}

/// Cuts entries into runs of one leader and consecutive places.
pub(crate) fn runs(entries: &[Entry]) -> impl Iterator<Item = &[Entry]> {
    entries.chunk_by(|a, b| {
        a.position.epoch() == b.position.epoch() && a.position.index + 1 == b.position.index
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(term: u64, index: u64) -> Position {
        Position { term, leader: 1, index }
    }

    /// The first and the last live index of each range.
    fn live(view: &View, segment: u64) -> Vec<(u64, u64)> {
        view.live_in(segment).map(|(range, _)| (range.start, range.end - 1)).collect()
    }

    #[test]
    fn knows_where_live_entries_lie() {
        let mut v = View::default();
        v.entries(at(1, 0), 4, 1);
        v.entries(at(1, 4), 2, 1);
        v.entries(at(1, 6), 4, 2);
        v.truncate(8);
        v.entries(at(2, 8), 3, 3);
        assert_eq!(
            (live(&v, 1), live(&v, 2), live(&v, 3)),
            (vec![(0, 5)], vec![(6, 7)], vec![(8, 10)])
        );
        v.purge(at(1, 3));
        assert_eq!(live(&v, 1), vec![(4, 5)]);
        v.relocate(1, 3);
        assert_eq!((live(&v, 1), live(&v, 3)), (vec![], vec![(4, 5), (8, 10)]));
        v.purge(at(1, 5));
        assert_eq!((live(&v, 2), live(&v, 3)), (vec![(6, 7)], vec![(8, 10)]));
        v.purge(at(2, 10));
        assert_eq!((live(&v, 2), live(&v, 3)), (vec![], vec![]));
        v.purge(at(2, 50));
        assert_eq!(v.marks().next, 51);
        v.entries(at(2, 51), 1, 4);
        assert_eq!(live(&v, 4), vec![(51, 51)]);
    }
}
