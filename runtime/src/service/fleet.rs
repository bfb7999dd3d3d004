//! Device types and groups, as both doors have them done: what is asked is read here, and what the cluster agrees on
//! is told.

use pollux_cluster::access::{Action, Change as Ordered, On};
use pollux_cluster::fleet::{self, Change, DeviceType, Fleet, Group};
use pollux_proto::v1;
use pollux_query::{ExpressionError, Filter, Schemas};
use pollux_twin::Rejection;
use pollux_twin::id::{DEFAULT_TENANT, TenantId};
use pollux_twin::input::Request;
use pollux_twin::registration::{OfType, RegistryRequest};

use super::access::{AccessFault, Answer};
use super::desk::Desk;
use crate::access::Caller;
use crate::cluster::ControlFault;
use crate::router::Call;

fn invalid(reason: impl ToString) -> AccessFault {
    AccessFault::Rejected(Rejection::Invalid { reason: reason.to_string() })
}

/// The tenant that a call names; none is the default one.
pub(super) fn tenant(given: &str) -> Result<String, Rejection> {
    let wrong = |error| Rejection::Invalid { reason: format!("tenant: {error}") };
    let given = if given.is_empty() { DEFAULT_TENANT } else { given };
    TenantId::parse(given).map(|tenant| tenant.as_str().to_owned()).map_err(wrong)
}

impl Desk {
    /// Adds a type, or changes it.
    pub(super) async fn put_type(
        &self,
        caller: &Caller,
        asked: v1::PutTypeRequest,
    ) -> Answer<v1::DeviceType> {
        let v1::PutTypeRequest { tenant: given, name, schemas_json, note } = asked;
        let tenant = self.may_manage(caller, &given)?;
        let schemas = if schemas_json.is_empty() { "{}".to_owned() } else { schemas_json };
        // It may take a moment, as long as the schemas are; whoever else is served here goes on.
        let compiled = tokio::task::spawn_blocking(move || {
            let compiled = Schemas::compile(&schemas).map(drop);
            compiled.map(|()| schemas)
        });
        let compiled = compiled.await.map_err(|error| ControlFault::NoAnswer(error.to_string()))?;
        let schemas = compiled.map_err(|error| invalid(format!("schemas: {error}")))?;
        let put = Change::PutType { tenant: tenant.clone(), name: name.clone(), schemas, note };
        self.change_fleet(caller, put).await?;
        self.control.types_count().await;
        self.one_type(&tenant, &name)
    }

    /// One type.
    pub(super) fn get_type(
        &self,
        caller: &Caller,
        asked: &v1::GetTypeRequest,
    ) -> Answer<v1::DeviceType> {
        let tenant = self.may_read(caller, &asked.tenant)?;
        self.one_type(&tenant, &asked.name)
    }

    fn one_type(&self, tenant: &str, name: &str) -> Answer<v1::DeviceType> {
        let meta = self.control.meta();
        let known = meta.fleet.device_type(tenant, name).and_then(|one| type_of(tenant, name, one));
        known.ok_or_else(|| Rejection::UnknownType { name: name.to_owned() }.into())
    }

    /// All types of a tenant.
    pub(super) fn list_types(
        &self,
        caller: &Caller,
        asked: &v1::ListTypesRequest,
    ) -> Answer<v1::ListTypesResponse> {
        let tenant = self.may_read(caller, &asked.tenant)?;
        let meta = self.control.meta();
        let all = fleet::of(&meta.fleet.types, &tenant);
        let types = all.filter_map(|(name, one)| type_of(&tenant, name, one)).collect();
        Ok(v1::ListTypesResponse { types })
    }

