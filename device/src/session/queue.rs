//! The messages that wait for their acknowledgement, as numbered frames ready to send: in order,
//! bounded in count and bytes, resent from any number. What an answer means is the session's.

use std::collections::VecDeque;
use std::sync::Arc;

use pollux_proto::device::DeviceFrame;
use pollux_twin::{Time, Value};

use crate::error::QueueError;
use crate::limits::QUEUE_RESERVE;
use crate::store::{Kept, QueueStore};
use crate::wire;

/// A message that gets a number.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Merge patch (RFC 7396) for the reported section.
    Report {
        /// The patch.
        patch: Value,
        /// The device's own time.
        observed_at: Option<Time>,
    },
    /// Latest values, durable.
    Telemetry {
        /// Name and value of each.
        values: Vec<(String, Value)>,
        /// The device's own time.
        observed_at: Option<Time>,
    },
    /// What became of a desired version.
    DesiredAck {
        /// Which version.
        version: u64,
        /// Why it was refused, if it was.
        refused: Option<String>,
    },
    /// The end of a command.
    CommandResult {
        /// Which command.
        id: u64,
        /// Answer, or the reason of the failure.
        result: Result<Value, String>,
    },
    /// The device does not know that command.
    CommandUnknown {
        /// Which command.
        id: u64,
    },
}

impl Message {
    fn numbered(self, seq: u64) -> DeviceFrame {
        match self {
            Self::Report { patch, observed_at } => DeviceFrame::Report { seq, patch, observed_at },
            Self::Telemetry { values, observed_at } => {
                DeviceFrame::Telemetry { seq, values, observed_at }
            }
            Self::DesiredAck { version, refused } => {
                DeviceFrame::DesiredAck { seq, version, refused }
            }
            Self::CommandResult { id, result } => DeviceFrame::CommandResult { seq, id, result },
            Self::CommandUnknown { id } => DeviceFrame::CommandUnknown { seq, id },
        }
    }
}

/// Who waits for the answer of a message.
#[derive(Debug)]
pub(crate) enum Waiter<T> {
    /// The application, with its own token.
    Application(T),
    /// The book of commands.
    Command(u64),
    /// Nobody.
    Nobody,
}

#[derive(Debug)]
struct Item<T> {
    frame: Box<[u8]>,
    /// `None` once answered.
    waiter: Option<Waiter<T>>,
}

/// Bounds of a [`Queue`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) len_max: usize,
    pub(crate) bytes_max: usize,
    pub(crate) frame_bytes_max: usize,
}

/// The queue. `items[i]` has the number `first + i`; the first `sent` of them are in flight, and the
/// first `tried` were sent at least once, so that an answer to them may come.
pub(crate) struct Queue<T> {
    bounds: Bounds,
    items: VecDeque<Item<T>>,
    first: u64,
    sent: usize,
    tried: usize,
    bytes: usize,
    store: Option<Arc<dyn QueueStore>>,
}

impl<T> Queue<T> {
    /// An empty queue, or what an earlier run of the device left behind.
    pub(crate) fn new(
        bounds: Bounds,
        store: Option<Arc<dyn QueueStore>>,
        kept: Option<Kept>,
    ) -> Self {
        let mut kept = kept.unwrap_or_default();
        let sound = (kept.first_seq.max(1)..).zip(&kept.frames).all(|(seq, frame)| {
            wire::renumber(frame, seq).is_some_and(|numbered| numbered == *frame)
        });
        if !sound {
            tracing::error!("the queue store gave frames that are none: they are dropped");
            kept = Kept::default();
        }
        let bytes = kept.frames.iter().map(|frame| frame.len()).sum();
        let items =
            kept.frames.into_iter().map(|frame| Item { frame, waiter: Some(Waiter::Nobody) });
        Self {
            bounds,
            items: items.collect(),
            first: kept.first_seq.max(1),
            sent: 0,
            tried: 0,
            bytes,
            store,
        }
    }

