//! The registry: which devices may come, and by what they prove themselves.

use std::time::Duration;

use pollux_proto::v1;
use serde_json::Value;
use tokio_stream::Stream;
use tonic::{Response, Streaming};

use crate::attempts::failed_once;
use crate::client::{Client, key, named};
use crate::error::Error;
use crate::limits::PAGE;
use crate::node::Node;

/// Calls to the registry. Devices are named `device`, or `tenant/device`.
#[derive(Clone, Copy, Debug)]
pub struct Devices<'a> {
    client: &'a Client,
}

/// A device to register, or what one that is registered is to have.
#[derive(Clone, Debug)]
pub struct NewDevice {
    device: String,
    request: v1::RegisterDeviceRequest,
}

impl NewDevice {
    /// A device; what is not named stays as it is.
    pub fn new(device: impl Into<String>) -> Self {
        Self { device: device.into(), request: v1::RegisterDeviceRequest::default() }
    }

    /// Merges into its tags.
    #[must_use]
    pub fn tags(self, patch: &Value) -> Self {
        self.tags_json(patch.to_string())
    }

    /// Merges into its tags what is JSON already; an empty text is none.
    #[must_use]
    pub fn tags_json(mut self, patch: String) -> Self {
        self.request.tags_json = patch;
        self
    }

    /// Merges into what it should be.
    #[must_use]
    pub fn desired(self, patch: &Value) -> Self {
        self.desired_json(patch.to_string())
    }

    /// Merges into what it should be what is JSON already; an empty text is none.
    #[must_use]
    pub fn desired_json(mut self, patch: String) -> Self {
        self.request.desired_json = patch;
        self
    }

    /// A credential, in place of one of the same name.
    #[must_use]
    pub fn credential(mut self, credential: v1::NewCredential) -> Self {
        self.request.credentials.push(credential);
        self
    }

    /// The type that it is of; `-` takes its type away, an empty text says nothing.
    #[must_use]
    pub fn of_type(mut self, name: impl Into<String>) -> Self {
        self.request.r#type = name.into();
        self
    }

    /// A group to put it in.
    #[must_use]
    pub fn group(mut self, name: impl Into<String>) -> Self {
        self.request.groups.push(name.into());
        self
    }

    /// The message that it is, without a key.
    ///
    /// # Errors
    /// When its name is none.
    pub fn into_request(mut self) -> Result<v1::RegisterDeviceRequest, Error> {
        (self.request.tenant, self.request.device) = named(&self.device)?;
        Ok(self.request)
    }
}

impl<'a> Devices<'a> {
    pub(crate) const fn new(client: &'a Client) -> Self {
        Self { client }
    }

    /// Registers a device, or gives one that is registered what is named.
    ///
    /// # Errors
    /// Those of every write to a twin.
    pub async fn register(&self, device: NewDevice) -> Result<v1::Device, Error> {
        let mut request = device.into_request()?;
        let work;
        (request.idempotency_key, work) = key(None);
        let make = |node: Node, request| async move {
            node.devices().register(request).await.map(Response::into_inner)
        };
        self.client.call(work, Duration::ZERO, request, make).await
    }

    /// Registers very many: answers say how far it is, and which were refused and why. Nothing bounds how long that
    /// takes, and nothing is repeated here; to send the same devices again is safe.
    ///
    /// # Errors
    /// When no node takes the stream.
    pub async fn import(
        &self,
        devices: impl Stream<Item = v1::ImportDevicesRequest> + Send + 'static,
    ) -> Result<Streaming<v1::ImportDevicesResponse>, Error> {
        let node = self.client.node();
        let answers = node.devices().import(node.request(devices)).await;
        answers.map(Response::into_inner).map_err(failed_once)
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound) if there is neither an entry nor a twin.
    pub async fn get(&self, device: &str) -> Result<v1::Device, Error> {
        let (tenant, device) = named(device)?;
        let make = |node: Node, request| async move {
            node.devices().get(request).await.map(Response::into_inner)
        };
        self.client.read(v1::GetDeviceRequest { tenant, device }, make).await
    }

