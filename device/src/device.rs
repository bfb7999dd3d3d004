//! The handle that applications hold: the verbs. The session's decisions are in `session`, the
//! connection in `driver`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pollux_proto::device::{Datagram, encode_datagram};
use pollux_twin::{Time, Value};
use tokio::sync::oneshot;

use crate::dial::Endpoint;
use crate::driver::Driver;
use crate::error::{Fault, QueueError};
use crate::options::Options;
use crate::session::{Input, Message, Rehomed};
use crate::shared::{Answered, CommandHandler, DesiredHandler, Shared, State};
use crate::store::Outcome;

/// A device. Clones are the same device; it is closed with the last of them.
///
/// Everything works without a connection too: messages wait in the queue, in order, and are
/// acknowledged once and applied once, however often the connection breaks in between.
#[derive(Clone)]
pub struct Device {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.input(Input::Close);
    }
}

/// An acknowledged message: durable, and applied exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acked {
    /// Version of the reported section after it.
    pub version: u64,
}

/// An open session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Online {
    /// Its epoch: each new session of a device has a higher one.
    pub session: u64,
    /// Version of the reported section when it opened.
    pub reported_version: u64,
}

/// The desired section.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Its version.
    pub version: u64,
    /// All of it.
    pub value: Arc<Value>,
}

/// A command to carry out once.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Its number, unique for this device's twin.
    pub id: u64,
    /// What to do.
    pub name: String,
    /// Arguments.
    pub payload: Value,
    /// When it is no longer worth doing, by the owner's clock.
    pub deadline: Time,
}

/// How a device has fared since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions opened.
    pub sessions: u64,
    /// Sessions lost or left.
    pub losses: u64,
    /// Messages acknowledged.
    pub acked: u64,
    /// Messages rejected.
    pub rejected: u64,
    /// Connections begun.
    pub dials: u64,
    /// Redirects followed.
    pub redirects: u64,
    /// Moves of the shard followed.
    pub moves: u64,
    /// Times that the owner was silent for too long, and another was looked for.
    pub silences: u64,
}

impl Device {
    /// Starts a device, which connects in the background and goes on trying until closed.
    ///
    /// Must be called within a tokio runtime.
    pub fn start(endpoint: &Endpoint, options: Options) -> Result<Self, Fault> {
        options.check()?;
        let shared = Arc::new(Shared::new(endpoint.clock, &options)?);
        let Options { identity, server_name, .. } = options;
        let driver = Driver::new(Arc::clone(&shared), endpoint.clone(), identity, server_name);
        tokio::spawn(driver.run());
        Ok(Self { handle: Arc::new(Handle { shared }) })
    }

    /// Starts a device and waits for its first session.
    pub async fn connect(endpoint: &Endpoint, options: Options) -> Result<Self, Fault> {
        let device = Self::start(endpoint, options)?;
        device.online().await?;
        Ok(device)
    }

    /// Waits until a session is open; fails if the device is closed or refused for good.
    pub async fn online(&self) -> Result<Online, Fault> {
        self.shared().wait(|state| state.online).await
    }

    /// Waits until the session is lost or left, if there is one.
    pub async fn offline(&self) -> Result<(), Fault> {
        self.shared().wait(|state| state.online.is_none().then_some(())).await
    }

    /// Waits until every queued message is acknowledged or rejected.
    pub async fn flushed(&self) -> Result<(), Fault> {
        self.shared().wait(|state| (state.session.queue_len() == 0).then_some(())).await
    }

    /// Merges `patch` (RFC 7396) into the reported section; returns when that is durable.
    pub async fn report(&self, patch: Value) -> Result<Acked, Fault> {
        self.send(Message::Report { patch, observed_at: None })?.await
    }

    /// Sets latest values; returns when they are durable.
    pub async fn telemetry(&self, values: Vec<(String, Value)>) -> Result<Acked, Fault> {
        self.send(Message::Telemetry { values, observed_at: None })?.await
    }

    /// Queues a message without waiting. The result may be awaited, or dropped: the message is
    /// sent all the same.
    pub fn send(&self, message: Message) -> Result<Pending, QueueError> {
        let (sender, receiver) = oneshot::channel();
        self.shared().enqueue(message, Answered::Waiter(sender))?;
        Ok(Pending { receiver, shared: Arc::clone(self.shared()) })
    }

