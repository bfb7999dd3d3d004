//! What really happened, as nobody in the world can see it. Owns the laws that hold at every moment; those
//! of whole histories are in `judge`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use super::chance::Hash;
use super::life::Life;
use super::linear::{Call, Did};
use crate::ids::{Epoch, GroupId, Position};

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Law {
    /// No epoch is led in two lives: neither by two nodes nor by one before and after a crash.
    LedOnce,
    /// All replicas apply the same at the same place, and their states are the same after it.
    SamePrefix,
    /// Nothing is applied twice, and nothing that was refused is applied at all.
    AtMostOnce,
    /// What was acknowledged stays where it was acknowledged.
    Kept,
    /// The calls on each register could have happened one after another.
    Linear,
    /// Once nothing fails any more, every group goes on and every member has all.
    Heals,
    /// No task panics.
    NoPanic,
}

/// A law that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Breach {
    pub(super) law: Law,
    pub(super) what: String,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) acknowledged: u64,
    pub(super) refused: u64,
    pub(super) unknown: u64,
    pub(super) reads: u64,
    pub(super) reads_alone: u64,
    pub(super) epochs: u64,
    pub(super) crashes: u64,
    pub(super) doubled_calls: u64,
    pub(super) snapshots: u64,
    /// Pieces of snapshots that were sent again.
    pub(super) pieces_again: u64,
    /// Transfers that went on behind such a piece.
    pub(super) resumed: u64,
    pub(super) checkpoints: u64,
    pub(super) members_changed: u64,
    pub(super) handed_over: u64,
    pub(super) forgotten: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.acknowledged, other.acknowledged),
            (&mut self.refused, other.refused),
            (&mut self.unknown, other.unknown),
            (&mut self.reads, other.reads),
            (&mut self.reads_alone, other.reads_alone),
            (&mut self.epochs, other.epochs),
            (&mut self.crashes, other.crashes),
            (&mut self.doubled_calls, other.doubled_calls),
            (&mut self.snapshots, other.snapshots),
            (&mut self.pieces_again, other.pieces_again),
            (&mut self.resumed, other.resumed),
            (&mut self.checkpoints, other.checkpoints),
            (&mut self.members_changed, other.members_changed),
            (&mut self.handed_over, other.handed_over),
            (&mut self.forgotten, other.forgotten),
        ];
        for (sum, more) in pairs {
            *sum += more;
        }
    }
}

/// What the first replica to get there did at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) position: Position,
    /// Of the whole state after it.
    pub(super) digest: u64,
    /// Of the members in force after it.
    pub(super) members: u64,
}

/// A write, from its call on.
#[derive(Clone, Copy, Debug)]
struct Write {
    group: GroupId,
    key: u8,
    began: u64,
    outcome: Outcome,
    applied: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Open,
    Acknowledged { at: Position, old: u64, ended: u64 },
    Refused,
}

/// The truth; clones share it.
#[derive(Clone)]
pub(super) struct Truth {
    inner: Arc<Mutex<Inner>>,
}

pub(super) struct Inner {
    start: Instant,
    trace: Hash,
    loud: bool,
    moment: u64,
    pub(super) steps: BTreeMap<GroupId, BTreeMap<u64, Step>>,
    led: BTreeMap<(GroupId, Epoch), (u64, u64)>,
    writes: Vec<Write>,
    reads: BTreeMap<(GroupId, u8), Vec<Call>>,
    pub(super) breaches: Vec<Breach>,
    pub(super) counts: Counts,
}

