//! One group's use of the node's log. Owns the step from memory to the queue: what was appended can be
//! read at once and is durable later. Leaves durability to the writer.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::log::Log;
use super::queue::{Completion, Op, Request};
use super::record::{Entry, Vote};
use super::tail::Tail;
use crate::fault::Fault;
use crate::ids::Position;

/// What a request weighs in the queue beside its entries' bytes.
const REQUEST_BYTES: usize = 64;

/// A group's part of the node's log: cheap to clone. One clone at a time may write.
#[derive(Clone)]
pub struct GroupLog {
    log: Log,
    group: u32,
    tail: Arc<Mutex<Tail>>,
}

impl GroupLog {
    pub(super) fn new(log: Log, group: u32, tail: Arc<Mutex<Tail>>) -> Self {
        Self { log, group, tail }
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes the largest entry may carry.
    #[must_use]
    pub fn entry_bytes_max(&self) -> usize {
        self.log.owner.shared.entry_bytes_max()
    }

    /// The newest vote.
    #[must_use]
    pub fn vote(&self) -> Option<Vote> {
        self.tail().vote
    }

    /// The last entry purged.
    #[must_use]
    pub fn purged(&self) -> Option<Position> {
        self.tail().purged
    }

    /// The last entry, or the last purged one if there is none.
    #[must_use]
    pub fn last(&self) -> Option<Position> {
        self.tail().last()
    }

    /// How far the group was known to be committed.
    #[must_use]
    pub fn committed(&self) -> Option<Position> {
        self.tail().committed
    }

    /// Bytes of all entries kept.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.tail().bytes()
    }

    /// The entries of a range of indexes that are kept, from memory: up to `bytes_max` bytes, but at
    /// least one.
    #[must_use]
    pub fn read(&self, range: Range<u64>, bytes_max: usize) -> Vec<Entry> {
        self.tail().read(range, bytes_max)
    }

    /// The index from which on the entries up to `upto` weigh at most `bytes_max`.
    #[must_use]
    pub fn index_within(&self, upto: u64, bytes_max: u64) -> u64 {
        self.tail().index_within(upto, bytes_max)
    }

    /// Appends entries: readable on return, `done` is called once they are durable. Waits only while
    /// the queue is full.
    ///
    /// # Errors
    /// When an entry is too large or does not follow the last one (nothing happened then), or the
    /// log is closed.
    pub async fn append(&self, entries: Vec<Entry>, done: Completion) -> Result<(), Fault> {
        let most = self.entry_bytes_max();
        let mut bytes = REQUEST_BYTES;
        for entry in &entries {
            let size = entry.body.bytes().len();
            if size > most {
                return Err(Fault::Options(format!(
                    "entry {} has {size} bytes: at most {most} fit into this log",
                    entry.position
                )));
            }
            bytes += size + REQUEST_BYTES;
        }
        self.tail().append(&entries).map_err(Fault::Group)?;
        self.push(Op::Append(entries), bytes, Some(done)).await
    }

    /// Saves a vote; returns once it is durable.
    ///
    /// # Errors
    /// When the log is closed or the disk failed.
    pub async fn save_vote(&self, vote: Vote) -> Result<(), Fault> {
        self.tail().vote = Some(vote);
        let (sender, durable) = oneshot::channel();
        let done: Completion = Box::new(move || {
            let _ = sender.send(());
        });
        self.push(Op::Vote(vote), REQUEST_BYTES, Some(done)).await?;
        durable.await.map_err(|_| Fault::Closed("the log"))
    }

    /// Drops all entries from the index `from` on. Durable with whatever is appended next.
    ///
    /// # Errors
    /// When the log is closed.
    pub async fn truncate(&self, from: u64) -> Result<(), Fault> {
        let from = {
            let mut tail = self.tail();
            let from = from.max(tail.purged.map_or(0, |purged| purged.index + 1));
            if tail.last().is_none_or(|last| last.index < from) {
                return Ok(());
            }
            tail.truncate(from);
            from
        };
        self.push(Op::Truncate(from), REQUEST_BYTES, None).await
    }

    /// Drops all entries up to `upto`, inclusive. The state they led to must be durable elsewhere.
    ///
    /// # Errors
    /// When the log is closed.
    pub async fn purge(&self, upto: Position) -> Result<(), Fault> {
        if !self.tail().purge(upto) {
            return Ok(());
        }
        self.push(Op::Purge(upto), REQUEST_BYTES, None).await
    }

    /// Notes how far the group is committed. Written with the next batch, never synced by itself.
    pub fn mark_committed(&self, position: Position) {
        self.tail().committed = Some(position);
        self.log.owner.shared.queue.mark_committed(self.group, position);
    }

    /// Whether this log has yet to come as far as that of a replica which was here before and has left.
    /// Until then it must neither vote nor stand for election: others may count on entries that it
    /// acknowledged and no longer has.
    #[must_use]
    pub fn is_below_floor(&self) -> bool {
        self.tail().is_below_floor()
    }

    /// Whether there is nothing here but, perhaps, what a replica that has left had promised.
    #[must_use]
    pub fn is_new(&self) -> bool {
        let tail = self.tail();
        let voted = tail.vote.is_some_and(|vote| vote.epoch.term > 0);
        tail.last().is_none() && (!voted || tail.floor.is_some())
    }

    /// Drops all entries of this group, because its replica has left this node; returns once that is
    /// durable. What it had promised is kept, for a replica that comes in its place: its vote, and how far
    /// it had come. No clone may be used afterwards: [`Log::group`] then begins anew.
    ///
    /// # Errors
    /// When the log is closed or the disk failed.
    pub async fn forget(self) -> Result<(), Fault> {
        let shared = &self.log.owner.shared;
        shared.queue.unmark_committed(self.group);
        let left = {
            let mut tail = self.tail();
            let left = tail.left();
            *tail = Tail::of(left);
            left
        };
        let (sender, durable) = oneshot::channel();
        let done: Completion = Box::new(move || {
            let _ = sender.send(());
        });
        self.push(Op::Forget(left), REQUEST_BYTES, Some(done)).await?;
        durable.await.map_err(|_| Fault::Closed("the log"))?;
        shared.renew_tail(self.group, &self.tail, Tail::of(left));
        Ok(())
    }

    async fn push(&self, op: Op, bytes: usize, done: Option<Completion>) -> Result<(), Fault> {
        let request = Request { group: self.group, op, bytes, done };
        let queue = &self.log.owner.shared.queue;
        if queue.push(request).await { Ok(()) } else { Err(Fault::Closed("the log")) }
    }
}
