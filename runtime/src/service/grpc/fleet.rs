//! `pollux.v1.Types` and `pollux.v1.Groups`: what is agreed on about devices in general.

use pollux_proto::status::to_status;
use pollux_proto::v1;
use pollux_proto::v1::groups_server::Groups;
use pollux_proto::v1::types_server::Types;
use tonic::{Request, Response, Status};

use super::super::desk::{Desk, reason};
use super::super::members::Move;
use super::access::status;
use super::caller;
use crate::access::Caller;

/// The services over what both doors share.
#[derive(Clone)]
pub(super) struct FleetDoor(pub(super) Desk);

pub(super) type Answer<T> = Result<Response<T>, Status>;

impl FleetDoor {
    pub(super) fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        caller(&self.0, request).map_err(|rejection| {
            self.0.metrics.rejections_total.of(reason(&rejection)).inc();
            to_status(&rejection)
        })
    }
}

#[tonic::async_trait]
impl Types for FleetDoor {
    async fn put(&self, request: Request<v1::PutTypeRequest>) -> Answer<v1::DeviceType> {
        let caller = self.caller(&request)?;
        let put = self.0.put_type(&caller, request.into_inner()).await;
        put.map(Response::new).map_err(status)
    }

    async fn get(&self, request: Request<v1::GetTypeRequest>) -> Answer<v1::DeviceType> {
        let caller = self.caller(&request)?;
        self.0.get_type(&caller, request.get_ref()).map(Response::new).map_err(status)
    }

    async fn list(&self, request: Request<v1::ListTypesRequest>) -> Answer<v1::ListTypesResponse> {
        let caller = self.caller(&request)?;
        self.0.list_types(&caller, request.get_ref()).map(Response::new).map_err(status)
    }

    async fn remove(
        &self,
        request: Request<v1::RemoveTypeRequest>,
    ) -> Answer<v1::RemoveTypeResponse> {
        let caller = self.caller(&request)?;
        let removed = self.0.remove_type(&caller, request.into_inner()).await;
        removed.map(Response::new).map_err(status)
    }
}

#[tonic::async_trait]
impl Groups for FleetDoor {
    async fn put(&self, request: Request<v1::PutGroupRequest>) -> Answer<v1::Group> {
        let caller = self.caller(&request)?;
        let put = self.0.put_group(&caller, request.into_inner()).await;
        put.map(Response::new).map_err(status)
    }

    async fn get(&self, request: Request<v1::GetGroupRequest>) -> Answer<v1::Group> {
        let caller = self.caller(&request)?;
        self.0.get_group(&caller, request.get_ref()).map(Response::new).map_err(status)
    }

    async fn list(
        &self,
        request: Request<v1::ListGroupsRequest>,
    ) -> Answer<v1::ListGroupsResponse> {
        let caller = self.caller(&request)?;
        self.0.list_groups(&caller, request.get_ref()).map(Response::new).map_err(status)
    }

    async fn remove(
        &self,
        request: Request<v1::RemoveGroupRequest>,
    ) -> Answer<v1::RemoveGroupResponse> {
        let caller = self.caller(&request)?;
        let removed = self.0.remove_group(&caller, request.into_inner()).await;
        removed.map(Response::new).map_err(status)
    }

    async fn add(
        &self,
        request: Request<v1::ChangeMembersRequest>,
    ) -> Answer<v1::ChangeMembersResponse> {
        let caller = self.caller(&request)?;
        let moved = self.0.change_members(&caller, request.into_inner(), Move::In).await;
        moved.map(Response::new).map_err(status)
    }

    async fn take_out(
        &self,
        request: Request<v1::ChangeMembersRequest>,
    ) -> Answer<v1::ChangeMembersResponse> {
        let caller = self.caller(&request)?;
        let moved = self.0.change_members(&caller, request.into_inner(), Move::Out).await;
        moved.map(Response::new).map_err(status)
    }

    async fn members(&self, request: Request<v1::MembersRequest>) -> Answer<v1::MembersResponse> {
        let caller = self.caller(&request)?;
        let members = self.0.members(&caller, request.into_inner()).await;
        members.map(Response::new).map_err(status)
    }
}
