//! A shard's ring of changes, shared between the one who applies and all who watch.

use std::sync::Mutex;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::ring::{Cursor, Event, Ring, TooOld};

/// The newest changes of one shard. Watchers pull at their own pace, so a slow one costs nothing
/// but its own resumption.
#[derive(Debug)]
pub(crate) struct Hub {
    ring: Mutex<Ring>,
    moved: Notify,
}

impl Hub {
    /// A hub whose history begins after `index`.
    pub(crate) fn new(index: u64, bytes_max: usize) -> Self {
        Self { ring: Mutex::new(Ring::new(index, bytes_max)), moved: Notify::new() }
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

    /// See [`Ring::after`].
    pub(crate) fn after(&self, cursor: Cursor, max: usize) -> Result<(Vec<Event>, Cursor), TooOld> {
        self.ring.lock().expect("no holder of this lock panics").after(cursor, max)
    }

    /// See [`Ring::head`].
    pub(crate) fn head(&self) -> Cursor {
        self.ring.lock().expect("no holder of this lock panics").head()
    }

    /// Resolves at the next push after this call.
    pub(crate) fn moved(&self) -> Notified<'_> {
        self.moved.notified()
    }
}