impl Truth {
    pub(super) fn new() -> Self {
        let inner = Inner {
            start: Instant::now(),
            trace: Hash::NOTHING,
            loud: std::env::var_os("WORLD_TRACE").is_some(),
            moment: 0,
            steps: BTreeMap::new(),
            led: BTreeMap::new(),
            writes: Vec::new(),
            reads: BTreeMap::new(),
            breaches: Vec::new(),
            counts: Counts::default(),
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    pub(super) fn with<R>(&self, look: impl FnOnce(&mut Inner) -> R) -> R {
        look(&mut self.inner.lock().unwrap())
    }

    /// Something happened; `numbers` say what exactly.
    pub(super) fn note(&self, what: &str, numbers: &[u64]) {
        self.with(|inner| inner.note(what, numbers));
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Counts)) {
        self.with(|inner| count(&mut inner.counts));
    }

    pub(super) fn breach(&self, law: Law, what: String) {
        self.with(|inner| inner.breach(law, what));
    }

    /// The hash of all that happened.
    pub(super) fn trace(&self) -> u64 {
        self.with(|inner| inner.trace.0)
    }

    /// A node was elected.
    pub(super) fn led(&self, group: GroupId, epoch: Epoch, life: &Life) {
        self.with(|inner| {
            inner.note("leads", &[u64::from(group.0), epoch.term, epoch.leader, life.number]);
            let by = (life.node, life.number);
            let first = *inner.led.entry((group, epoch)).or_insert(by);
            inner.counts.epochs = inner.led.len() as u64;
            if first != by || epoch.leader != life.node {
                inner.breach(Law::LedOnce, format!("{group}, {epoch}: by {first:?} and {by:?}"));
            }
        });
    }

    /// A replica's state after a place of the log; `write` is the entry's number, if it is a write.
    pub(super) fn applied(&self, group: GroupId, life: &Life, step: Step, write: Option<u64>) {
        self.with(|inner| {
            let Step { position, digest, .. } = step;
            let numbers = [u64::from(group.0), life.node, position.index, digest];
            inner.note("applies", &numbers);
            let index = position.index;
            let first = *inner.steps.entry(group).or_default().entry(index).or_insert(step);
            if first != step {
                let what = format!("{group}, node {}: {step:?}, before {first:?}", life.node);
                inner.breach(Law::SamePrefix, what);
            }
            if let Some(write) = write {
                inner.written(group, index, write);
            }
        });
    }

    /// A write begins; gives its number, from 1.
    pub(super) fn write(&self, group: GroupId, key: u8) -> u64 {
        self.with(|inner| {
            let began = inner.next_moment();
            inner.writes.push(Write { group, key, began, outcome: Outcome::Open, applied: None });
            inner.writes.len() as u64
        })
    }

    /// Its caller was told that it is done.
    pub(super) fn acknowledged(&self, write: u64, at: Position, old: u64) {
        self.with(|inner| {
            inner.note("acknowledged", &[write, at.index, at.term, old]);
            let ended = inner.next_moment();
            let applied = inner.write_mut(write).applied;
            inner.write_mut(write).outcome = Outcome::Acknowledged { at, old, ended };
            inner.counts.acknowledged += 1;
            if applied != Some(at.index) {
                let what = format!("write {write} acknowledged at {at}, applied at {applied:?}");
                inner.breach(Law::Kept, what);
            }
        });
    }

    /// Its caller was told that it certainly never happens.
    pub(super) fn refused(&self, write: u64) {
        self.with(|inner| {
            inner.note("refused", &[write]);
            let applied = inner.write_mut(write).applied;
            inner.write_mut(write).outcome = Outcome::Refused;
            inner.counts.refused += 1;
            if let Some(index) = applied {
                let what = format!("write {write} was refused and is at {index}");
                inner.breach(Law::AtMostOnce, what);
            }
        });
    }

    /// The moment at which a read begins.
    pub(super) fn moment(&self) -> u64 {
        self.with(Inner::next_moment)
    }

    /// A read that began then saw this value.
    pub(super) fn read(&self, group: GroupId, key: u8, began: u64, value: u64) {
        self.with(|inner| {
            inner.note("read", &[u64::from(group.0), u64::from(key), value]);
            let ended = Some(inner.next_moment());
            let call = Call { began, ended, did: Did::Read { value } };
            inner.reads.entry((group, key)).or_default().push(call);
            inner.counts.reads += 1;
        });
    }
}

impl Inner {
    fn note(&mut self, what: &str, numbers: &[u64]) {
        let micros = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.trace.add(micros);
        self.trace.bytes(what.as_bytes());
        for number in numbers {
            self.trace.add(*number);
        }
        if self.loud {
            eprintln!("{:>9}.{:03} {what} {numbers:?}", micros / 1000, micros % 1000);
        }
    }

    fn breach(&mut self, law: Law, what: String) {
        if self.loud {
            eprintln!("BROKEN {law:?}: {what}");
        }
        // The first ones say it; a replica that went astray breaks a law at every step.
        if self.breaches.iter().filter(|breach| breach.law == law).count() < 3 {
            self.breaches.push(Breach { law, what });
        }
    }

    fn next_moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    fn write_mut(&mut self, write: u64) -> &mut Write {
        let at = usize::try_from(write - 1).unwrap();
        &mut self.writes[at]
    }

    fn written(&mut self, group: GroupId, index: u64, number: u64) {
        let write = *self.write_mut(number);
        let first = *self.write_mut(number).applied.get_or_insert(index);
        if first != index || write.group != group {
            let what = format!("write {number} is at {first} and at {index} of {group}");
            self.breach(Law::AtMostOnce, what);
        }
        if write.outcome == Outcome::Refused {
            let what = format!("write {number} was refused and is applied at {index}");
            self.breach(Law::AtMostOnce, what);
        }
    }

    /// What was acknowledged is where it was said to be.
    pub(super) fn check_kept(&mut self) {
        for number in 1..=self.writes.len() as u64 {
            let write = *self.write_mut(number);
            let Outcome::Acknowledged { at, .. } = write.outcome else { continue };
            let step = self.steps.get(&write.group).and_then(|steps| steps.get(&at.index));
            let there = step.is_some_and(|step| step.position == at);
            if !there || write.applied != Some(at.index) {
                let what = format!("write {number} was acknowledged at {at}, there is {step:?}");
                self.breach(Law::Kept, what);
            }
        }
    }

    /// The calls on each register.
    pub(super) fn histories(&self) -> BTreeMap<(GroupId, u8), Vec<Call>> {
        let mut all = self.reads.clone();
        for (new, write) in (1..).zip(&self.writes) {
            let (old, ended) = match write.outcome {
                Outcome::Open => (None, None),
                Outcome::Acknowledged { old, ended, .. } => (Some(old), Some(ended)),
                Outcome::Refused => continue,
            };
            let call = Call { began: write.began, ended, did: Did::Swap { new, old } };
            all.entry((write.group, write.key)).or_default().push(call);
        }
        all
    }
}
