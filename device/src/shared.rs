//! What the handle and the driver of one device share: the session machine under a lock, and the
//! application's handlers. Decides nothing; the lock is never held while a handler runs.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pollux_twin::Rejection;
use tokio::sync::{Notify, oneshot};

use crate::clock::Clock;
use crate::device::{Acked, Command, Counts, Desired, Online};
use crate::error::{Fault, QueueError};
use crate::options::Options;
use crate::session::{Event, Input, Message, Output, Rehomed, Session, Ways};
use crate::store::Outcome;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
pub(crate) type DesiredHandler =
    Arc<dyn Fn(Desired) -> BoxFuture<Result<(), String>> + Send + Sync>;
pub(crate) type RehomedHandler = Arc<dyn Fn(Rehomed) + Send + Sync>;
pub(crate) type CommandHandler = Arc<dyn Fn(Command) -> BoxFuture<Outcome> + Send + Sync>;

/// Who hears the answer of a message.
pub(crate) enum Answered {
    Waiter(oneshot::Sender<Result<Acked, Fault>>),
    Call(Box<dyn FnOnce(Result<Acked, Fault>) + Send>),
}

/// What the driver does after the lock is released.
pub(crate) enum Task {
    Dial { attempt: u64, address: Arc<str> },
    Hangup { attempt: u64 },
    Answer(Answered, Result<Acked, Fault>),
    Rehomed(RehomedHandler, Rehomed),
    Desired(DesiredHandler, Desired),
    Command(CommandHandler, Command),
}

pub(crate) struct State {
    pub(crate) session: Session<Answered>,
    /// The attempt that carries the session, and its connection.
    pub(crate) carrier: Option<u64>,
    pub(crate) connection: Option<quinn::Connection>,
    pub(crate) online: Option<Online>,
    pub(crate) desired: Option<Desired>,
    pub(crate) counts: Counts,
    /// Whether the queue was empty when it was last looked at.
    flushed: bool,
    desired_handler: Option<DesiredHandler>,
    /// The version that the handler saw last, and whether it is still at it.
    desired_seen: Option<u64>,
    desired_busy: bool,
    command_handler: Option<CommandHandler>,
    rehomed_handler: Option<RehomedHandler>,
    /// Commands that wait for a handler; the session bounds how many run or wait.
    commands: Vec<Command>,
}

pub(crate) struct Shared {
    state: Mutex<State>,
    /// Tells the driver that there is something to do.
    pub(crate) work: Notify,
    /// Tells waiters of the application that something has changed.
    changed: Notify,
    pub(crate) clock: Clock,
}

impl Shared {
    pub(crate) fn new(clock: Clock, options: &Options) -> Result<Self, Fault> {
        let kept = match &options.session.queue_store {
            Some(store) => {
                store.load().map_err(|error| Fault::Queue(QueueError::Store(Arc::new(error))))?
            }
            None => None,
        };
        let session = Session::new(clock.now(), Arc::new(options.session.clone()), kept);
        let state = State {
            session,
            carrier: None,
            connection: None,
            online: None,
            desired: None,
            counts: Counts::default(),
            flushed: true,
            desired_handler: None,
            desired_seen: None,
            desired_busy: false,
            command_handler: None,
            rehomed_handler: None,
            commands: Vec::new(),
        };
        let state = Mutex::new(state);
        Ok(Self { state, work: Notify::new(), changed: Notify::new(), clock })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics half way through a change of state that another could not go on from.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands an input to the session.
    pub(crate) fn input(&self, input: Input) {
        let now = self.clock.now();
        self.lock().session.handle(now, input);
        self.work.notify_one();
    }

    pub(crate) fn enqueue(&self, message: Message, answered: Answered) -> Result<(), QueueError> {
        self.lock().session.enqueue(message, answered)?;
        self.work.notify_one();
        Ok(())
    }

    /// Waits until `look` finds what it looks for, or the device is closed.
    pub(crate) async fn wait<R>(&self, look: impl Fn(&State) -> Option<R>) -> Result<R, Fault> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let state = self.lock();
                if let Some(found) = look(&state) {
                    return Ok(found);
                }
                if let Some(reason) = state.session.ended() {
                    return Err(Fault::Closed(reason));
                }
            }
            changed.await;
        }
    }

    pub(crate) fn set_desired_handler(&self, handler: DesiredHandler) {
        self.lock().desired_handler = Some(handler);
        self.work.notify_one();
    }

    pub(crate) fn set_command_handler(&self, handler: CommandHandler) {
        self.lock().command_handler = Some(handler);
        self.work.notify_one();
    }

    pub(crate) fn set_rehomed_handler(&self, handler: RehomedHandler) {
        self.lock().rehomed_handler = Some(handler);
    }

    /// The desired handler is done: tells the services, and lets the next version through.
    pub(crate) fn desired_done(&self, version: u64, result: Result<(), String>) {
        let mut state = self.lock();
        state.desired_busy = false;
        let refused = result.err();
        if let Err(error) = state.session.enqueue_quiet(Message::DesiredAck { version, refused }) {
            tracing::debug!(version, %error, "the desired version is not acknowledged");
        }
        drop(state);
        self.work.notify_one();
    }

    /// Wakes everyone who waits in [`Shared::wait`].
    pub(crate) fn announce(&self) {
        self.changed.notify_waiters();
    }
}

