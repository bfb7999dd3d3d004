//! What waits to be written on one lane. Owns its bounds in bytes and number; leaves the writing to
//! `writer`, and which calls are still wanted to `pending`.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use pollux_proto::peer::PeerHead;
use tokio::sync::{Notify, Semaphore};

use crate::limits::{PEER_FRAME_COST_BYTES, PEER_QUEUE_FRAMES_MAX, PEER_WRITE_BYTES_MAX};

/// A frame to be written.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) head: PeerHead,
    pub(super) payload: Bytes,
    /// What it counts for in the queue.
    room: u32,
}

/// The connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// The other side sends more than it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flooded;

/// Frames in the order in which they will be written.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Notify,
    /// One permit a byte.
    room: Semaphore,
    bytes_max: u32,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Outgoing>,
    closed: bool,
}

impl Queue {
    pub(super) fn new(bytes_max: u32) -> Self {
        let room = Semaphore::new(bytes_max as usize);
        Self { state: Mutex::default(), filled: Notify::new(), room, bytes_max }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a frame; waits while there is no room.
    pub(super) async fn push(&self, head: PeerHead, payload: Bytes) -> Result<(), Gone> {
        let room = cost(&payload).min(self.bytes_max);
        self.room.acquire_many(room).await.map_err(|_| Gone)?.forget();
        self.add(Outgoing { head, payload, room })
    }

    /// Adds a small frame that must not wait: one for which the other side has cause, and of which it
    /// can cause only so many as long as it reads.
    pub(super) fn push_now(&self, head: PeerHead) -> Result<(), Flooded> {
        if self.lock().frames.len() >= PEER_QUEUE_FRAMES_MAX {
            return Err(Flooded);
        }
        let frame = Outgoing { head, payload: Bytes::new(), room: 0 };
        // Without a connection nobody needs to know.
        let _gone = self.add(frame);
        Ok(())
    }

    fn add(&self, frame: Outgoing) -> Result<(), Gone> {
        let mut state = self.lock();
        if state.closed {
            return Err(Gone);
        }
        state.frames.push_back(frame);
        let first = state.frames.len() == 1;
        drop(state);
        if first {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Moves what waits into `batch`, up to the bytes of one write and at least one frame; waits for
    /// the first one.
    pub(super) async fn take(&self, batch: &mut Vec<Outgoing>) -> Result<(), Gone> {
        loop {
            {
                let mut state = self.lock();
                if state.closed {
                    return Err(Gone);
                }
                let (mut bytes, mut room) = (0, 0);
                while bytes < PEER_WRITE_BYTES_MAX
                    && let Some(frame) = state.frames.pop_front()
                {
                    bytes += frame.payload.len() + PEER_FRAME_COST_BYTES;
                    room += frame.room as usize;
                    batch.push(frame);
                }
                self.room.add_permits(room);
            }
            if !batch.is_empty() {
                return Ok(());
            }
            self.filled.notified().await;
        }
    }

    /// Ends it: whoever waits is told.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.frames.clear();
        drop(state);
        self.room.close();
        self.filled.notify_one();
    }
}

fn cost(payload: &Bytes) -> u32 {
    u32::try_from(payload.len() + PEER_FRAME_COST_BYTES).unwrap_or(u32::MAX)
}
