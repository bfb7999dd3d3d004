//! Enrolments: by what devices that nobody registered come. A device itself has `pollux_device::enrol`.

use pollux_proto::v1;
use tonic::Response;

use crate::client::Client;
use crate::error::Error;
use crate::node::Node;
use crate::subscriptions::named;

/// Calls about enrolments. They are named `name`, or `tenant/name`.
#[derive(Clone, Copy, Debug)]
pub struct Enrolments<'a> {
    client: &'a Client,
}

impl Enrolments<'_> {
    /// Adds an enrolment, or changes it. The answer to the first, and to one with `new_key`, has the key, which is never
    /// shown again.
    ///
    /// # Errors
    /// [`Rejection::Invalid`](pollux_twin::Rejection::Invalid) for what makes none.
    pub async fn put(
        &self,
        request: v1::PutEnrolmentRequest,
    ) -> Result<v1::PutEnrolmentResponse, Error> {
        // Repeated, the key that was lost with the first answer would not come again.
        let make = |node: Node, request| async move {
            node.enrolments().put(request).await.map(Response::into_inner)
        };
        self.client.once(request, make).await
    }

    /// Reads an enrolment.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound).
    pub async fn get(&self, name: &str) -> Result<v1::Enrolment, Error> {
        let (tenant, name) = named(name);
        let make = |node: Node, request| async move {
            node.enrolments().get(request).await.map(Response::into_inner)
        };
        self.client.read(v1::GetEnrolmentRequest { tenant, name }, make).await
    }

    /// The enrolments of a tenant, by name; an empty tenant is the default one.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn list(&self, tenant: &str) -> Result<Vec<v1::Enrolment>, Error> {
        let tenant = tenant.to_owned();
        let make = |node: Node, request| async move {
            node.enrolments().list(request).await.map(Response::into_inner)
        };
        Ok(self.client.read(v1::ListEnrolmentsRequest { tenant }, make).await?.enrolments)
    }

    /// Takes an enrolment away; devices keep what they got by it.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound).
    pub async fn remove(&self, name: &str) -> Result<v1::RemoveEnrolmentResponse, Error> {
        let (tenant, name) = named(name);
        let make = |node: Node, request| async move {
            node.enrolments().remove(request).await.map(Response::into_inner)
        };
        self.client.once(v1::RemoveEnrolmentRequest { tenant, name }, make).await
    }

    /// A device gets a credential, by what proves it.
    ///
    /// # Errors
    /// [`Rejection::NotEnrolled`](pollux_twin::Rejection::NotEnrolled).
    pub async fn provision(
        &self,
        request: v1::ProvisionRequest,
    ) -> Result<v1::ProvisionResponse, Error> {
        // A proof counts once: what was not answered is asked again with another.
        let make = |node: Node, request| async move {
            node.enrolments().provision(request).await.map(Response::into_inner)
        };
        self.client.once(request, make).await
    }
}

impl Client {
    /// By what devices that nobody registered come.
    pub const fn enrolments(&self) -> Enrolments<'_> {
        Enrolments { client: self }
    }
}