impl State {
    /// Takes all outputs of the session, as tasks for when the lock is released. True if waiters
    /// should look again.
    pub(crate) fn drain(&mut self, tasks: &mut Vec<Task>) -> bool {
        let mut news = false;
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Dial { attempt, address } => tasks.push(Task::Dial { attempt, address }),
                Output::Hangup { attempt } => tasks.push(Task::Hangup { attempt }),
                Output::Event(event) => news |= self.event(event, tasks),
            }
        }
        self.run_handlers(tasks);
        let flushed = self.session.queue_len() == 0;
        news |= flushed && !self.flushed;
        self.flushed = flushed;
        news
    }

    fn event(&mut self, event: Event<Answered>, tasks: &mut Vec<Task>) -> bool {
        match event {
            Event::Online { session, reported_version } => {
                self.counts.sessions += 1;
                self.online = Some(Online { session, reported_version });
            }
            Event::Offline { reason } => {
                tracing::debug!(%reason, "the session is over");
                self.counts.losses += 1;
                self.online = None;
            }
            Event::Rehomed(rehomed) => {
                if let Some(handler) = &self.rehomed_handler {
                    tasks.push(Task::Rehomed(Arc::clone(handler), rehomed));
                }
                return false;
            }
            Event::Desired { version, desired } => {
                self.desired = Some(Desired { version, value: Arc::new(desired) });
            }
            Event::Command { id, name, payload, deadline } => {
                self.commands.push(Command { id, name, payload, deadline });
            }
            Event::Answered { token, result } => {
                tasks.push(Task::Answer(token, self.count(result)));
                return false;
            }
            Event::Ended { reason } => {
                tracing::debug!(%reason, "the device is closed");
                self.online = None;
                self.connection = None;
                self.commands.clear();
            }
        }
        true
    }

    /// How the device has fared, and found its way.
    pub(crate) fn counts(&self) -> Counts {
        let Ways { dials, redirects, moves, silences } = self.session.ways();
        Counts { dials, redirects, moves, silences, ..self.counts }
    }

    fn count(&mut self, result: Result<u64, Rejection>) -> Result<Acked, Fault> {
        match result {
            Ok(version) => {
                self.counts.acked += 1;
                Ok(Acked { version })
            }
            Err(rejection) => {
                self.counts.rejected += 1;
                Err(Fault::Rejected(rejection))
            }
        }
    }

    fn run_handlers(&mut self, tasks: &mut Vec<Task>) {
        if let (Some(handler), Some(desired)) = (&self.desired_handler, &self.desired)
            && !self.desired_busy
            && self.desired_seen != Some(desired.version)
        {
            self.desired_seen = Some(desired.version);
            self.desired_busy = true;
            tasks.push(Task::Desired(Arc::clone(handler), desired.clone()));
        }
        if let Some(handler) = &self.command_handler {
            for command in self.commands.drain(..) {
                tasks.push(Task::Command(Arc::clone(handler), command));
            }
        }
    }
}