    /// Takes a type away.
    pub(super) async fn remove_type(
        &self,
        caller: &Caller,
        asked: v1::RemoveTypeRequest,
    ) -> Answer<v1::RemoveTypeResponse> {
        let tenant = self.may_manage(caller, &asked.tenant)?;
        let name = asked.name;
        self.one_type(&tenant, &name)?;
        self.change_fleet(caller, Change::RemoveType { tenant, name }).await?;
        self.control.types_count().await;
        Ok(v1::RemoveTypeResponse {})
    }

    /// Adds a group, or changes it.
    pub(super) async fn put_group(
        &self,
        caller: &Caller,
        asked: v1::PutGroupRequest,
    ) -> Answer<v1::Group> {
        let v1::PutGroupRequest { tenant: given, name, filter, note } = asked;
        let tenant = self.may_manage(caller, &given)?;
        if !filter.is_empty() {
            Filter::parse(&filter).map_err(|error| wrong_filter(&error))?;
            // As it stands in a filter that names the group.
            let named = pollux_query::write_out("group(\"it\")", |_| Ok(filter.clone()));
            named.and_then(|named| Filter::parse(&named)).map_err(|error| wrong_filter(&error))?;
        }
        let put = Change::PutGroup { tenant: tenant.clone(), name: name.clone(), filter, note };
        self.change_fleet(caller, put).await?;
        self.one_group(&tenant, &name)
    }

    /// One group.
    pub(super) fn get_group(
        &self,
        caller: &Caller,
        asked: &v1::GetGroupRequest,
    ) -> Answer<v1::Group> {
        let tenant = self.may_read(caller, &asked.tenant)?;
        self.one_group(&tenant, &asked.name)
    }

    fn one_group(&self, tenant: &str, name: &str) -> Answer<v1::Group> {
        let meta = self.control.meta();
        let known = meta.fleet.group(tenant, name).map(|one| group_of(tenant, name, one));
        known.ok_or_else(|| no_group(name))
    }

    /// All groups of a tenant.
    pub(super) fn list_groups(
        &self,
        caller: &Caller,
        asked: &v1::ListGroupsRequest,
    ) -> Answer<v1::ListGroupsResponse> {
        let tenant = self.may_read(caller, &asked.tenant)?;
        let meta = self.control.meta();
        let all = fleet::of(&meta.fleet.groups, &tenant);
        let groups = all.map(|(name, one)| group_of(&tenant, name, one)).collect();
        Ok(v1::ListGroupsResponse { groups })
    }

    /// Takes a group away. Devices that are in one that they were put in stand in the way.
    pub(super) async fn remove_group(
        &self,
        caller: &Caller,
        asked: v1::RemoveGroupRequest,
    ) -> Answer<v1::RemoveGroupResponse> {
        let tenant = self.may_manage(caller, &asked.tenant)?;
        let name = asked.name;
        if self.one_group(&tenant, &name)?.filter.is_empty() {
            self.must_be_empty(caller, &tenant, &name).await?;
        }
        self.change_fleet(caller, Change::RemoveGroup { tenant, name }).await?;
        Ok(v1::RemoveGroupResponse {})
    }

    /// A filter with what the groups in it stand for.
    pub(super) fn with_groups(&self, tenant: &str, filter: &str) -> Result<String, Rejection> {
        if !filter.contains("group") {
            return Ok(filter.to_owned());
        }
        let meta = self.control.meta();
        let named = |name: &str| match meta.fleet.group(tenant, name) {
            Some(known) if known.filter.is_empty() => Ok(pollux_query::put_in(name)),
            Some(known) => Ok(known.filter.clone()),
            None => Err(format!(
                "there is no group {name:?}; `pollux group list` shows those there are"
            )),
        };
        pollux_query::write_out(filter, named).map_err(|error| wrong_filter(&error))
    }

    /// A filter that is asked of twins as they change, if one is given.
    pub(super) fn filter_of_changes(
        &self,
        tenant: &str,
        filter: &str,
    ) -> Result<Option<Filter>, Rejection> {
        filter_of(&self.with_groups(tenant, filter)?)
    }

