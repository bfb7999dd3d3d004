//! Who is in a group, and putting devices in and taking them out: a call to each of their twins, as any other.

use futures_util::{StreamExt, stream};
use pollux_proto::{convert, status, v1};
use pollux_twin::input::Request;
use pollux_twin::registration::RegistryRequest;
use pollux_twin::{Rejection, TwinKey};

use super::access::{AccessFault, Answer};
use super::desk::Desk;
use super::fleet::{known_group, tenant};
use super::limits::{CALL_TIME_MAX, MEMBERS_AT_ONCE, MEMBERS_CHANGED_MAX};
use crate::access::Caller;
use crate::router::Call;

/// What becomes of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// They are put in.
    In,
    /// They are taken out.
    Out,
}

impl Desk {
    /// Puts devices in a group, or takes them out. Each is done or refused for itself.
    pub(super) async fn change_members(
        &self,
        caller: &Caller,
        asked: v1::ChangeMembersRequest,
        way: Move,
    ) -> Answer<v1::ChangeMembersResponse> {
        let v1::ChangeMembersRequest { tenant, name, devices } = asked;
        if devices.len() > MEMBERS_CHANGED_MAX {
            let max = u32::try_from(MEMBERS_CHANGED_MAX).unwrap_or(u32::MAX);
            return Err(Rejection::TooMany { what: "devices in one call".into(), max }.into());
        }
        known_group(&self.control.meta().fleet, &self::tenant(&tenant)?, &name)?;
        let one = |device: String| {
            let (tenant, group) = (tenant.clone(), name.clone());
            async move {
                let moved = self.move_one(caller, &tenant, &device, group, way).await;
                moved.map_err(|rejection| v1::MemberRefusal {
                    device,
                    reason: status::row(&rejection).reason.to_owned(),
                    message: status::message(&rejection),
                })
            }
        };
        let mut moving = stream::iter(devices).map(one).buffered(MEMBERS_AT_ONCE);
        let mut answer = v1::ChangeMembersResponse::default();
        while let Some(moved) = moving.next().await {
            match moved {
                Ok(()) => answer.done += 1,
                Err(refusal) => answer.refused.push(refusal),
            }
        }
        Ok(answer)
    }

    async fn move_one(
        &self,
        caller: &Caller,
        tenant: &str,
        device: &str,
        group: String,
        way: Move,
    ) -> Result<(), Rejection> {
        let key = convert::key(tenant, device)?;
        let asked = match way {
            Move::In => RegistryRequest::Join { group },
            Move::Out => RegistryRequest::Leave { group },
        };
        let (by, request) = (caller.name.to_string(), Request::Registry(Box::new(asked)));
        let call = Call { key, caller: by, idempotency_key: None, request, timeout: CALL_TIME_MAX };
        self.call(caller, call).await.map(drop)
    }

    /// The devices of a group, by their names.
    pub(super) async fn members(
        &self,
        caller: &Caller,
        asked: v1::MembersRequest,
    ) -> Answer<v1::MembersResponse> {
        let v1::MembersRequest { tenant, name, limit, cursor } = asked;
        let group = v1::GetGroupRequest { tenant: tenant.clone(), name: name.clone() };
        self.get_group(caller, &group)?;
        let filter = format!("group(\"{name}\")");
        let query = v1::QueryRequest { tenant, filter, limit, cursor, ..Default::default() };
        let found = self.query(caller, &query).await?;
        let cursor = found.next_cursor(&query);
        let device = |key: &str| TwinKey::parse(key).map(|key| key.device().to_owned()).ok();
        let devices = found.part.rows.iter().filter_map(|row| device(&row.key)).collect();
        Ok(v1::MembersResponse { devices, cursor })
    }

    /// Refuses to forget a group that devices are in: they would be in a later one of its name.
    pub(super) async fn must_be_empty(
        &self,
        caller: &Caller,
        tenant: &str,
        name: &str,
    ) -> Result<(), AccessFault> {
        let query = v1::QueryRequest {
            tenant: tenant.to_owned(),
            filter: pollux_query::put_in(name),
            count: true,
            ..Default::default()
        };
        match self.query(caller, &query).await?.part.matched {
            0 => Ok(()),
            1 => Err(AccessFault::Refused(format!(
                "a device is in group {name:?}: take it out first"
            ))),
            many => Err(AccessFault::Refused(format!(
                "{many} devices are in group {name:?}: take them out first"
            ))),
        }
    }
}
