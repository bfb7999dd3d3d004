//! A shard's ring of changes, shared between the one who applies and all who watch.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::{Stream, stream};
use tokio::sync::Notify;

use super::ring::{Cursor, Event, Need, Ring, TooOld};
use crate::limits::WATCH_EVENTS_PER_TURN;

/// The newest changes of one shard, at one replica. Watchers pull at their own pace, so a slow one costs
/// nothing but its own resumption.
#[derive(Debug)]
pub(crate) struct Hub {
    ring: Mutex<Ring>,
    moved: Notify,
    closed: AtomicBool,
}

/// What a watcher sees at once: some changes, and the place that stands for having seen them.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) events: Vec<Event>,
    pub(crate) seen: Cursor,
}

/// Why a replica cannot say what follows a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cannot {
    /// It is not there, or its node does not answer.
    Reach,
    /// It no longer keeps that much.
    Remember,
    /// It has not come there yet.
    Foresee,
}

impl Hub {
    /// A hub whose history begins after `index`.
    pub(crate) fn new(index: u64, bytes_max: usize) -> Self {
        let ring = Mutex::new(Ring::new(index, bytes_max));
        Self { ring, moved: Notify::new(), closed: AtomicBool::new(false) }
    }

    /// Takes in what one entry changed.
    pub(crate) fn push(&self, index: u64, events: impl IntoIterator<Item = Event>) {
        self.ring.lock().expect("no holder of this lock panics").push(index, events);
        self.moved.notify_waiters();
    }

    /// Forgets all history, which begins anew after `index`.
    pub(crate) fn begin_after(&self, index: u64) {
        self.ring.lock().expect("no holder of this lock panics").begin_after(index);
        self.moved.notify_waiters();
    }

    /// The replica leaves this node: its walks end.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.moved.notify_waiters();
    }

    /// See [`Ring::after`].
    pub(crate) fn after(
        &self,
        cursor: Cursor,
        max: usize,
        need: Need,
    ) -> Result<(Vec<Event>, Cursor), TooOld> {
        self.ring.lock().expect("no holder of this lock panics").after(cursor, max, need)
    }

    /// See [`Ring::head`].
    pub(crate) fn head(&self) -> Cursor {
        self.ring.lock().expect("no holder of this lock panics").head()
    }

    /// Where a walk begins: at a place, if what follows it is kept, or now.
    pub(crate) fn stand(&self, after: Option<Cursor>, need: Need) -> Result<Cursor, Cannot> {
        let head = self.head();
        match after {
            _ if self.is_closed() => Err(Cannot::Reach),
            None => Ok(head),
            Some(cursor) if cursor.index > head.index => Err(Cannot::Foresee),
            Some(cursor) => match self.after(cursor, 0, need) {
                Ok(_) => Ok(cursor),
                Err(TooOld) => Err(Cannot::Remember),
            },
        }
    }

    /// All that follows a place, as it comes; it ends when that is no longer kept, or here.
    pub(crate) fn walk(self: Arc<Self>, from: Cursor, need: Need) -> impl Stream<Item = Step> {
        stream::unfold((self, from), move |(hub, cursor)| async move {
            let step = hub.step(cursor, need).await?;
            let seen = step.seen;
            Some((step, (hub, seen)))
        })
    }

    /// Waits until the changes of an entry that was applied are here, which is at once, or the replica leaves.
    pub(crate) async fn has(&self, index: u64) {
        loop {
            let mut moved = pin!(self.moved.notified());
            moved.as_mut().enable();
            if self.is_closed() || self.head().index >= index {
                return;
            }
            moved.await;
        }
    }

    async fn step(&self, cursor: Cursor, need: Need) -> Option<Step> {
        loop {
            if let Some(step) = self.look(cursor, need)? {
                return Some(step);
            }
            // Looked again once it is registered, so that nothing slips between looking and waiting.
            let mut moved = pin!(self.moved.notified());
            moved.as_mut().enable();
            if let Some(step) = self.look(cursor, need)? {
                return Some(step);
            }
            moved.await;
        }
    }

    /// What there is after a place now; `None` where that can be told no more.
    fn look(&self, cursor: Cursor, need: Need) -> Option<Option<Step>> {
        if self.is_closed() {
            return None;
        }
        let (events, seen) = self.after(cursor, WATCH_EVENTS_PER_TURN, need).ok()?;
        Some((seen != cursor).then_some(Step { events, seen }))
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};

    use super::super::ring::event;
    use super::*;

    const fn end(index: u64) -> Cursor {
        Cursor { index, ordinal: u32::MAX }
    }

    #[test]
    fn a_walk_begins_only_where_nothing_is_missed() {
        let hub = Hub::new(4, 1000);
        hub.push(5, [event(5, 1), event(5, 2)]);
        let within = Cursor { index: 5, ordinal: 1 };
        assert_eq!(hub.stand(None, Need::Changes), Ok(end(5)));
        assert_eq!(hub.stand(Some(end(4)), Need::Changes), Ok(end(4)));
        assert_eq!(hub.stand(Some(within), Need::Changes), Ok(within));
        assert_eq!(hub.stand(Some(end(3)), Need::Changes), Err(Cannot::Remember));
        assert_eq!(
            hub.stand(Some(Cursor { index: 6, ordinal: 0 }), Need::Changes),
            Err(Cannot::Foresee)
        );
        hub.close();
        assert_eq!(hub.stand(None, Need::Changes), Err(Cannot::Reach));
    }

    #[tokio::test]
    async fn a_walk_waits_and_ends_when_its_replica_leaves() {
        let hub = Arc::new(Hub::new(4, 1000));
        let mut walk = Box::pin(Arc::clone(&hub).walk(end(4), Need::Changes));
        assert!(walk.next().now_or_never().is_none(), "nothing has happened");
        hub.push(5, []);
        hub.push(6, [event(6, 1)]);
        let step = walk.next().now_or_never().flatten().unwrap();
        assert_eq!((step.events.len(), step.seen), (1, end(6)));
        let mut next = walk.next();
        assert!((&mut next).now_or_never().is_none());
        hub.close();
        assert!(next.now_or_never().unwrap().is_none(), "it would wait for ever");
    }

    #[tokio::test]
    async fn a_walk_ends_where_history_begins_anew() {
        let hub = Arc::new(Hub::new(4, 1000));
        let mut walk = Box::pin(Arc::clone(&hub).walk(end(4), Need::Changes));
        hub.begin_after(9);
        assert!(walk.next().now_or_never().unwrap().is_none());
    }
}
