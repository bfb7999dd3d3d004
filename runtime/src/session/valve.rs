//! Stops the reading of a shard's sessions while its gate is full (safety rule 19).

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Open unless the shard says otherwise; shared by the shard and all its sessions.
#[derive(Debug, Default)]
pub(crate) struct Valve {
    shut: AtomicBool,
    opened: Notify,
}

impl Valve {
    /// Whether sessions must not read now.
    pub(crate) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Acquire)
    }

    /// Shuts or opens; opening wakes all who wait.
    pub(crate) fn set(&self, state: State) {
        let shut = state == State::Shut;
        if self.shut.swap(shut, Ordering::AcqRel) && !shut {
            self.opened.notify_waiters();
        }
    }

    /// Resolves when the valve is open.
    pub(crate) async fn opened(&self) {
        loop {
            let opened = self.opened.notified();
            if !self.is_shut() {
                return;
            }
            opened.await;
        }
    }
}

/// What a valve can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Sessions read.
    Open,
    /// Sessions wait.
    Shut,
}
