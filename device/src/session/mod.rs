//! The pure session machine of a device: what to dial, what to send, what to tell the application.
//!
//! It owns the order and the numbers of messages, redirects, back-off and the book of commands; it
//! knows no socket, clock or task: the driver hands it what happened and carries out what comes
//! out. The same inputs at the same times with the same seed give the same outputs.

mod attempts;
mod backoff;
mod commands;
mod frames;
mod greeting;
mod input;
mod link;
mod moves;
mod options;
mod pace;
mod patience;
mod queue;
mod relay;
mod route;
mod seek;
#[cfg(test)]
mod tests;
mod unreachable;
#[cfg(test)]
mod world;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use pollux_proto::device::DeviceFrame;
use pollux_proto::limits::FRAME_BYTES_MAX;

pub use backoff::Backoff;
pub use input::{Cause, Event, Input, Loss, Output, Rehomed, Ways};
pub use options::SessionOptions;
pub use queue::Message;

use crate::error::QueueError;
use crate::store::{Kept, Outcome};
use crate::wire;
use attempts::Attempts;
use backoff::Jitter;
use commands::{Commands, Verdict};
use link::{Left, Link};
use moves::Ahead;
use pace::Pace;
use patience::Patience;
use queue::{Bounds, Queue, Waiter};
use route::Route;
use seek::Seek;

/// The session machine of one device. `T` names a message to the application.
pub struct Session<T> {
    options: Arc<SessionOptions>,
    jitter: Jitter,
    incarnation: u64,
    queue: Queue<T>,
    commands: Commands,
    route: Route,
    link: Link,
    attempts: Attempts,
    /// How a session is looked for; always there while none is open and none has ended for good.
    seek: Option<Seek>,
    /// A connection to be made ahead of a move.
    ahead: Option<Ahead>,
    pace: Pace,
    patience: Patience,
    /// How long the last handshake took.
    handshake_ms: u32,
    /// Rounds of all addresses, and short sessions, in a row.
    failures: u32,
    /// Until then, a hello that was given up may still open a session.
    rival_until: Duration,
    /// The owner before, until another has taken a message.
    left: Option<Left>,
    ways: Ways,
    /// Frames without a number, sent before the numbered ones.
    control: VecDeque<DeviceFrame>,
    /// No numbered frame before this time: the owner asked for it.
    hold_until: Option<Duration>,
    desired_version: Option<u64>,
    outputs: VecDeque<Output<T>>,
}

impl<T> Session<T> {
    /// A session that dials at once. `kept` is what the queue store had, if there is one.
    pub fn new(now: Duration, options: Arc<SessionOptions>, kept: Option<Kept>) -> Self {
        assert!(!options.addresses.is_empty(), "options hold at least one address");
        let mut jitter = Jitter::new(options.seed);
        let fresh = kept.is_none();
        let incarnation = kept.as_ref().map_or_else(|| jitter.next(), |kept| kept.incarnation);
        let bounds = Bounds {
            len_max: options.queue_len_max,
            bytes_max: options.queue_bytes_max,
            frame_bytes_max: FRAME_BYTES_MAX,
        };
        let mut queue = Queue::new(bounds, options.queue_store.clone(), kept);
        if fresh {
            queue.renumber(incarnation);
        }
        let route = Route::new(Arc::clone(&options.addresses), jitter.next());
        let mut session = Self {
            jitter,
            incarnation,
            queue,
            commands: Commands::new(options.command_store.clone()),
            route,
            link: Link::Closed,
            attempts: Attempts::default(),
            seek: Some(Seek::begin(now)),
            ahead: None,
            pace: Pace::default(),
            patience: Patience::default(),
            handshake_ms: 0,
            failures: 0,
            rival_until: Duration::ZERO,
            left: None,
            ways: Ways::default(),
            control: VecDeque::new(),
            hold_until: None,
            desired_version: None,
            outputs: VecDeque::new(),
            options,
        };
        session.seek(now);
        session
    }

    /// Queues a message; its answer comes as [`Event::Answered`] with `token`.
    ///
    /// Returns its number, which a new incarnation may change.
    pub fn enqueue(&mut self, message: Message, token: T) -> Result<u64, QueueError> {
        if let Link::Over { reason } = &self.link {
            return Err(QueueError::Closed(Arc::clone(reason)));
        }
        self.queue.push(message, Waiter::Application(token))
    }

    /// Queues a message whose answer nobody waits for.
    pub fn enqueue_quiet(&mut self, message: Message) -> Result<u64, QueueError> {
        if let Link::Over { reason } = &self.link {
            return Err(QueueError::Closed(Arc::clone(reason)));
        }
        self.queue.push(message, Waiter::Nobody)
    }

    /// Something happened.
    pub fn handle(&mut self, now: Duration, input: Input) {
        match input {
            Input::Connected { attempt, round_trip } => self.connected(now, attempt, round_trip),
            Input::Lost { attempt, loss, reason } => self.lost(now, attempt, loss, reason),
            Input::Frame { attempt, frame } => self.frame(now, attempt, frame),
            Input::Finished { id, outcome } => self.finished(id, outcome),
            Input::Get => {
                if self.link.open().is_some() {
                    self.control.push_back(DeviceFrame::Get);
                }
            }
            Input::Drop { away_ms } => self.away(now, away_ms),
            Input::Close => self.end(now, "closed by the application".into()),
        }
    }

