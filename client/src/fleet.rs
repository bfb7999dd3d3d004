//! Types and groups of devices.

use pollux_proto::v1;
use tonic::Response;

use crate::client::Client;
use crate::error::Error;
use crate::limits::PAGE;
use crate::node::Node;
use crate::subscriptions::named;

/// Calls about types of devices. They are named `name`, or `tenant/name`.
#[derive(Clone, Copy, Debug)]
pub struct Types<'a> {
    client: &'a Client,
}

/// Calls about groups of devices. They are named `name`, or `tenant/name`.
#[derive(Clone, Copy, Debug)]
pub struct Groups<'a> {
    client: &'a Client,
}

impl Types<'_> {
    /// Adds a type, or changes it.
    ///
    /// # Errors
    /// [`Rejection::Invalid`](pollux_twin::Rejection::Invalid) for schemas that are none.
    pub async fn put(&self, request: v1::PutTypeRequest) -> Result<v1::DeviceType, Error> {
        let make = |node: Node, request| async move {
            node.types().put(request).await.map(Response::into_inner)
        };
        self.client.repeated(request, make).await
    }

    /// Reads a type.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound).
    pub async fn get(&self, name: &str) -> Result<v1::DeviceType, Error> {
        let (tenant, name) = named(name);
        let make = |node: Node, request| async move {
            node.types().get(request).await.map(Response::into_inner)
        };
        self.client.read(v1::GetTypeRequest { tenant, name }, make).await
    }

    /// The types of a tenant, by name; an empty tenant is the default one.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn list(&self, tenant: &str) -> Result<Vec<v1::DeviceType>, Error> {
        let tenant = tenant.to_owned();
        let make = |node: Node, request| async move {
            node.types().list(request).await.map(Response::into_inner)
        };
        Ok(self.client.read(v1::ListTypesRequest { tenant }, make).await?.types)
    }

    /// Takes a type away: its devices keep its name, and nothing is checked any more.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound).
    pub async fn remove(&self, name: &str) -> Result<v1::RemoveTypeResponse, Error> {
        let (tenant, name) = named(name);
        let make = |node: Node, request| async move {
            node.types().remove(request).await.map(Response::into_inner)
        };
        self.client.once(v1::RemoveTypeRequest { tenant, name }, make).await
    }
}

impl Groups<'_> {
    /// Adds a group, or changes it; without a filter, devices are put in it.
    ///
    /// # Errors
    /// [`Rejection::Invalid`](pollux_twin::Rejection::Invalid) for a filter that is none.
    pub async fn put(&self, request: v1::PutGroupRequest) -> Result<v1::Group, Error> {
        let make = |node: Node, request| async move {
            node.groups().put(request).await.map(Response::into_inner)
        };
        self.client.repeated(request, make).await
    }

    /// Reads a group.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound).
    pub async fn get(&self, name: &str) -> Result<v1::Group, Error> {
        let (tenant, name) = named(name);
        let make = |node: Node, request| async move {
            node.groups().get(request).await.map(Response::into_inner)
        };
        self.client.read(v1::GetGroupRequest { tenant, name }, make).await
    }

    /// The groups of a tenant, by name; an empty tenant is the default one.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn list(&self, tenant: &str) -> Result<Vec<v1::Group>, Error> {
        let tenant = tenant.to_owned();
        let make = |node: Node, request| async move {
            node.groups().list(request).await.map(Response::into_inner)
        };
        Ok(self.client.read(v1::ListGroupsRequest { tenant }, make).await?.groups)
    }

    /// Takes a group away that no device is in.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound).
    pub async fn remove(&self, name: &str) -> Result<v1::RemoveGroupResponse, Error> {
        let (tenant, name) = named(name);
        let make = |node: Node, request| async move {
            node.groups().remove(request).await.map(Response::into_inner)
        };
        self.client.once(v1::RemoveGroupRequest { tenant, name }, make).await
    }

    /// Puts devices in a group that has no filter, 1,000 at most; each is done for itself.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound).
    pub async fn add(
        &self,
        name: &str,
        devices: Vec<String>,
    ) -> Result<v1::ChangeMembersResponse, Error> {
        let (tenant, name) = named(name);
        let make = |node: Node, request| async move {
            node.groups().add(request).await.map(Response::into_inner)
        };
        self.client.repeated(v1::ChangeMembersRequest { tenant, name, devices }, make).await
    }

    /// Takes devices out of a group that has no filter, 1,000 at most; each is done for itself.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound).
    pub async fn take_out(
        &self,
        name: &str,
        devices: Vec<String>,
    ) -> Result<v1::ChangeMembersResponse, Error> {
        let (tenant, name) = named(name);
        let make = |node: Node, request| async move {
            node.groups().take_out(request).await.map(Response::into_inner)
        };
        self.client.repeated(v1::ChangeMembersRequest { tenant, name, devices }, make).await
    }

    /// The devices of a group, by their names. Asks page after page.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](pollux_twin::Rejection::NotFound).
    pub async fn members(&self, name: &str) -> Result<Vec<String>, Error> {
        let (tenant, name) = named(name);
        let request = v1::MembersRequest { tenant, name, limit: PAGE, cursor: String::new() };
        let make = |node: Node, request| async move {
            node.groups().members(request).await.map(Response::into_inner)
        };
        let cut = |page: v1::MembersResponse| (page.devices, page.cursor);
        self.client.pages(request, make, |request| &mut request.cursor, cut).await
    }
}

impl Client {
    /// What devices of a kind may report, and be asked.
    pub const fn types(&self) -> Types<'_> {
        Types { client: self }
    }

    /// Devices under a name.
    pub const fn groups(&self) -> Groups<'_> {
        Groups { client: self }
    }
}