    /// What a call to the registry names has to be there; the type counts in the version that is known here, or a
    /// later one.
    pub(super) fn name_in(&self, call: &mut Call) -> Result<(), Rejection> {
        let Request::Registry(asked) = &mut call.request else { return Ok(()) };
        let meta = self.control.meta();
        let tenant = call.key.tenant();
        match &mut **asked {
            RegistryRequest::Register { of_type, groups, .. }
            | RegistryRequest::Enrol { of_type, groups, .. } => {
                let named = of_type.as_mut().filter(|asked| !asked.name.is_empty());
                named.map_or(Ok(()), |asked| known_type(&meta.fleet, tenant, asked))?;
                groups.iter().try_for_each(|group| known_group(&meta.fleet, tenant, group))
            }
            RegistryRequest::Join { group } => known_group(&meta.fleet, tenant, group),
            _ => Ok(()),
        }
    }

    /// Whether the caller may change what is agreed on about a tenant's devices.
    pub(super) fn may_manage(&self, caller: &Caller, given: &str) -> Answer<String> {
        self.may_on_all(caller, Action::DeviceManage, given)
    }

    fn may_read(&self, caller: &Caller, given: &str) -> Answer<String> {
        self.may_on_all(caller, Action::TwinRead, given)
    }

    pub(super) fn may_on_all(
        &self,
        caller: &Caller,
        action: Action,
        given: &str,
    ) -> Answer<String> {
        let tenant = tenant(given)?;
        self.doorman.check(caller, action, On::Fleet { tenant: &tenant, prefix: "" })?;
        Ok(tenant)
    }

    pub(super) async fn change_fleet(&self, caller: &Caller, change: Change) -> Answer<()> {
        Ok(self.control.change_access(caller, Ordered::Fleet(Box::new(change))).await?)
    }
}

/// A filter that is asked of twins as they change, where one is given.
pub(super) fn filter_of(filter: &str) -> Result<Option<Filter>, Rejection> {
    if filter.is_empty() {
        return Ok(None);
    }
    Filter::parse_for_changes(filter).map(Some).map_err(|error| wrong_filter(&error))
}

fn wrong_filter(error: &ExpressionError) -> Rejection {
    Rejection::Invalid { reason: format!("filter: {error}") }
}

pub(super) fn known_type(fleet: &Fleet, tenant: &str, asked: &mut OfType) -> Result<(), Rejection> {
    let known = fleet.device_type(tenant, &asked.name).filter(|known| known.schemas.is_some());
    let unknown = || Rejection::UnknownType { name: asked.name.clone() };
    asked.version = known.ok_or_else(unknown)?.version;
    Ok(())
}

/// Whether devices are put in a group of this name.
pub(super) fn known_group(fleet: &Fleet, tenant: &str, name: &str) -> Result<(), Rejection> {
    match fleet.group(tenant, name) {
        Some(known) if known.filter.is_empty() => Ok(()),
        Some(_) => {
            let reason =
                format!("which devices are in group {name:?} its filter says; none is put in");
            Err(Rejection::Invalid { reason })
        }
        None => Err(Rejection::UnknownGroup { name: name.to_owned() }),
    }
}

fn no_group(name: &str) -> AccessFault {
    AccessFault::NotFound(format!(
        "there is no group {name:?}; `pollux group list` shows those there are"
    ))
}

fn type_of(tenant: &str, name: &str, one: &DeviceType) -> Option<v1::DeviceType> {
    Some(v1::DeviceType {
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        version: one.version,
        schemas_json: one.schemas.clone()?,
        note: one.note.clone(),
        at_ms: one.at_ms,
        by: one.by.clone(),
    })
}

fn group_of(tenant: &str, name: &str, one: &Group) -> v1::Group {
    v1::Group {
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        filter: one.filter.clone(),
        note: one.note.clone(),
        at_ms: one.at_ms,
        by: one.by.clone(),
    }
}
