//! What tenants may have and what they use, as both doors have it told and changed.

use pollux_cluster::access::{Action, Change as Ordered, On};
use pollux_cluster::fleet::{self, Change, TenantLimits};
use pollux_proto::v1;
use pollux_twin::Rejection;

use super::access::Answer;
use super::desk::Desk;
use super::fleet::tenant;
use crate::access::Caller;
use crate::tenants::Used;

impl Desk {
    /// The tenants that have limits.
    pub(super) async fn list_tenants(&self, caller: &Caller) -> Answer<v1::ListTenantsResponse> {
        self.doorman.check(caller, Action::ClusterRead, On::Cluster)?;
        let meta = self.control.meta();
        let names: Vec<String> = meta.fleet.tenants.keys().cloned().collect();
        let (uses, silent) = self.control.used(&names).await;
        let tenants = names.into_iter().map(|name| {
            let known = meta.fleet.tenants.get(&name);
            let used = uses.get(&name).copied().unwrap_or_default();
            shown(name, known, (used, silent.clone()))
        });
        Ok(v1::ListTenantsResponse { tenants: tenants.collect() })
    }

    /// One tenant.
    pub(super) async fn get_tenant(&self, caller: &Caller, given: &str) -> Answer<v1::Tenant> {
        let name = self.may_on_all(caller, Action::TwinRead, given)?;
        Ok(self.one_tenant(name).await)
    }

    /// Says what a tenant may have.
    pub(super) async fn limit_tenant(
        &self,
        caller: &Caller,
        asked: v1::LimitTenantRequest,
    ) -> Answer<v1::Tenant> {
        let name = tenant(&asked.tenant)?;
        self.doorman.check(caller, Action::TenantLimit, On::Cluster)?;
        if name == crate::own::RESERVED {
            let reason = format!("tenant {name} is Pollux's own: it has no limits");
            return Err(Rejection::Invalid { reason }.into());
        }
        let limits = asked.limits.unwrap_or_default();
        let rates =
            [("messages_per_s", limits.messages_per_s), ("writes_per_s", limits.writes_per_s)];
        if let Some((what, _)) = rates.iter().find(|(_, rate)| *rate == Some(0)) {
            let reason = format!(
                "{what}: it takes 1 or more; to let nothing in, disable the devices or take away \
                                  who may write"
            );
            return Err(Rejection::Invalid { reason }.into());
        }
        let limits = TenantLimits {
            devices: limits.devices,
            messages_per_s: limits.messages_per_s,
            writes_per_s: limits.writes_per_s,
            bytes: limits.bytes,
        };
        let limit = Change::LimitTenant { tenant: name.clone(), limits, note: asked.note };
        self.control.change_access(caller, Ordered::Fleet(Box::new(limit))).await?;
        Ok(self.one_tenant(name).await)
    }

    async fn one_tenant(&self, name: String) -> v1::Tenant {
        let (uses, silent) = self.control.used(std::slice::from_ref(&name)).await;
        let meta = self.control.meta();
        let used = uses.get(&name).copied().unwrap_or_default();
        let known = meta.fleet.tenants.get(&name);
        shown(name, known, (used, silent))
    }
}

fn shown(
    tenant: String,
    known: Option<&fleet::Tenant>,
    (used, silent_nodes): (Used, Vec<u64>),
) -> v1::Tenant {
    let limits = known.map(|known| known.limits).unwrap_or_default();
    v1::Tenant {
        tenant,
        limits: Some(v1::TenantLimits {
            devices: limits.devices,
            messages_per_s: limits.messages_per_s,
            writes_per_s: limits.writes_per_s,
            bytes: limits.bytes,
        }),
        note: known.map(|known| known.note.clone()).unwrap_or_default(),
        r#use: Some(v1::TenantUse {
            devices: used.devices,
            messages_per_s: used.messages_per_s,
            writes_per_s: used.writes_per_s,
            bytes: used.bytes,
        }),
        silent_nodes,
        at_ms: known.map_or(0, |known| known.at_ms),
        by: known.map(|known| known.by.clone()).unwrap_or_default(),
    }
}
