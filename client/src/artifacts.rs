//! Artifacts: firmware and other software for devices. How their bytes are taken whole is in `download`.

use pollux_proto::v1;
use tokio_stream::Stream;
use tonic::{Response, Streaming};

use crate::attempts::failed_once;
use crate::client::Client;
use crate::error::Error;
use crate::limits::PAGE;
use crate::node::Node;

/// Calls about artifacts; an empty tenant is the default one.
#[derive(Clone, Copy, Debug)]
pub struct Artifacts<'a> {
    pub(crate) client: &'a Client,
}

impl Artifacts<'_> {
    /// Brings an artifact: what it is first, then its bytes. Nothing bounds how long that takes, and nothing is repeated
    /// here; to bring the same again is safe.
    ///
    /// # Errors
    /// When no node takes the stream, and where it is refused.
    pub async fn put(
        &self,
        parts: impl Stream<Item = v1::PutArtifactRequest> + Send + 'static,
    ) -> Result<v1::Artifact, Error> {
        let node = self.client.node();
        let put = node.artifacts().put(node.request(parts)).await;
        put.map(Response::into_inner).map_err(failed_once)
    }

    /// What it is, then its bytes from an offset on, as they come from one node. [`download`](Self::download) goes on
    /// where that breaks, and checks them.
    ///
    /// # Errors
    /// When no node gives it.
    pub async fn get(
        &self,
        request: v1::GetArtifactRequest,
    ) -> Result<Streaming<v1::GetArtifactResponse>, Error> {
        let node = self.client.node();
        let got = node.artifacts().get(node.request(request)).await;
        got.map(Response::into_inner).map_err(failed_once)
    }

    /// What an artifact is, without its bytes.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound).
    pub async fn describe(
        &self,
        request: v1::DescribeArtifactRequest,
    ) -> Result<v1::Artifact, Error> {
        let make = |node: Node, request| async move {
            node.artifacts().describe(request).await.map(Response::into_inner)
        };
        self.client.read(request, make).await
    }

    /// The artifacts of a tenant whose names begin so, by name and version. Asks page after page.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn list(&self, tenant: &str, prefix: &str) -> Result<Vec<v1::Artifact>, Error> {
        let (tenant, prefix) = (tenant.to_owned(), prefix.to_owned());
        let request =
            v1::ListArtifactsRequest { tenant, prefix, page_size: PAGE, ..Default::default() };
        let make = |node: Node, request| async move {
            node.artifacts().list(request).await.map(Response::into_inner)
        };
        let cut = |page: v1::ListArtifactsResponse| (page.artifacts, page.next_page_token);
        self.client.pages(request, make, |request| &mut request.page_token, cut).await
    }

    /// Takes an artifact away that no job names.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound).
    pub async fn remove(
        &self,
        request: v1::RemoveArtifactRequest,
    ) -> Result<v1::RemoveArtifactResponse, Error> {
        let make = |node: Node, request| async move {
            node.artifacts().remove(request).await.map(Response::into_inner)
        };
        self.client.once(request, make).await
    }

    /// Adds a key: from then on what comes must be signed by it, or by another of the tenant's.
    ///
    /// # Errors
    /// [`Rejection::Invalid`](pollux_twin::Rejection::Invalid) for what is no key.
    pub async fn put_key(
        &self,
        request: v1::PutArtifactKeyRequest,
    ) -> Result<v1::ArtifactKey, Error> {
        let make = |node: Node, request| async move {
            node.artifacts().put_key(request).await.map(Response::into_inner)
        };
        self.client.repeated(request, make).await
    }

    /// The keys of a tenant.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn list_keys(&self, tenant: &str) -> Result<Vec<v1::ArtifactKey>, Error> {
        let tenant = tenant.to_owned();
        let make = |node: Node, request| async move {
            node.artifacts().list_keys(request).await.map(Response::into_inner)
        };
        Ok(self.client.read(v1::ListArtifactKeysRequest { tenant }, make).await?.keys)
    }

    /// Takes a key away. What was signed by it stays.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound).
    pub async fn remove_key(
        &self,
        request: v1::RemoveArtifactKeyRequest,
    ) -> Result<v1::RemoveArtifactKeyResponse, Error> {
        let make = |node: Node, request| async move {
            node.artifacts().remove_key(request).await.map(Response::into_inner)
        };
        self.client.once(request, make).await
    }
}

impl Client {
    /// Firmware and other software for devices.
    pub const fn artifacts(&self) -> Artifacts<'_> {
        Artifacts { client: self }
    }
}
