//! `pollux.v1.Devices`.

use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use pollux_proto::status::to_status;
use pollux_proto::v1::devices_server::Devices;
use pollux_proto::{convert, v1};
use pollux_twin::Rejection;
use tonic::{Request, Response, Status, Streaming};

use super::super::desk::unexpected;
use super::super::import::Import;
use super::{Grpc, Origin};
use crate::metrics::Method;

impl Grpc {
    async fn device(
        &self,
        origin: Origin,
        call: Result<convert::Call, Rejection>,
    ) -> Result<v1::Device, Rejection> {
        let call = call?;
        let key = call.key.clone();
        let answer = self.answer(origin, call).await?;
        convert::registered(&key, answer).map_err(|other| unexpected(&other))
    }
}

#[tonic::async_trait]
impl Devices for Grpc {
    type ImportStream =
        Pin<Box<dyn Stream<Item = Result<v1::ImportDevicesResponse, Status>> + Send>>;

    async fn register(
        &self,
        request: Request<v1::RegisterDeviceRequest>,
    ) -> Result<Response<v1::Device>, Status> {
        let origin = self.origin(&request);
        let call = convert::register(request.into_inner(), &self.desk.json);
        self.respond(Method::DevicesRegister, self.device(origin, call)).await
    }

    async fn import(
        &self,
        request: Request<Streaming<v1::ImportDevicesRequest>>,
    ) -> Result<Response<Self::ImportStream>, Status> {
        let origin = self.origin(&request);
        self.respond(Method::DevicesImport, async {
            let (caller, _place) = (origin.caller?, self.desk.import()?);
            let import = Import { desk: self.desk.clone(), caller, _place };
            // Where what comes breaks off, so does the way back.
            let broken = |status: Status| Rejection::Invalid { reason: status.to_string() };
            let devices = request.into_inner().map(move |came| came.map(Ok).map_err(broken));
            let said = import.run(devices);
            let said = said.map(|said| said.map_err(|rejection| to_status(&rejection)));
            Ok(Box::pin(said) as Self::ImportStream)
        })
        .await
    }

    async fn get(
        &self,
        request: Request<v1::GetDeviceRequest>,
    ) -> Result<Response<v1::Device>, Status> {
        let origin = self.origin(&request);
        let call = convert::get_device(request.get_ref());
        self.respond(Method::DevicesGet, self.device(origin, call)).await
    }

    async fn disable(
        &self,
        request: Request<v1::DisableDeviceRequest>,
    ) -> Result<Response<v1::Device>, Status> {
        let origin = self.origin(&request);
        let call = convert::disable(request.into_inner());
        self.respond(Method::DevicesDisable, self.device(origin, call)).await
    }

    async fn enable(
        &self,
        request: Request<v1::EnableDeviceRequest>,
    ) -> Result<Response<v1::Device>, Status> {
        let origin = self.origin(&request);
        let call = convert::enable(request.into_inner());
        self.respond(Method::DevicesEnable, self.device(origin, call)).await
    }

    async fn restore(
        &self,
        request: Request<v1::RestoreDeviceRequest>,
    ) -> Result<Response<v1::Device>, Status> {
        let origin = self.origin(&request);
        let call = convert::restore(request.into_inner());
        self.respond(Method::DevicesRestore, self.device(origin, call)).await
    }

    async fn list_deleted(
        &self,
        request: Request<v1::ListDeletedRequest>,
    ) -> Result<Response<v1::ListDeletedResponse>, Status> {
        let origin = self.origin(&request);
        let listed = async { self.desk.list_deleted(&origin.caller?, request.get_ref()).await };
        self.respond(Method::DevicesListDeleted, listed).await
    }

    async fn give_credential(
        &self,
        request: Request<v1::GiveCredentialRequest>,
    ) -> Result<Response<v1::Device>, Status> {
        let origin = self.origin(&request);
        let call = convert::give_credential(request.into_inner());
        self.respond(Method::DevicesGiveCredential, self.device(origin, call)).await
    }

    async fn revoke_credential(
        &self,
        request: Request<v1::RevokeCredentialRequest>,
    ) -> Result<Response<v1::Device>, Status> {
        let origin = self.origin(&request);
        let call = convert::revoke_credential(request.into_inner());
        self.respond(Method::DevicesRevokeCredential, self.device(origin, call)).await
    }
}
