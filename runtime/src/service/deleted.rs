//! What was deleted and can be brought back, as both doors list it.

use pollux_cluster::access::Action;
use pollux_cluster::meta::ARTIFACTS_LEVEL;
use pollux_proto::convert::{self, Page};
use pollux_proto::v1;
use pollux_twin::Rejection;

use super::desk::Desk;
use crate::access::Caller;
use crate::router::Scope;

impl Desk {
    /// A page of it.
    pub(super) async fn list_deleted(
        &self,
        caller: &Caller,
        asked: &v1::ListDeletedRequest,
    ) -> Result<v1::ListDeletedResponse, Rejection> {
        let page = convert::list_deleted(asked)?;
        let tenant = page.tenant.as_str().to_owned();
        let scope = Scope::Prefix { tenant, prefix: page.prefix.clone() };
        self.doorman.check_scope(caller, Action::TwinRead, &scope)?;
        let router = self.router_for(caller);
        // Nodes of a level below do not tell each other of it.
        router.must_have(ARTIFACTS_LEVEL)?;
        let stand = self.stand(&scope, &page.fresh, None).await?;
        let reached = &stand.position.shards;
        let (found, next) =
            router.restorable(&scope, page.after.as_ref(), page.size, reached).await?;
        let devices =
            found.into_iter().map(|(key, found)| convert::deleted_device(&key, found)).collect();
        let next_page_token = next.as_ref().map(Page::token_after).unwrap_or_default();
        Ok(v1::ListDeletedResponse { devices, next_page_token })
    }
}