    /// Queues a message and calls `then` with its answer, on the device's task: it should be quick
    /// and may queue the next message. It is not called if the device is closed before.
    pub fn send_then(
        &self,
        message: Message,
        then: impl FnOnce(Result<Acked, Fault>) + Send + 'static,
    ) -> Result<(), QueueError> {
        self.shared().enqueue(message, Answered::Call(Box::new(then)))
    }

    /// Sends latest values as one datagram: never acknowledged, never resent, at most one packet.
    pub fn telemetry_volatile(&self, values: Vec<(String, Value)>) -> Result<(), Fault> {
        let state = self.shared().lock();
        let (Some(session), Some(connection)) = (state.session.epoch(), &state.connection) else {
            return Err(Fault::Datagram("there is no session"));
        };
        let datagram = Datagram { session, values, observed_at: None };
        let bytes = encode_datagram(&datagram).map_err(QueueError::Unsendable)?;
        connection.send_datagram(bytes.freeze()).map_err(|error| {
            Fault::Datagram(match error {
                quinn::SendDatagramError::TooLarge => "it is larger than a packet",
                quinn::SendDatagramError::ConnectionLost(_) => "the connection is lost",
                _ => "the node takes no datagrams",
            })
        })
    }

    /// Calls `handler` with the desired section now, if it is known, and whenever it changes.
    ///
    /// Only the newest counts: versions that come while the handler runs are skipped but for the
    /// last. What it returns is told to the services (`Err`: refused, and why).
    pub fn on_desired<F, R>(&self, handler: F)
    where
        F: Fn(Desired) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), String>> + Send + 'static,
    {
        let handler: DesiredHandler = Arc::new(move |desired| Box::pin(handler(desired)));
        self.shared().set_desired_handler(handler);
    }

    /// Calls `handler` with each command, once; what it returns is the command's answer.
    /// Commands that came before wait for it.
    pub fn on_command<F, R>(&self, handler: F)
    where
        F: Fn(Command) -> R + Send + Sync + 'static,
        R: Future<Output = Outcome> + Send + 'static,
    {
        let handler: CommandHandler = Arc::new(move |command| Box::pin(handler(command)));
        self.shared().set_command_handler(handler);
    }

    /// Calls `handler` when another node than before has acknowledged a message, on the device's task:
    /// it should be quick. The device needs nobody to do anything about it; this is for measuring.
    pub fn on_rehomed(&self, handler: impl Fn(Rehomed) + Send + Sync + 'static) {
        self.shared().set_rehomed_handler(Arc::new(handler));
    }

    /// The newest desired section that came.
    pub fn desired(&self) -> Option<Desired> {
        self.shared().lock().desired.clone()
    }

    /// Asks the owner for the desired section again.
    pub fn ask_desired(&self) {
        self.shared().input(Input::Get);
    }

    /// Leaves the session and comes back after `away`; messages wait meanwhile.
    pub fn leave(&self, away: Duration) {
        let away_ms = u64::try_from(away.as_millis()).unwrap_or(u64::MAX);
        self.shared().input(Input::Drop { away_ms });
    }

    /// Messages that wait for their acknowledgement.
    pub fn queue_len(&self) -> usize {
        self.shared().lock().session.queue_len()
    }

    /// How the device has fared.
    pub fn counts(&self) -> Counts {
        self.shared().lock().counts()
    }

    /// Why the device is closed, if it is: by [`Device::close`] or refused for good.
    pub fn closed(&self) -> Option<Arc<str>> {
        self.shared().lock().session.ended()
    }

    /// Ends the session for good. What is not acknowledged by now is given up.
    pub fn close(&self) {
        self.shared().input(Input::Close);
    }

    /// The session's connection, once there is one.
    pub(crate) async fn connection(&self) -> Result<quinn::Connection, Fault> {
        let carries = |state: &State| state.online.and_then(|_| state.connection.clone());
        self.shared().wait(carries).await
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }
}

/// The answer to a queued message, to be awaited.
pub struct Pending {
    receiver: oneshot::Receiver<Result<Acked, Fault>>,
    shared: Arc<Shared>,
}

impl Future for Pending {
    type Output = Result<Acked, Fault>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(context).map(|answer| {
            answer.unwrap_or_else(|_| {
                let ended = self.shared.lock().session.ended();
                Err(Fault::Closed(ended.unwrap_or_else(|| "its task has stopped".into())))
            })
        })
    }
}
