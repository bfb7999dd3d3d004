//! `pollux.v1.Enrolments`: by what devices that nobody registered come.

use std::sync::Arc;

use pollux_proto::v1;
use pollux_proto::v1::enrolments_server::Enrolments;
use tonic::Request;

use super::super::access::AccessFault;
use super::super::desk::reason;
use super::super::listen::Peer;
use super::access::status;
use super::fleet::{Answer, FleetDoor};

#[tonic::async_trait]
impl Enrolments for FleetDoor {
    async fn put(
        &self,
        request: Request<v1::PutEnrolmentRequest>,
    ) -> Answer<v1::PutEnrolmentResponse> {
        let caller = self.caller(&request)?;
        let put = self.0.put_enrolment(&caller, request.into_inner()).await;
        put.map(tonic::Response::new).map_err(status)
    }

    async fn get(&self, request: Request<v1::GetEnrolmentRequest>) -> Answer<v1::Enrolment> {
        let caller = self.caller(&request)?;
        self.0.get_enrolment(&caller, request.get_ref()).map(tonic::Response::new).map_err(status)
    }

    async fn list(
        &self,
        request: Request<v1::ListEnrolmentsRequest>,
    ) -> Answer<v1::ListEnrolmentsResponse> {
        let caller = self.caller(&request)?;
        self.0.list_enrolments(&caller, request.get_ref()).map(tonic::Response::new).map_err(status)
    }

    async fn remove(
        &self,
        request: Request<v1::RemoveEnrolmentRequest>,
    ) -> Answer<v1::RemoveEnrolmentResponse> {
        let caller = self.caller(&request)?;
        let removed = self.0.remove_enrolment(&caller, request.into_inner()).await;
        removed.map(tonic::Response::new).map_err(status)
    }

    async fn provision(
        &self,
        request: Request<v1::ProvisionRequest>,
    ) -> Answer<v1::ProvisionResponse> {
        let peer = request.extensions().get::<Peer>();
        let shown = peer.map(|peer| Arc::clone(&peer.shown)).unwrap_or_default();
        let got = self.0.provision(request.into_inner(), &shown).await;
        got.map(tonic::Response::new).map_err(|fault| {
            if let AccessFault::Rejected(rejection) = &fault {
                self.0.metrics.rejections_total.of(reason(rejection)).inc();
            }
            status(fault)
        })
    }
}