    /// The device may not come; if it is there, its session ends.
    ///
    /// # Errors
    /// Those of every write to a twin.
    pub async fn disable(&self, device: &str, reason: &str) -> Result<v1::Device, Error> {
        let (tenant, device) = named(device)?;
        let (idempotency_key, work) = key(None);
        let reason = reason.to_owned();
        let make = |node: Node, request| async move {
            node.devices().disable(request).await.map(Response::into_inner)
        };
        let request = v1::DisableDeviceRequest { tenant, device, reason, idempotency_key };
        self.client.call(work, Duration::ZERO, request, make).await
    }

    /// The device may come again.
    ///
    /// # Errors
    /// Those of every write to a twin.
    pub async fn enable(&self, device: &str) -> Result<v1::Device, Error> {
        let (tenant, device) = named(device)?;
        let (idempotency_key, work) = key(None);
        let make = |node: Node, request| async move {
            node.devices().enable(request).await.map(Response::into_inner)
        };
        let request = v1::EnableDeviceRequest { tenant, device, idempotency_key };
        self.client.call(work, Duration::ZERO, request, make).await
    }

    /// Brings back what the device's twin held when it was deleted; what was written since stays.
    ///
    /// # Errors
    /// Those of every write to a twin; [`Rejection::NotFound`](pollux_twin::Rejection::NotFound) where nothing was
    /// deleted, or too long ago.
    pub async fn restore(&self, device: &str) -> Result<v1::Device, Error> {
        let (tenant, device) = named(device)?;
        let (idempotency_key, work) = key(None);
        let make = |node: Node, request| async move {
            node.devices().restore(request).await.map(Response::into_inner)
        };
        let request = v1::RestoreDeviceRequest { tenant, device, idempotency_key };
        self.client.call(work, Duration::ZERO, request, make).await
    }

    /// Those of a tenant (empty: the default one) whose twins were deleted and can be brought back, by their names: all
    /// that begin so. Asks page after page.
    ///
    /// # Errors
    /// [`Rejection::LevelTooLow`](pollux_twin::Rejection::LevelTooLow) in a cluster of a level before that.
    pub async fn deleted(
        &self,
        tenant: &str,
        prefix: &str,
    ) -> Result<Vec<v1::DeletedDevice>, Error> {
        let (tenant, prefix) = (tenant.to_owned(), prefix.to_owned());
        let request =
            v1::ListDeletedRequest { tenant, prefix, page_size: PAGE, ..Default::default() };
        let make = |node: Node, request| async move {
            node.devices().list_deleted(request).await.map(Response::into_inner)
        };
        let cut = |page: v1::ListDeletedResponse| (page.devices, page.next_page_token);
        self.client.pages(request, make, |request| &mut request.page_token, cut).await
    }

    /// Gives a device a credential, in place of one of the same name.
    ///
    /// # Errors
    /// [`Rejection::TooMany`](pollux_twin::Rejection::TooMany) where it has eight.
    pub async fn give_credential(
        &self,
        device: &str,
        credential: v1::NewCredential,
    ) -> Result<v1::Device, Error> {
        let (tenant, device) = named(device)?;
        let (idempotency_key, work) = key(None);
        let credential = Some(credential);
        let make = |node: Node, request| async move {
            node.devices().give_credential(request).await.map(Response::into_inner)
        };
        let request = v1::GiveCredentialRequest { tenant, device, credential, idempotency_key };
        self.client.call(work, Duration::ZERO, request, make).await
    }

    /// Takes a credential away. A session that was opened with it ends.
    ///
    /// # Errors
    /// [`Rejection::UnknownCredential`](pollux_twin::Rejection::UnknownCredential).
    pub async fn revoke_credential(&self, device: &str, name: &str) -> Result<v1::Device, Error> {
        let (tenant, device) = named(device)?;
        let (idempotency_key, work) = key(None);
        let name = name.to_owned();
        let make = |node: Node, request| async move {
            node.devices().revoke_credential(request).await.map(Response::into_inner)
        };
        let request = v1::RevokeCredentialRequest { tenant, device, name, idempotency_key };
        self.client.call(work, Duration::ZERO, request, make).await
    }
}

impl Client {
    /// The registry: which devices may come, and by what they prove themselves.
    pub const fn devices(&self) -> Devices<'_> {
        Devices::new(self)
    }
}
