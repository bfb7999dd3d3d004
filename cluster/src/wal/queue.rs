//! The bounded queue between groups and the log's writer thread. Owns order, bounds and waking; leaves
//! what a request means to the writer.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::record::{Entry, Marks, Vote};
use crate::clock::Clock;
use crate::ids::Position;
use crate::limits::{DRAIN_BYTES_MAX, QUEUE_BYTES_MAX, QUEUE_REQUESTS_MAX};

/// Called on the writer thread once the request is durable. Dropped uncalled if it never will be.
pub type Completion = Box<dyn FnOnce() + Send>;

pub(crate) enum Op {
    Append(Vec<Entry>),
    Vote(Vote),
    Truncate(u64),
    Purge(Position),
    /// The group's replica is no longer on this node: nothing but these is kept of it.
    Forget(Marks),
}

pub(crate) struct Request {
    pub(crate) group: u32,
    pub(crate) op: Op,
    pub(crate) bytes: usize,
    pub(crate) done: Option<Completion>,
}

/// What the writer takes at once.
#[derive(Default)]
pub(crate) struct Drained {
    pub(crate) requests: Vec<Request>,
    /// What they weigh.
    pub(crate) bytes: usize,
    /// Commit marks, only when the queue was emptied: they may then speak of all before.
    pub(crate) committed: BTreeMap<u32, Position>,
    /// When the oldest request came, microseconds of the log's clock.
    pub(crate) since_us: u64,
}

#[derive(Default)]
struct Inner {
    requests: VecDeque<Request>,
    committed: BTreeMap<u32, Position>,
    bytes: usize,
    since_us: u64,
    asleep: bool,
    closed: bool,
}

/// The queue.
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    wake: Condvar,
    room: Notify,
    /// Told of every request, for a log without threads.
    #[cfg(test)]
    pub(super) arrived: Notify,
    pub(crate) clock: Clock,
}

impl Queue {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            inner: Mutex::default(),
            wake: Condvar::new(),
            room: Notify::new(),
            #[cfg(test)]
            arrived: Notify::new(),
            clock,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a request at the end; waits while the queue is full. False if the log is closed.
    pub(crate) async fn push(&self, request: Request) -> bool {
        let mut request = Some(request);
        loop {
            let room = self.room.notified();
            match self.try_push(&mut request) {
                Some(open) => return open,
                None => room.await,
            }
        }
    }

    /// None if the queue is full and `request` was left where it is.
    fn try_push(&self, request: &mut Option<Request>) -> Option<bool> {
        let mut inner = self.lock();
        if inner.closed {
            return Some(false);
        }
        if inner.bytes >= QUEUE_BYTES_MAX || inner.requests.len() >= QUEUE_REQUESTS_MAX {
            return None;
        }
        if let Some(request) = request.take() {
            if inner.requests.is_empty() {
                inner.since_us = self.clock.micros();
            }
            inner.bytes += request.bytes;
            inner.requests.push_back(request);
            #[cfg(test)]
            self.arrived.notify_one();
            if inner.asleep {
                inner.asleep = false;
                drop(inner);
                self.wake.notify_one();
            }
        }
        Some(true)
    }

    /// Notes how far a group is committed; written with the next batch, never by itself.
    pub(crate) fn mark_committed(&self, group: u32, position: Position) {
        self.lock().committed.insert(group, position);
    }

    /// Drops what was noted of a group and not yet taken.
    pub(crate) fn unmark_committed(&self, group: u32) {
        self.lock().committed.remove(&group);
    }

    /// Waits for requests. None when the queue is closed and empty.
    pub(crate) fn drain(&self) -> Option<Drained> {
        let mut inner = self.lock();
        while inner.requests.is_empty() {
            if inner.closed {
                let committed = std::mem::take(&mut inner.committed);
                let last = Drained { committed, ..Drained::default() };
                return (!last.committed.is_empty()).then_some(last);
            }
            inner.asleep = true;
            inner = self.wake.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        Some(self.take(inner, DRAIN_BYTES_MAX))
    }

    /// What came since, up to about so many bytes; does not wait.
    pub(crate) fn drain_more(&self, most: usize) -> Option<Drained> {
        let inner = self.lock();
        let any = most > 0 && !inner.requests.is_empty();
        any.then(|| self.take(inner, most))
    }

    fn take(&self, mut inner: MutexGuard<'_, Inner>, most: usize) -> Drained {
        let was_full = inner.bytes >= QUEUE_BYTES_MAX || inner.requests.len() >= QUEUE_REQUESTS_MAX;
        let mut drained = Drained { since_us: inner.since_us, ..Drained::default() };
        while drained.bytes < most
            && let Some(request) = inner.requests.pop_front()
        {
            drained.bytes += request.bytes;
            drained.requests.push(request);
        }
        inner.bytes -= drained.bytes;
        if inner.requests.is_empty() {
            drained.committed = std::mem::take(&mut inner.committed);
        } else {
            inner.since_us = self.clock.micros();
        }
        drop(inner);
        if was_full {
            self.room.notify_waiters();
        }
        drained
    }

    /// No more requests; those queued are still written.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.asleep = false;
        drop(inner);
        self.wake.notify_one();
        self.room.notify_waiters();
    }

    /// The log has failed: what is queued will never be durable.
    pub(crate) fn fail(&self) {
        self.close();
        let dropped = std::mem::take(&mut self.lock().requests);
        drop(dropped);
    }

    /// When the oldest request still queued came; none if there is none.
    pub(crate) fn oldest_us(&self) -> Option<u64> {
        let inner = self.lock();
        (!inner.requests.is_empty()).then_some(inner.since_us)
    }
}