    /// Gives `message` the next number and keeps it until it is acknowledged.
    pub(crate) fn push(&mut self, message: Message, waiter: Waiter<T>) -> Result<u64, QueueError> {
        let reserve = match waiter {
            Waiter::Application(_) => 0,
            Waiter::Command(_) | Waiter::Nobody => QUEUE_RESERVE,
        };
        let Bounds { len_max, bytes_max, frame_bytes_max } = self.bounds;
        if self.items.len() >= len_max + reserve {
            return Err(QueueError::Full { len: self.items.len(), bytes: self.bytes });
        }
        let seq = self.next();
        let frame = wire::encode(&message.numbered(seq), frame_bytes_max)?;
        if self.bytes + frame.len() > bytes_max && reserve == 0 {
            return Err(QueueError::Full { len: self.items.len(), bytes: self.bytes });
        }
        if let Some(store) = &self.store {
            store.push(seq, &frame).map_err(|error| QueueError::Store(Arc::new(error)))?;
        }
        self.bytes += frame.len();
        self.items.push_back(Item { frame, waiter: Some(waiter) });
        Ok(seq)
    }

    /// The next frame to send, while fewer than `in_flight_max` are in flight.
    pub(crate) fn transmit(&mut self, in_flight_max: usize) -> Option<&[u8]> {
        if self.sent >= in_flight_max {
            return None;
        }
        let item = self.items.get(self.sent)?;
        self.sent += 1;
        self.tried = self.tried.max(self.sent);
        Some(&item.frame)
    }

    /// Whether there is a frame to send.
    pub(crate) fn is_waiting(&self, in_flight_max: usize) -> bool {
        self.sent < in_flight_max.min(self.items.len())
    }

    /// Whether an answer is to come.
    pub(crate) const fn is_in_flight(&self) -> bool {
        self.sent > 0
    }

    /// Takes the waiter of an answered number, once.
    pub(crate) fn answered(&mut self, seq: u64) -> Option<Waiter<T>> {
        let at = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        let waiter = self.items.get_mut(at).filter(|_| at < self.tried)?.waiter.take()?;
        while self.items.front().is_some_and(|item| item.waiter.is_none()) {
            let item = self.items.pop_front().expect("the front was just seen");
            self.bytes -= item.frame.len();
            if let Some(store) = &self.store {
                store.forget(self.first);
            }
            self.first += 1;
            self.sent = self.sent.saturating_sub(1);
            self.tried = self.tried.saturating_sub(1);
        }
        if self.items.is_empty() && self.items.capacity() > 8 {
            self.items = VecDeque::new();
        }
        Some(waiter)
    }

    /// Sends again from `seq` on; false if that number is not kept here.
    pub(crate) fn rewind(&mut self, seq: u64) -> bool {
        let Some(at) = seq.checked_sub(self.first) else { return false };
        match usize::try_from(at) {
            Ok(at) if at <= self.items.len() => self.sent = self.sent.min(at),
            _ => return false,
        }
        true
    }

    /// Sends everything that is not answered again.
    pub(crate) fn rewind_all(&mut self) {
        self.sent = 0;
    }

    /// Numbers everything anew from 1, for a new incarnation.
    pub(crate) fn renumber(&mut self, incarnation: u64) {
        self.items.retain(|item| item.waiter.is_some());
        self.first = 1;
        self.sent = 0;
        self.tried = 0;
        for (seq, item) in (1..).zip(&mut self.items) {
            item.frame = wire::renumber(&item.frame, seq)
                .expect("a queue holds numbered frames that were encoded or checked before");
        }
        self.bytes = self.items.iter().map(|item| item.frame.len()).sum();
        if let Some(store) = &self.store {
            store.restart(incarnation, &mut self.items.iter().map(|item| &*item.frame));
        }
    }

    /// Drops everything, with the waiters.
    pub(crate) fn clear(&mut self) {
        self.items = VecDeque::new();
        self.sent = 0;
        self.tried = 0;
        self.bytes = 0;
    }

    /// The first number that is not answered.
    pub(crate) const fn first(&self) -> u64 {
        self.first
    }

    /// The number of the next message.
    pub(crate) fn next(&self) -> u64 {
        self.first + u64::try_from(self.items.len()).expect("a queue is bounded")
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }
}
