//! Calls of this node that wait for an answer on one connection. Owns their numbers, and the knowledge
//! whether a call has gone out: only one that has not is certainly not executed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use pollux_proto::peer::PeerHead;
use tokio::sync::oneshot;

use super::items::Inbox;
use super::queue::Outgoing;
use crate::limits::PEER_CALLS_MAX;
use crate::network::CallFault;

/// Whom an answer goes to.
pub(super) enum Waiting {
    Answer(oneshot::Sender<Result<Bytes, CallFault>>),
    Items(Arc<Inbox>),
}

struct Entry {
    waiting: Waiting,
    sent: bool,
}

/// The calls under way.
#[derive(Default)]
pub(super) struct Pending {
    next: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    calls: HashMap<u64, Entry>,
    closed: bool,
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a call; none when there are too many or the connection is gone.
    pub(super) fn register(&self, waiting: Waiting) -> Option<u64> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut state = self.lock();
        if state.closed || state.calls.len() >= PEER_CALLS_MAX {
            return None;
        }
        state.calls.insert(id, Entry { waiting, sent: false });
        Some(id)
    }

    /// Gives a call up; whether it had gone out, or none if it was answered already.
    pub(super) fn give_up(&self, id: u64) -> Option<bool> {
        self.lock().calls.remove(&id).map(|entry| entry.sent)
    }

    /// Drops the frames whose calls were given up, and marks the others as gone out.
    pub(super) fn going_out(&self, batch: &mut Vec<Outgoing>) {
        let mut state = self.lock();
        batch.retain(|frame| match frame.head {
            PeerHead::Call { id, .. }
            | PeerHead::Request { id, .. }
            | PeerHead::Open { id, .. } => {
                state.calls.get_mut(&id).map(|entry| entry.sent = true).is_some()
            }
            _ => true,
        });
    }

    /// Hands over an answer. One that nobody waits for any more is dropped.
    pub(super) fn answered(&self, id: u64, answer: Result<Bytes, CallFault>) {
        let mut state = self.lock();
        if let Some(Entry { waiting: Waiting::Answer(_), .. }) = state.calls.get(&id)
            && let Some(Entry { waiting: Waiting::Answer(caller), .. }) = state.calls.remove(&id)
        {
            drop(state);
            // The caller may have given up just now.
            let _given_up = caller.send(answer);
        }
    }

    /// The stream of items that a call opened, if it is still wanted.
    pub(super) fn inbox(&self, id: u64) -> Option<Arc<Inbox>> {
        match self.lock().calls.get(&id) {
            Some(Entry { waiting: Waiting::Items(inbox), .. }) => Some(Arc::clone(inbox)),
            _ => None,
        }
    }

    /// The connection is gone: everybody is told what that means for their call.
    pub(super) fn close(&self) {
        let calls = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.calls)
        };
        for Entry { waiting, sent } in calls.into_values() {
            let fault = if sent { CallFault::Timeout } else { CallFault::Unreachable };
            match waiting {
                Waiting::Answer(caller) => {
                    let _given_up = caller.send(Err(fault));
                }
                Waiting::Items(inbox) => inbox.end(Some(fault)),
            }
        }
    }
}
