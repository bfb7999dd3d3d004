//! What waits to be written to one device. Bounded: acknowledgements by what may be in flight,
//! `desired` by keeping only the newest, the rest by a count that ends the session (safety rule 19).

use std::collections::VecDeque;
use std::sync::Mutex;

use pollux_twin::output::{ByeReason, ToDevice};
use tokio::sync::Notify;

use crate::limits::{OUTBOX_FRAMES_MAX, PONGS_MAX};

/// The queue between a twin's shard and its device's session.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<(u64, ToDevice)>,
    pongs: Vec<u64>,
    closed: bool,
}

/// What waited: messages with their session's epoch, and nonces of pings to answer.
pub(crate) type Waiting = (VecDeque<(u64, ToDevice)>, Vec<u64>);

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
        self.ready.notify_one();
    }

    /// Adds the answer to a ping; one that floods is answered only now and then.
    pub(crate) fn push_pong(&self, nonce: u64) {
        {
            let mut queue = self.queue.lock().expect("no holder of this lock panics");
            if queue.pongs.len() < PONGS_MAX {
                queue.pongs.push(nonce);
            }
        }
        self.ready.notify_one();
    }

    /// Takes all that waits.
    pub(crate) fn take(&self) -> Waiting {
        let mut queue = self.queue.lock().expect("no holder of this lock panics");
        (std::mem::take(&mut queue.messages), std::mem::take(&mut queue.pongs))
    }

    /// Resolves when something waits.
    pub(crate) async fn ready(&self) {
        self.ready.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pollux_twin::Value;

    fn taken(outbox: &Outbox) -> Vec<ToDevice> {
        outbox.take().0.into_iter().map(|(_, message)| message).collect()
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
