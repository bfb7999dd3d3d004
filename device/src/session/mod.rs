//! The pure session machine of a device: what to dial, what to send, what to tell the application.
//!
//! It owns the order and the numbers of messages, redirects, back-off and the book of commands; it
//! knows no socket, clock or task: the driver hands it what happened and carries out what comes
//! out. The same inputs at the same times with the same seed give the same outputs.

mod backoff;
mod commands;
mod frames;
mod link;
mod queue;
mod route;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use pollux_proto::device::{DeviceFrame, NodeFrame};
use pollux_proto::limits::FRAME_BYTES_MAX;
use pollux_twin::{Rejection, Time, Value};

pub use backoff::Backoff;
pub use queue::Message;

use crate::error::QueueError;
use crate::limits::{QUEUE_BYTES_MAX, QUEUE_LEN_MAX, SILENCE_MS};
use crate::store::{CommandStore, Kept, Outcome, QueueStore};
use crate::wire;
use backoff::Jitter;
use commands::{Commands, Verdict};
use link::Link;
use queue::{Bounds, Queue, Waiter};
use route::Route;

/// What a session needs to know before it starts.
#[derive(Clone)]
pub struct SessionOptions {
    /// Tenant; empty for the certificate's or the default one.
    pub tenant: Arc<str>,
    /// Device id.
    pub device: Arc<str>,
    /// Secret token, for devices without a certificate.
    pub token: Option<Arc<str>>,
    /// `host:port` of nodes to dial first, at least one.
    pub addresses: Arc<[Arc<str>]>,
    /// Waits between attempts.
    pub backoff: Backoff,
    /// How long a node may be silent while messages wait for it; it is pinged at half of it.
    pub silence_ms: u64,
    /// Messages the queue holds.
    pub queue_len_max: usize,
    /// Bytes the queue holds.
    pub queue_bytes_max: usize,
    /// Seed of jitter and of incarnations: random in production, fixed in tests.
    pub seed: u64,
    /// Keeps messages over restarts.
    pub queue_store: Option<Arc<dyn QueueStore>>,
    /// Keeps executed commands over restarts.
    pub command_store: Option<Arc<dyn CommandStore>>,
}

impl SessionOptions {
    /// Options of a device that dials `addresses`, with the defaults for everything else.
    pub fn new(tenant: &str, device: &str, addresses: Arc<[Arc<str>]>, seed: u64) -> Self {
        Self {
            tenant: tenant.into(),
            device: device.into(),
            token: None,
            addresses,
            backoff: Backoff::default(),
            silence_ms: SILENCE_MS,
            queue_len_max: QUEUE_LEN_MAX,
            queue_bytes_max: QUEUE_BYTES_MAX,
            seed,
            queue_store: None,
            command_store: None,
        }
    }
}

/// What happens to a session. Attempts are named by the number that [`Output::Dial`] gave them.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The connection of an attempt stands, its stream is open.
    Connected {
        /// Which attempt.
        attempt: u64,
    },
    /// The connection of an attempt did not come about, or is gone.
    Lost {
        /// Which attempt.
        attempt: u64,
        /// Whose doing it was.
        loss: Loss,
        /// Why, for people.
        reason: Arc<str>,
    },
    /// A frame arrived on the connection of an attempt.
    Frame {
        /// Which attempt.
        attempt: u64,
        /// What the node says.
        frame: NodeFrame,
    },
    /// The application finished a command.
    Finished {
        /// Which command.
        id: u64,
        /// With what.
        outcome: Outcome,
    },
    /// The application asks for desired again.
    Get,
    /// The application drops the connection and comes back after `away_ms`.
    Drop {
        /// How long to stay away.
        away_ms: u64,
    },
    /// The application is done with the device.
    Close,
}

/// What kind of loss it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The way or the node broke: try again soon.
    Broken,
    /// One side sent what the other does not understand: the same may well happen again.
    Protocol,
}

/// What the driver has to carry out, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output<T> {
    /// Connect to `address` and open the stream.
    Dial {
        /// Names the attempt in what follows.
        attempt: u64,
        /// `host:port`.
        address: Arc<str>,
    },
    /// Close the connection of an attempt, or stop dialling it.
    Hangup {
        /// Which attempt.
        attempt: u64,
    },
    /// Tell the application.
    Event(Event<T>),
}

