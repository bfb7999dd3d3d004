//! What a log must come back as: every state it went through, and which of them were acknowledged.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;

use crate::ids::{Epoch, GroupId, Position};
use crate::wal::{Body, Entry, GroupLog, Log, LogOptions, SimDisk, Vote};

pub(super) const DIR: &str = "/log";

pub(super) fn options(segment_bytes: u64) -> LogOptions {
    let mut options = LogOptions::new(Path::new(DIR));
    options.segment_bytes = segment_bytes;
    options
}

pub(super) fn open(disk: &SimDisk, segment_bytes: u64) -> Log {
    Log::open(options(segment_bytes), disk.clone()).unwrap().0
}

pub(super) fn at(term: u64, index: u64) -> Position {
    Position { term, leader: 1, index }
}

pub(super) fn entry(term: u64, index: u64, size: usize) -> Entry {
    let fill = u8::try_from((term * 31 + index) % 251).unwrap();
    let bytes = Bytes::from(vec![fill; size]);
    let body = match index % 7 {
        3 => Body::Membership(bytes),
        5 => Body::Blank,
        _ => Body::Normal(bytes),
    };
    Entry { position: at(term, index), body }
}

/// A group's durable state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) vote: Option<Vote>,
    pub(super) purged: Option<Position>,
    pub(super) entries: Vec<Entry>,
}

impl State {
    pub(super) fn of(log: &Log, group: u32) -> Self {
        let group = log.group(GroupId(group)).unwrap();
        let entries = group.read(0..u64::MAX, usize::MAX);
        Self { vote: group.vote(), purged: group.purged(), entries }
    }
}

/// One step of a group's life.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Append(Vec<Entry>),
    Vote(u64),
    Truncate(u64),
    Purge(Position),
}

impl Step {
    fn apply(&self, state: &mut State) {
        match self {
            Self::Append(entries) => state.entries.extend(entries.iter().cloned()),
            Self::Vote(term) => state.vote = Some(vote(*term)),
            Self::Truncate(from) => state.entries.retain(|e| e.position.index < *from),
            Self::Purge(upto) => {
                state.purged = Some(*upto);
                state.entries.retain(|e| e.position.index > upto.index);
            }
        }
    }
}

pub(super) fn vote(term: u64) -> Vote {
    Vote { epoch: Epoch { term, leader: 1 }, committed: term.is_multiple_of(2) }
}

/// A group that is written to, with every state it went through.
pub(super) struct Driven {
    pub(super) group: u32,
    log: GroupLog,
    pub(super) states: Vec<State>,
    /// The newest state that is acknowledged.
    pub(super) acknowledged: Arc<AtomicUsize>,
}

impl Driven {
    pub(super) fn new(log: &Log, group: u32) -> Self {
        let states = vec![State::of(log, group)];
        let acknowledged = Arc::new(AtomicUsize::new(0));
        Self { group, log: log.group(GroupId(group)).unwrap(), states, acknowledged }
    }

    /// Hands a step over; an append or a vote acknowledges all steps up to it once durable.
    pub(super) async fn step(&mut self, step: Step) {
        let mut state = self.states.last().unwrap().clone();
        if let Step::Append(entries) = &step {
            // Large appends are several frames: of what is not acknowledged a part may survive.
            for part in 1..entries.len() {
                let mut state = state.clone();
                Step::Append(entries[..part].to_vec()).apply(&mut state);
                self.states.push(state);
            }
        }
        step.apply(&mut state);
        self.states.push(state);
        let (number, acknowledged) = (self.states.len() - 1, Arc::clone(&self.acknowledged));
        match step {
            Step::Append(entries) => {
                let done = Box::new(move || acknowledged.store(number, SeqCst));
                self.log.append(entries, done).await.unwrap();
            }
            Step::Vote(term) => {
                self.log.save_vote(vote(term)).await.unwrap();
                acknowledged.store(number, SeqCst);
            }
            Step::Truncate(from) => self.log.truncate(from).await.unwrap(),
            Step::Purge(upto) => self.log.purge(upto).await.unwrap(),
        }
    }

    pub(super) async fn settled(&self) {
        let wanted = self.states.len() - 1;
        while self.acknowledged.load(SeqCst) < wanted {
            tokio::time::sleep(std::time::Duration::from_micros(100)).await;
        }
    }

    /// Where in the group's life `state` is, not before what is acknowledged.
    pub(super) fn place(&self, state: &State, acknowledged: usize) -> Option<usize> {
        (acknowledged..self.states.len()).find(|&i| self.states[i] == *state)
    }
}

/// Numbers without randomness, the same in each run.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    pub(super) fn size_below(&mut self, n: u64) -> usize {
        usize::try_from(self.below(n)).unwrap()
    }

    /// A step that a group in `state` may take next.
    pub(super) fn step(&mut self, state: &State, size_max: u64) -> Step {
        let first = state.purged.map_or(0, |p| p.index + 1);
        let next = first + state.entries.len() as u64;
        let term = state.entries.last().map_or(1, |e| e.position.term);
        match self.below(10) {
            0 => Step::Vote(term + 1),
            1 if next > first => Step::Truncate(first + self.below(next - first)),
            2 if next > first => {
                let kept = self.size_below(next - first);
                Step::Purge(state.entries[kept].position)
            }
            _ => {
                let term = term + self.below(2);
                let count = 1 + self.below(4);
                let sizes = (0..count).map(|i| (next + i, self.size_below(size_max)));
                Step::Append(sizes.map(|(index, size)| entry(term, index, size)).collect())
            }
        }
    }
}
