//! Batches of one generation: being filled, proposed, handed to the log, applied, in this order.
//!
//! Each keeps the outputs that wait for it, so that its answer releases them in one go.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::gate::Held;
use super::weigh::weigh;
use crate::change::{Change, Effect};
use crate::id::TwinKey;

/// How far a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Filling,
    Proposed,
    Handed,
    Took,
}

#[derive(Debug)]
struct Batch<O> {
    stage: Stage,
    /// Gone once proposed.
    changes: Vec<(TwinKey, Change)>,
    bytes: usize,
    held: Vec<Held<O>>,
    /// Nobody waits for what is in it: it may be proposed then, or with the first that is in a hurry.
    linger_ms: Option<u64>,
}

/// The batches that are not applied yet; the front one has number `applied + 1`.
#[derive(Debug)]
pub(super) struct Batches<O> {
    batch_bytes_max: usize,
    in_flight_max: usize,
    /// How long a batch may be kept that nobody waits for.
    linger_ms: u64,
    queue: VecDeque<Batch<O>>,
    /// How many of the queue, from its front, are proposed.
    proposed: usize,
    applied: u64,
    /// An emptied list, to spare an allocation per batch.
    spare: Vec<Held<O>>,
}

impl<O> Batches<O> {
    pub(super) const fn new(batch_bytes_max: usize, in_flight_max: usize, linger_ms: u64) -> Self {
        Self {
            batch_bytes_max,
            in_flight_max,
            linger_ms,
            queue: VecDeque::new(),
            proposed: 0,
            applied: 0,
            spare: Vec::new(),
        }
    }

    /// Begins a generation; all that waited is dropped.
    pub(super) fn restart(&mut self) {
        self.queue.clear();
        self.proposed = 0;
        self.applied = 0;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Number of the newest batch whose outputs were let go.
    pub(super) const fn applied(&self) -> u64 {
        self.applied
    }

    /// Adds the changes of one decision, all to one batch: its number and the bytes they take.
    pub(super) fn push(
        &mut self,
        key: &TwinKey,
        changes: impl IntoIterator<Item = Change>,
        now_ms: u64,
    ) -> Option<(u64, usize)> {
        let mut changes = changes.into_iter();
        let first = changes.next()?;
        let open = self.queue.len() > self.proposed
            && self.queue.back().is_some_and(|batch| batch.bytes < self.batch_bytes_max);
        if !open {
            let held = core::mem::take(&mut self.spare);
            let changes = Vec::new();
            let linger_ms = (self.linger_ms > 0).then(|| now_ms.saturating_add(self.linger_ms));
            let stage = Stage::Filling;
            self.queue.push_back(Batch { stage, changes, bytes: 0, held, linger_ms });
        }
        let number = self.applied + self.queue.len() as u64;
        let batch = self.queue.back_mut().expect("one was there or just pushed");
        let before = batch.bytes;
        for change in core::iter::once(first).chain(changes) {
            batch.bytes += weigh(key.as_str(), &change);
            if !matches!(change.effect, Effect::Disconnected { .. }) {
                batch.linger_ms = None;
            }
            batch.changes.push((key.clone(), change));
        }
        Some((number, batch.bytes - before))
    }

    /// Keeps an output until the batch of this number is applied.
    pub(super) fn hold(&mut self, number: u64, held: Held<O>) {
        let batch = self.batch_mut(number);
        batch.linger_ms = None;
        batch.held.push(held);
    }

    /// When a batch that nobody waits for is due.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.queue.back()?.linger_ms
    }

    /// Time has passed: a batch that nobody waits for may be due.
    pub(super) fn handle_deadline(&mut self, now_ms: u64) {
        if let Some(batch) = self.queue.back_mut() {
            batch.linger_ms = batch.linger_ms.filter(|due_ms| *due_ms > now_ms);
        }
    }

    /// Nothing is kept any more, from now on.
    pub(super) fn hurry(&mut self) {
        self.linger_ms = 0;
        self.handle_deadline(u64::MAX);
    }

    /// The next batch to propose, if it is its time: the one before was handed to the log, or this
    /// one is full; not too many are on their way; and it is not one that nobody waits for yet.
    pub(super) fn take_proposal(&mut self) -> Option<(u64, Vec<(TwinKey, Change)>)> {
        if self.proposed >= self.in_flight_max {
            return None;
        }
        let handed = match self.proposed.checked_sub(1) {
            None => true,
            Some(last) => self.queue[last].stage >= Stage::Handed,
        };
        let batch = self.queue.get_mut(self.proposed)?;
        let ready = handed && batch.linger_ms.is_none();
        if !ready && batch.bytes < self.batch_bytes_max {
            return None;
        }
        batch.stage = Stage::Proposed;
        self.proposed += 1;
        Some((self.applied + self.proposed as u64, core::mem::take(&mut batch.changes)))
    }

    /// The log took it over: the next may follow.
    pub(super) fn handed(&mut self, number: u64) {
        if number > self.applied {
            let batch = self.batch_mut(number);
            assert!(batch.stage >= Stage::Proposed, "only what was proposed is handed to the log");
            batch.stage = batch.stage.max(Stage::Handed);
        }
    }

    /// Its own answer says that it took effect.
    pub(super) fn took(&mut self, number: u64) {
        assert!(number > self.applied, "a batch is answered once");
        let batch = self.batch_mut(number);
        assert!(batch.stage >= Stage::Proposed, "only what was proposed is applied");
        assert!(batch.stage < Stage::Took, "a batch is answered once");
        batch.stage = Stage::Took;
    }

    /// Gives up the front batch, if it took effect: its bytes and the outputs that waited for it.
    pub(super) fn pop_took(&mut self) -> Option<(usize, Vec<Held<O>>)> {
        if self.queue.front()?.stage != Stage::Took {
            return None;
        }
        let batch = self.queue.pop_front()?;
        self.proposed -= 1;
        self.applied += 1;
        Some((batch.bytes, batch.held))
    }

    /// Takes back an emptied list.
    pub(super) fn recycle(&mut self, emptied: Vec<Held<O>>) {
        if emptied.capacity() > self.spare.capacity() {
            self.spare = emptied;
        }
    }

    fn batch_mut(&mut self, number: u64) -> &mut Batch<O> {
        let place =
            number.checked_sub(self.applied + 1).and_then(|place| usize::try_from(place).ok());
        place
            .and_then(|place| self.queue.get_mut(place))
            .expect("numbers are given out here, and asked for only until they are applied")
    }
}
