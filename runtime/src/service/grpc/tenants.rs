//! `pollux.v1.Tenants`: what tenants may have and what they use.

use pollux_proto::v1;
use pollux_proto::v1::tenants_server::Tenants;
use tonic::{Request, Response};

use super::access::status;
use super::fleet::{Answer, FleetDoor};

#[tonic::async_trait]
impl Tenants for FleetDoor {
    async fn list(
        &self,
        request: Request<v1::ListTenantsRequest>,
    ) -> Answer<v1::ListTenantsResponse> {
        let caller = self.caller(&request)?;
        self.0.list_tenants(&caller).await.map(Response::new).map_err(status)
    }

    async fn get(&self, request: Request<v1::GetTenantRequest>) -> Answer<v1::Tenant> {
        let caller = self.caller(&request)?;
        let got = self.0.get_tenant(&caller, &request.get_ref().tenant).await;
        got.map(Response::new).map_err(status)
    }

    async fn limit(&self, request: Request<v1::LimitTenantRequest>) -> Answer<v1::Tenant> {
        let caller = self.caller(&request)?;
        let limited = self.0.limit_tenant(&caller, request.into_inner()).await;
        limited.map(Response::new).map_err(status)
    }
}