    /// What to carry out next.
    pub fn poll_output(&mut self) -> Option<Output<T>> {
        let output = self.outputs.pop_front();
        if self.outputs.is_empty() && self.outputs.capacity() > 0 {
            self.outputs = VecDeque::new();
        }
        output
    }

    /// Appends frames to send on an attempt's stream until `out` holds `bytes_max` bytes or there is
    /// nothing more to send.
    pub fn poll_transmit(
        &mut self,
        now: Duration,
        attempt: u64,
        out: &mut Vec<u8>,
        bytes_max: usize,
    ) {
        if self.attempts.greeted(attempt) {
            if let Some(asks) = self.asks(now, attempt) {
                write(&asks, out);
            }
            write(&self.hello(), out);
        }
        if self.link.open().is_none_or(|open| open.attempt != attempt) {
            return;
        }
        while out.len() < bytes_max {
            let Some(frame) = self.control.pop_front() else { break };
            write(&frame, out);
        }
        let Some(in_flight_max) = self.in_flight_max() else { return };
        if !self.queue.is_in_flight() && self.queue.is_waiting(in_flight_max) {
            self.begins(now);
        }
        while out.len() < bytes_max {
            let Some(frame) = self.queue.transmit(in_flight_max) else { break };
            out.extend_from_slice(frame);
        }
    }

    /// When [`Session::handle_deadline`] has something to do.
    pub fn next_deadline(&self) -> Option<Duration> {
        let hold = self.link.open().and(self.hold_until);
        let link = [self.link_deadline(), hold, self.ahead_deadline(), self.probe_deadline()];
        let attempts = [self.attempts.deadline(), self.seek_deadline()];
        link.into_iter().chain(attempts).flatten().min()
    }

    /// Does what is due; early calls do no harm.
    pub fn handle_deadline(&mut self, now: Duration) {
        if self.hold_until.is_some_and(|until| until <= now) {
            self.hold_until = None;
        }
        self.attempts_due(now);
        self.link_due(now);
        self.ahead_due(now);
        self.probe_due(now);
        self.seek(now);
    }

    /// The attempt whose connection carries the session.
    pub fn attempt(&self) -> Option<u64> {
        self.link.open().map(|open| open.attempt)
    }

    /// The epoch of the open session.
    pub fn epoch(&self) -> Option<u64> {
        self.link.open().map(|open| open.epoch)
    }

    /// How it has found its way so far.
    pub const fn ways(&self) -> Ways {
        self.ways
    }

    /// Why the session is over for good, if it is.
    pub fn ended(&self) -> Option<Arc<str>> {
        match &self.link {
            Link::Over { reason } => Some(Arc::clone(reason)),
            _ => None,
        }
    }

    /// Messages that wait for their acknowledgement.
    pub fn queue_len(&self) -> usize {
        self.queue.len()
    }

    fn in_flight_max(&self) -> Option<usize> {
        let open = self.link.open().filter(|_| self.hold_until.is_none())?;
        Some(open.in_flight_max)
    }

    fn event(&mut self, event: Event<T>) {
        self.outputs.push_back(Output::Event(event));
    }

    fn finished(&mut self, id: u64, outcome: Outcome) {
        if self.commands.finished(id, &outcome) {
            self.answer_command(id, outcome);
        }
    }

    /// Queues a command's answer. If it does not fit, the owner asks for it at the next session.
    fn answer_command(&mut self, id: u64, outcome: Outcome) {
        let message = Message::CommandResult { id, result: outcome };
        let queued = match self.queue.push(message, Waiter::Command(id)) {
            Err(error @ QueueError::Unsendable(_)) => {
                let result = Err(error.to_string());
                self.queue.push(Message::CommandResult { id, result }, Waiter::Command(id))
            }
            queued => queued,
        };
        match queued {
            Ok(_) => self.commands.answering(id),
            Err(error) => tracing::warn!(command = id, %error, "an answer is not queued"),
        }
    }

    fn carry_out(&mut self, id: u64, verdict: Verdict) {
        match verdict {
            Verdict::UnderWay | Verdict::Run => {}
            Verdict::Answer(outcome) => self.answer_command(id, outcome),
            Verdict::Unknown => {
                let unknown = Message::CommandUnknown { id };
                if let Err(error) = self.queue.push(unknown, Waiter::Nobody) {
                    tracing::warn!(command = id, %error, "an answer is not queued");
                }
            }
        }
    }
}

fn write(frame: &DeviceFrame, out: &mut Vec<u8>) {
    match wire::encode(frame, FRAME_BYTES_MAX) {
        Ok(bytes) => out.extend_from_slice(&bytes),
        Err(error) => tracing::error!(%error, "a control frame cannot be encoded"),
    }
}
