//! What tenants may have of the cluster, and what they use.

use pollux_proto::v1;
use tonic::Response;

use crate::client::Client;
use crate::error::Error;
use crate::node::Node;

/// Calls about tenants; an empty name is that of the default one.
#[derive(Clone, Copy, Debug)]
pub struct Tenants<'a> {
    client: &'a Client,
}

impl Tenants<'_> {
    /// Reads a tenant, whether it has limits or not.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn get(&self, tenant: &str) -> Result<v1::Tenant, Error> {
        let tenant = tenant.to_owned();
        let make = |node: Node, request| async move {
            node.tenants().get(request).await.map(Response::into_inner)
        };
        self.client.read(v1::GetTenantRequest { tenant }, make).await
    }

    /// The tenants that have limits.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn list(&self) -> Result<Vec<v1::Tenant>, Error> {
        let make = |node: Node, request| async move {
            node.tenants().list(request).await.map(Response::into_inner)
        };
        Ok(self.client.read(v1::ListTenantsRequest {}, make).await?.tenants)
    }

    /// Says what a tenant may have: all of it each time, as what is left out is not limited.
    ///
    /// # Errors
    /// [`Rejection::Forbidden`](pollux_twin::Rejection::Forbidden) without the right to.
    pub async fn limit(
        &self,
        tenant: &str,
        limits: v1::TenantLimits,
        note: &str,
    ) -> Result<v1::Tenant, Error> {
        let (tenant, note, limits) = (tenant.to_owned(), note.to_owned(), Some(limits));
        let make = |node: Node, request| async move {
            node.tenants().limit(request).await.map(Response::into_inner)
        };
        self.client.repeated(v1::LimitTenantRequest { tenant, limits, note }, make).await
    }
}

impl Client {
    /// What tenants may have, and what they use.
    pub const fn tenants(&self) -> Tenants<'_> {
        Tenants { client: self }
    }
}
