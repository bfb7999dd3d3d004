//! `pollux.v1.Access`: who may do what.

use pollux_proto::status::to_status;
use pollux_proto::v1;
use pollux_proto::v1::access_server::Access;
use tonic::{Request, Response, Status};

use super::super::access::AccessFault;
use super::super::desk::{Desk, reason};
use super::{caller, cluster};
use crate::access::Caller;

/// The service over what both doors share.
#[derive(Clone)]
pub(super) struct AccessDoor(pub(super) Desk);

type Answer<T> = Result<Response<T>, Status>;

impl AccessDoor {
    fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        caller(&self.0, request).map_err(|rejection| {
            self.0.metrics.rejections_total.of(reason(&rejection)).inc();
            to_status(&rejection)
        })
    }
}

pub(super) fn status(fault: AccessFault) -> Status {
    match fault {
        AccessFault::Rejected(rejection) => to_status(&rejection),
        AccessFault::NotFound(what) => Status::not_found(what),
        AccessFault::Refused(what) => Status::failed_precondition(what),
        AccessFault::TooLarge(what) => Status::invalid_argument(what),
        AccessFault::NoSpace(what) => Status::resource_exhausted(what),
        AccessFault::Control(fault) => cluster::status(fault),
    }
}

#[tonic::async_trait]
impl Access for AccessDoor {
    async fn who_am_i(&self, request: Request<v1::WhoAmIRequest>) -> Answer<v1::WhoAmIResponse> {
        let caller = self.caller(&request)?;
        Ok(Response::new(self.0.who_am_i(&caller)))
    }

    async fn put_principal(
        &self,
        request: Request<v1::PutPrincipalRequest>,
    ) -> Answer<v1::PutPrincipalResponse> {
        let caller = self.caller(&request)?;
        let put = self.0.put_principal(&caller, request.into_inner().principal).await;
        put.map(|()| Response::new(v1::PutPrincipalResponse {})).map_err(status)
    }

    async fn remove_principal(
        &self,
        request: Request<v1::RemovePrincipalRequest>,
    ) -> Answer<v1::RemovePrincipalResponse> {
        let caller = self.caller(&request)?;
        let removed = self.0.remove_principal(&caller, request.into_inner().name).await;
        removed.map(|()| Response::new(v1::RemovePrincipalResponse {})).map_err(status)
    }

    async fn list_principals(
        &self,
        request: Request<v1::ListPrincipalsRequest>,
    ) -> Answer<v1::ListPrincipalsResponse> {
        let caller = self.caller(&request)?;
        self.0.list_principals(&caller).map(Response::new).map_err(status)
    }

    async fn issue_token(
        &self,
        request: Request<v1::IssueTokenRequest>,
    ) -> Answer<v1::IssueTokenResponse> {
        let caller = self.caller(&request)?;
        let issued = self.0.issue_token(&caller, request.into_inner()).await;
        issued.map(Response::new).map_err(status)
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Answer<v1::RevokeTokenResponse> {
        let caller = self.caller(&request)?;
        let revoked = self.0.revoke_token(&caller, request.into_inner().id).await;
        revoked.map(|()| Response::new(v1::RevokeTokenResponse {})).map_err(status)
    }

    async fn put_policy(
        &self,
        request: Request<v1::PutPolicyRequest>,
    ) -> Answer<v1::PutPolicyResponse> {
        let caller = self.caller(&request)?;
        let put = self.0.put_policy(&caller, request.into_inner().policy).await;
        put.map(|()| Response::new(v1::PutPolicyResponse {})).map_err(status)
    }

    async fn remove_policy(
        &self,
        request: Request<v1::RemovePolicyRequest>,
    ) -> Answer<v1::RemovePolicyResponse> {
        let caller = self.caller(&request)?;
        let removed = self.0.remove_policy(&caller, request.into_inner().name).await;
        removed.map(|()| Response::new(v1::RemovePolicyResponse {})).map_err(status)
    }

    async fn list_policies(
        &self,
        request: Request<v1::ListPoliciesRequest>,
    ) -> Answer<v1::ListPoliciesResponse> {
        let caller = self.caller(&request)?;
        self.0.list_policies(&caller).map(Response::new).map_err(status)
    }

    async fn check(&self, request: Request<v1::CheckRequest>) -> Answer<v1::CheckResponse> {
        let caller = self.caller(&request)?;
        self.0.check(&caller, request.get_ref()).await.map(Response::new).map_err(status)
    }

    async fn audit(&self, request: Request<v1::AuditRequest>) -> Answer<v1::AuditResponse> {
        let caller = self.caller(&request)?;
        self.0.audit(&caller, request.get_ref()).map(Response::new).map_err(status)
    }
}
