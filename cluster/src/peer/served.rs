//! What a peer has asked of this node on one connection. Owns the tasks under way, their bounds, and the
//! credit of streams of items; leaves what is done to groups and to the service.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};
use tokio::task::AbortHandle;

use crate::limits::PEER_SERVED_MAX;

/// Requests and streams of the peer that are under way.
#[derive(Default)]
pub(super) struct Served {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tasks: HashMap<u64, Task>,
    closed: bool,
}

struct Task {
    abort: AbortHandle,
    credit: Option<Arc<Credit>>,
}

/// Why something was not taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotServed {
    /// There is too much under way, or the connection is gone.
    Busy,
    /// The number is in use: the peer is broken.
    Doubled,
}

impl Served {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a task under a number of the peer's. The task must end with [`Served::done`].
    pub(super) fn begin(
        &self,
        id: u64,
        credit: Option<Arc<Credit>>,
        spawn: impl FnOnce() -> AbortHandle,
    ) -> Result<(), NotServed> {
        // Held while the task is spawned: it cannot be done before it is listed.
        let mut state = self.lock();
        if state.closed || state.tasks.len() >= PEER_SERVED_MAX {
            return Err(NotServed::Busy);
        }
        if state.tasks.contains_key(&id) {
            return Err(NotServed::Doubled);
        }
        state.tasks.insert(id, Task { abort: spawn(), credit });
        Ok(())
    }

    /// A task has come to its end.
    pub(super) fn done(&self, id: u64) {
        self.lock().tasks.remove(&id);
    }

    /// The peer no longer wants it.
    pub(super) fn cancel(&self, id: u64) {
        let task = self.lock().tasks.remove(&id);
        if let Some(task) = task {
            task.abort.abort();
        }
    }

    /// The peer has room for more items.
    pub(super) fn credit(&self, id: u64, bytes: u32) {
        let credit = self.lock().tasks.get(&id).and_then(|task| task.credit.clone());
        if let Some(credit) = credit {
            credit.grant(bytes);
        }
    }

    /// Nobody is there for the answers any more.
    pub(super) fn close(&self) {
        let tasks = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.tasks)
        };
        for task in tasks.into_values() {
            task.abort.abort();
        }
    }
}

/// What the reader of a stream still has room for.
#[derive(Debug)]
pub(super) struct Credit {
    bytes: Mutex<i64>,
    granted: Notify,
}

impl Credit {
    pub(super) fn new(bytes: u32) -> Self {
        Self { bytes: Mutex::new(i64::from(bytes)), granted: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, i64> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grant(&self, bytes: u32) {
        let mut left = self.lock();
        *left = left.saturating_add(i64::from(bytes));
        drop(left);
        self.granted.notify_one();
    }

    /// Waits until there is some, and takes `cost` of it, even if that is more than there is.
    pub(super) async fn take(&self, cost: i64) {
        loop {
            {
                let mut left = self.lock();
                if *left > 0 {
                    *left -= cost;
                    return;
                }
            }
            self.granted.notified().await;
        }
    }
}

/// Bytes of calls that a lane may have under way at once.
pub(super) fn lane_room(bytes: u32) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(bytes as usize))
}
