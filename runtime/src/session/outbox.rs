//! What waits to be written to one device. Bounded: acknowledgements by what may be in flight,
//! `desired` by keeping only the newest, the rest by a count that ends the session (safety rule 19).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use futures_util::task::AtomicWaker;
use pollux_twin::output::{ByeReason, ToDevice};

use crate::limits::{OUTBOX_FRAMES_MAX, PONGS_MAX};

/// The queue between a twin's shard and its device's session.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    reader: AtomicWaker,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<(u64, ToDevice)>,
    pongs: Vec<u64>,
    ahead: Option<Arc<str>>,
    closed: bool,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.pongs.is_empty() && self.ahead.is_none()
    }
}

/// What waited.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Messages with their session's epoch.
    pub(crate) messages: VecDeque<(u64, ToDevice)>,
    /// Nonces of pings to answer.
    pub(crate) pongs: Vec<u64>,
    /// Where the device should connect ahead of a move.
    pub(crate) ahead: Option<Arc<str>>,
}

impl Outbox {
    /// Adds a message of a session; a newer `desired` replaces one that still waits. After a `Bye`, or when the
    /// device does not read, nothing more is taken.
    pub(crate) fn push(&self, session: u64, message: ToDevice) {
        {
            let mut queue = self.queue.lock().expect("no holder of this lock panics");
            if queue.closed {
                return;
            }
            if matches!(message, ToDevice::Desired { .. }) {
                queue.messages.retain(|(_, waiting)| !matches!(waiting, ToDevice::Desired { .. }));
            }
            if queue.messages.len() >= OUTBOX_FRAMES_MAX {
                queue.messages.clear();
                let reason = ByeReason::Protocol("the device does not read its stream".into());
                queue.messages.push_back((session, ToDevice::Bye { reason }));
                queue.closed = true;
            } else {
                queue.closed = matches!(message, ToDevice::Bye { .. });
                queue.messages.push_back((session, message));
            }
        }
        self.reader.wake();
    }

    /// Adds the answer to a ping; one that floods is answered only now and then.
    pub(crate) fn push_pong(&self, nonce: u64) {
        {
            let mut queue = self.queue.lock().expect("no holder of this lock panics");
            if queue.pongs.len() < PONGS_MAX {
                queue.pongs.push(nonce);
            }
        }
        self.reader.wake();
    }

    /// Says where the device should connect ahead of a move; the newest such word counts.
    pub(crate) fn push_ahead(&self, address: Arc<str>) {
        {
            let mut queue = self.queue.lock().expect("no holder of this lock panics");
            queue.ahead = Some(address);
        }
        self.reader.wake();
    }

    /// Takes all that waits.
    pub(crate) fn take(&self) -> Waiting {
        let mut queue = self.queue.lock().expect("no holder of this lock panics");
        let Queue { messages, pongs, ahead, .. } = &mut *queue;
        Waiting {
            messages: std::mem::take(messages),
            pongs: std::mem::take(pongs),
            ahead: ahead.take(),
        }
    }

    /// Resolves when something waits. One task at a time may wait for it.
    pub(crate) async fn ready(&self) {
        std::future::poll_fn(|cx| {
            self.reader.register(cx.waker());
            let queue = self.queue.lock().expect("no holder of this lock panics");
            if queue.is_empty() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pollux_twin::Value;

    fn taken(outbox: &Outbox) -> Vec<ToDevice> {
        outbox.take().messages.into_iter().map(|(_, message)| message).collect()
    }

    #[test]
    fn only_the_newest_desired_waits() {
        let outbox = Outbox::default();
        for version in 1..=3 {
            outbox.push(1, ToDevice::Desired { version, desired: Value::Null });
            outbox.push(1, ToDevice::Ack { seq: version, result: Ok(1) });
        }
        let messages = taken(&outbox);
        assert_eq!(messages.len(), 4);
        assert!(messages.contains(&ToDevice::Desired { version: 3, desired: Value::Null }));
    }

    #[test]
    fn the_newest_move_ahead_waits_beside_the_messages() {
        let outbox = Outbox::default();
        outbox.push_ahead("a:1".into());
        outbox.push_ahead("b:1".into());
        outbox.push(1, ToDevice::Ack { seq: 1, result: Ok(1) });
        let waiting = outbox.take();
        assert_eq!((waiting.ahead.as_deref(), waiting.messages.len()), (Some("b:1"), 1));
        assert_eq!(outbox.take().ahead, None);
    }

    #[test]
    fn a_device_that_does_not_read_is_let_go() {
        let outbox = Outbox::default();
        for seq in 0..=OUTBOX_FRAMES_MAX as u64 {
            outbox.push(1, ToDevice::Ack { seq, result: Ok(1) });
        }
        outbox.push(1, ToDevice::Ack { seq: 9999, result: Ok(1) });
        let messages = taken(&outbox);
        assert_eq!(messages.len(), 1);
        assert!(matches!(messages[0], ToDevice::Bye { .. }));
    }
}
