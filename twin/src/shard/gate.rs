//! The gate: outputs that wait for their batch or for a read barrier, and the bytes they hold.
//!
//! Outputs that wait for a batch lie with the batch (`batches`); here lie those that wait for a
//! barrier, and those that may go. Batches are applied in order and barriers pass in order, and an
//! output of a slot never waits for less than the one before it: so each slot's order is kept
//! without a look-up per output.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// An output with what it waits for beside its batch.
#[derive(Debug)]
pub(super) struct Held<O> {
    pub(super) output: O,
    pub(super) bytes: usize,
    /// The barrier round that must have passed; zero for none.
    pub(super) round: u64,
}

/// Where the newest barrier round stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// None is under way.
    Quiet,
    /// Under way since a poll.
    Started,
    /// Failed: to be started again then.
    Failed { again_ms: u64 },
    /// To be started again with the next poll.
    Due,
}

#[derive(Debug)]
pub(super) struct Gate<O> {
    bytes_max: usize,
    /// All that is held: changes not yet applied, outputs not yet handed out.
    bytes: usize,
    refused: bool,
    ready: VecDeque<(O, usize)>,
    round: Round,
    /// Outputs of the round under way.
    current: Vec<Held<O>>,
    /// Outputs of the round to come.
    next: Vec<Held<O>>,
    /// Someone waits for the round to come.
    wanted: bool,
    passed: u64,
}

impl<O> Gate<O> {
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            refused: false,
            ready: VecDeque::new(),
            round: Round::Quiet,
            current: Vec::new(),
            next: Vec::new(),
            wanted: false,
            passed: 0,
        }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether an input of this size may be handled now. A lone one may always.
    pub(super) fn admit(&mut self, bytes: usize) -> bool {
        let fits = self.bytes == 0 || self.bytes.saturating_add(bytes) <= self.bytes_max;
        self.refused |= !fits;
        fits
    }

    /// Whether someone was refused and there is room again: said once.
    pub(super) fn take_room(&mut self) -> bool {
        let room = self.refused && self.bytes <= self.bytes_max / 2;
        self.refused &= !room;
        room
    }

    /// Counts bytes in: of a change until it is applied, of an output until it is handed out.
    pub(super) const fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    pub(super) const fn subtract(&mut self, bytes: usize) {
        assert!(self.bytes >= bytes, "the gate counts out what it counted in");
        self.bytes -= bytes;
    }

    /// The round that begins after now: what a read that arrives now must wait for.
    pub(super) const fn join_round(&mut self) -> u64 {
        self.wanted = true;
        self.round_to_come()
    }

    /// Whether that round is still to pass.
    pub(super) const fn is_ahead(&self, round: u64) -> bool {
        round > self.passed
    }

    const fn round_to_come(&self) -> u64 {
        match self.round {
            Round::Quiet => self.passed + 1,
            Round::Started | Round::Failed { .. } | Round::Due => self.passed + 2,
        }
    }

    /// An output whose batch, if any, was applied: it waits for its round, or is ready.
    pub(super) fn settle(&mut self, held: Held<O>) {
        if !self.is_ahead(held.round) {
            self.ready.push_back((held.output, held.bytes));
        } else if held.round == self.round_to_come() {
            self.next.push(held);
        } else {
            self.current.push(held);
        }
    }

    /// Takes the next output that may go.
    pub(super) fn take_ready(&mut self) -> Option<O> {
        let (output, bytes) = self.ready.pop_front()?;
        self.subtract(bytes);
        Some(output)
    }

    /// Starts the next barrier, if one is wanted and none is under way.
    pub(super) fn take_barrier(&mut self) -> Option<u64> {
        match self.round {
            Round::Quiet if self.wanted => {
                assert!(self.current.is_empty(), "a passed round leaves nobody waiting");
                core::mem::swap(&mut self.current, &mut self.next);
                self.wanted = false;
            }
            Round::Due => {}
            Round::Quiet | Round::Started | Round::Failed { .. } => return None,
        }
        self.round = Round::Started;
        Some(self.passed + 1)
    }

    /// A barrier passed; answers of rounds that were given up are ignored.
    pub(super) fn barrier_passed(&mut self, id: u64) {
        if self.round == Round::Started && id == self.passed + 1 {
            self.round = Round::Quiet;
            self.passed = id;
            let released = self.current.drain(..).map(|held| (held.output, held.bytes));
            self.ready.extend(released);
        }
    }

    /// A barrier failed: the same round is tried again, as it began after its reads arrived.
    pub(super) fn barrier_failed(&mut self, id: u64, again_ms: u64) {
        if self.round == Round::Started && id == self.passed + 1 {
            self.round = Round::Failed { again_ms };
        }
    }

    pub(super) const fn next_deadline(&self) -> Option<u64> {
        match self.round {
            Round::Failed { again_ms } => Some(again_ms),
            _ => None,
        }
    }

    pub(super) fn handle_deadline(&mut self, now_ms: u64) {
        if matches!(self.round, Round::Failed { again_ms } if again_ms <= now_ms) {
            self.round = Round::Due;
        }
    }

    /// Whether nothing waits here.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.round == Round::Quiet && !self.wanted
    }

    /// Drops all that waits; what may go still goes.
    pub(super) fn drop_waiting(&mut self) {
        // Nobody may mistake the answer to a dropped round for one to a later round.
        self.passed = self.round_to_come() - 1;
        self.round = Round::Quiet;
        self.current.clear();
        self.next.clear();
        self.wanted = false;
        self.bytes = self.ready.iter().map(|(_, bytes)| bytes).sum();
    }
}