/// What the application is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<T> {
    /// A session is open.
    Online {
        /// Its epoch.
        session: u64,
        /// Version of the reported section as the owner has it.
        reported_version: u64,
    },
    /// The session is over; the device goes on trying.
    Offline {
        /// Why, for people.
        reason: Arc<str>,
    },
    /// The desired section, whole: after the first welcome, and when it changed.
    Desired {
        /// Its version.
        version: u64,
        /// The whole section.
        desired: Value,
    },
    /// Run this command and hand in [`Input::Finished`].
    Command {
        /// Its number within the twin.
        id: u64,
        /// What to do.
        name: String,
        /// Arguments.
        payload: Value,
        /// When it is no longer worth doing, by the owner's clock.
        deadline: Time,
    },
    /// A message is answered for good, and that is durable.
    Answered {
        /// What the application gave with the message.
        token: T,
        /// Version of the reported section after it, or why it was refused.
        result: Result<u64, Rejection>,
    },
    /// The session will not come back: closed by the application or refused for good.
    Ended {
        /// Why, for people.
        reason: Arc<str>,
    },
}

/// The session machine of one device. `T` names a message to the application.
pub struct Session<T> {
    options: Arc<SessionOptions>,
    jitter: Jitter,
    incarnation: u64,
    queue: Queue<T>,
    commands: Commands,
    route: Route,
    link: Link,
    /// A connection made ahead of a move: attempt, address, whether it stands.
    spare: Option<(u64, Arc<str>, bool)>,
    attempts: u64,
    failures: u32,
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
        let mut session = Self {
            jitter,
            incarnation,
            queue,
            commands: Commands::new(options.command_store.clone()),
            route: Route::new(Arc::clone(&options.addresses)),
            link: Link::Waiting { until: now },
            spare: None,
            attempts: 0,
            failures: 0,
            control: VecDeque::new(),
            hold_until: None,
            desired_version: None,
            outputs: VecDeque::new(),
            options,
        };
        session.dial(now);
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
            Input::Connected { attempt } => self.connected(now, attempt),
            Input::Lost { attempt, loss, reason } => self.lost(now, attempt, loss, reason),
            Input::Frame { attempt, frame } => self.frame(now, attempt, frame),
            Input::Finished { id, outcome } => self.finished(id, outcome),
            Input::Get => {
                if self.link.is_open() {
                    self.control.push_back(DeviceFrame::Get);
                }
            }
            Input::Drop { away_ms } => self.away(now, away_ms),
            Input::Close => self.end("closed by the application".into()),
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

    /// Appends frames to send on the current attempt's stream until `out` holds `bytes_max` bytes
    /// or there is nothing more to send.
    pub fn poll_transmit(&mut self, now: Duration, out: &mut Vec<u8>, bytes_max: usize) {
        if !self.link.is_up() {
            return;
        }
        while out.len() < bytes_max {
            let Some(frame) = self.control.pop_front() else { break };
            match wire::encode(&frame, FRAME_BYTES_MAX) {
                Ok(bytes) => out.extend_from_slice(&bytes),
                Err(error) => tracing::error!(%error, "a control frame cannot be encoded"),
            }
        }
        let Some(in_flight_max) = self.in_flight_max() else { return };
        if !self.queue.is_in_flight() && self.queue.is_waiting(in_flight_max) {
            self.link.heard(now);
        }
        while out.len() < bytes_max {
            let Some(frame) = self.queue.transmit(in_flight_max) else { break };
            out.extend_from_slice(frame);
        }
    }

    /// Whether [`Session::poll_transmit`] would append something.
    pub fn wants_transmit(&self) -> bool {
        let numbered = self.in_flight_max().is_some_and(|max| self.queue.is_waiting(max));
        self.link.is_up() && (numbered || !self.control.is_empty())
    }

    /// When [`Session::handle_deadline`] has something to do.
    pub fn next_deadline(&self) -> Option<Duration> {
        let hold = if self.link.is_open() { self.hold_until } else { None };
        let silence = self.queue.is_in_flight().then(|| self.silent_until()).flatten();
        [self.link.deadline(), hold, silence].into_iter().flatten().min()
    }

    /// Does what is due; early calls do no harm.
    pub fn handle_deadline(&mut self, now: Duration) {
        if self.hold_until.is_some_and(|until| until <= now) {
            self.hold_until = None;
        }
        if self.link.deadline().is_some_and(|until| until <= now) {
            self.due(now);
        }
        if self.queue.is_in_flight() && self.silent_until().is_some_and(|until| until <= now) {
            self.silent(now);
        }
    }

    /// The attempt whose connection carries the session, or is about to.
    pub const fn attempt(&self) -> Option<u64> {
        self.link.attempt()
    }

    /// The epoch of the open session.
    pub const fn epoch(&self) -> Option<u64> {
        self.link.epoch()
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
        match self.link {
            Link::Open { in_flight_max, .. } if self.hold_until.is_none() => Some(in_flight_max),
            _ => None,
        }
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
