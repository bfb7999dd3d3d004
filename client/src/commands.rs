//! One-time requests to devices.

use std::time::Duration;

use pollux_proto::limits::COMMAND_DEADLINE_MS;
use pollux_proto::v1;
use serde_json::Value;
use tonic::Response;

use crate::client::{Client, key, named};
use crate::error::Error;
use crate::node::Node;

/// Calls about commands. Devices are named `device`, or `tenant/device`.
#[derive(Clone, Copy, Debug)]
pub struct Commands<'a> {
    client: &'a Client,
}

/// A command to send. The device carries it out at most once.
///
/// ```
/// use std::time::Duration;
///
/// use pollux_client::NewCommand;
/// use serde_json::json;
///
/// let calibrate = NewCommand::new("pump-7", "calibrate")
///     .payload(&json!({"points": 3}))
///     .deadline(Duration::from_secs(2 * 3600))
///     .queue();
/// ```
#[derive(Clone, Debug)]
pub struct NewCommand {
    device: String,
    request: v1::SendCommandRequest,
    key: Option<String>,
}

impl NewCommand {
    /// What the device is to do, in its own words; it is worth doing for a minute.
    pub fn new(device: impl Into<String>, name: impl Into<String>) -> Self {
        let request = v1::SendCommandRequest {
            name: name.into(),
            deadline_ms: COMMAND_DEADLINE_MS,
            ..Default::default()
        };
        Self { device: device.into(), request, key: None }
    }

    /// Arguments.
    #[must_use]
    pub fn payload(self, payload: &Value) -> Self {
        self.payload_json(payload.to_string())
    }

    /// Arguments that are JSON already.
    #[must_use]
    pub fn payload_json(mut self, payload: String) -> Self {
        self.request.payload_json = payload;
        self
    }

    /// For how long it is worth doing: 1 ms to a week.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.request.deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Kept for a device that is not connected, until its deadline.
    #[must_use]
    pub const fn queue(mut self) -> Self {
        self.request.queue = true;
        self
    }

    /// The answer comes when it is over.
    #[must_use]
    pub const fn wait(mut self) -> Self {
        self.request.wait = true;
        self
    }

    /// Under an idempotency key of the caller's own. Otherwise the client makes one; an empty one is none.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}

impl<'a> Commands<'a> {
    pub(crate) const fn new(client: &'a Client) -> Self {
        Self { client }
    }

    /// Sends a command. It may have ended in another way than done: look at its state.
    ///
    /// # Errors
    /// [`Rejection::DeviceOffline`](pollux_twin::Rejection::DeviceOffline) if the device is not connected and it is
    /// not to be queued.
    pub async fn send(&self, command: NewCommand) -> Result<v1::Command, Error> {
        let NewCommand { device, mut request, key: given } = command;
        let work;
        (request.idempotency_key, work) = key(given);
        (request.tenant, request.device) = named(&device)?;
        let wait = match request.wait {
            true => Duration::from_millis(request.deadline_ms),
            false => Duration::ZERO,
        };
        let make = |node: Node, request| async move {
            node.commands().send(request).await.map(Response::into_inner)
        };
        Ok(self.client.call(work, wait, request, make).await?.command.unwrap_or_default())
    }

    /// Reads a command as it stands.
    ///
    /// # Errors
    /// [`Rejection::UnknownCommand`](pollux_twin::Rejection::UnknownCommand); those long over are forgotten.
    pub async fn get(&self, device: &str, id: u64) -> Result<v1::Command, Error> {
        let (tenant, device) = named(device)?;
        let make = |node: Node, request| async move {
            node.commands().get(request).await.map(Response::into_inner)
        };
        let request = v1::GetCommandRequest { tenant, device, id };
        Ok(self.client.read(request, make).await?.command.unwrap_or_default())
    }

    /// Withdraws a command that still waits for its device.
    ///
    /// # Errors
    /// [`Rejection::CommandOver`](pollux_twin::Rejection::CommandOver) if it is being delivered, or over.
    pub async fn cancel(&self, device: &str, id: u64) -> Result<v1::Command, Error> {
        let (tenant, device) = named(device)?;
        let (idempotency_key, work) = key(None);
        let make = |node: Node, request| async move {
            node.commands().cancel(request).await.map(Response::into_inner)
        };
        let request = v1::CancelCommandRequest { tenant, device, id, idempotency_key };
        let answer = self.client.call(work, Duration::ZERO, request, make).await?;
        Ok(answer.command.unwrap_or_default())
    }

    /// The commands of a device that are kept, oldest first.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound) if there is no such twin.
    pub async fn list(&self, device: &str) -> Result<Vec<v1::Command>, Error> {
        let (tenant, device) = named(device)?;
        let make = |node: Node, request| async move {
            node.commands().list(request).await.map(Response::into_inner)
        };
        Ok(self.client.read(v1::ListCommandsRequest { tenant, device }, make).await?.commands)
    }
}

impl Client {
    /// One-time requests to devices.
    pub const fn commands(&self) -> Commands<'_> {
        Commands::new(self)
    }
}
