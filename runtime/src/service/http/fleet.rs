//! Types and groups over HTTP: `pollux.v1.Types` and `pollux.v1.Groups` as JSON.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use pollux_proto::{convert, v1};
use pollux_twin::value::Object;
use pollux_twin::{JsonLimits, Value};

use super::super::members::Move;
use super::devices::{no_more, object as members, text};
use super::incoming::{Form, Incoming};
use super::problem::Problem;
use super::{json, object};

/// What is asked of types and groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    ListTypes,
    PutType,
    GetType,
    RemoveType,
    ListGroups,
    PutGroup,
    GetGroup,
    RemoveGroup,
    ListMembers,
    AddMembers,
    TakeOutMembers,
}

type Answer = Result<Response<Body>, Problem>;

/// Carries out a call.
pub(super) async fn call(call: Call, incoming: Incoming, body: Body) -> Answer {
    let arguments = incoming.arguments(match call {
        Call::ListMembers => &["limit", "cursor"],
        _ => &[],
    })?;
    let caller = incoming.caller()?.clone();
    let (desk, name) = (incoming.desk.clone(), incoming.name().to_owned());
    let tenant = incoming.tenant().to_owned();
    match call {
        Call::ListTypes => {
            let listed = desk.list_types(&caller, &v1::ListTypesRequest { tenant })?;
            let types: Vec<_> = listed.types.iter().map(convert::type_json).collect();
            Ok(json(StatusCode::OK, &object([("types", types.into())])))
        }
        Call::PutType => {
            let asked = put_type(&incoming, tenant, name, body).await?;
            done(&convert::type_json(&desk.put_type(&caller, asked).await?))
        }
        Call::GetType => {
            let one = desk.get_type(&caller, &v1::GetTypeRequest { tenant, name })?;
            done(&convert::type_json(&one))
        }
        Call::RemoveType => {
            desk.remove_type(&caller, v1::RemoveTypeRequest { tenant, name }).await?;
            done(&object([("done", Value::Bool(true))]))
        }
        Call::ListGroups => {
            let listed = desk.list_groups(&caller, &v1::ListGroupsRequest { tenant })?;
            let groups: Vec<_> = listed.groups.iter().map(convert::group_json).collect();
            Ok(json(StatusCode::OK, &object([("groups", groups.into())])))
        }
        Call::PutGroup => {
            let mut asked = members(incoming.json(body, Form::Json).await?)?;
            let filter = text(&mut asked, "filter")?.unwrap_or_default();
            let note = text(&mut asked, "note")?.unwrap_or_default();
            no_more(&asked, "a group", "filter and note")?;
            let asked = v1::PutGroupRequest { tenant, name, filter, note };
            done(&convert::group_json(&desk.put_group(&caller, asked).await?))
        }
        Call::GetGroup => {
            let one = desk.get_group(&caller, &v1::GetGroupRequest { tenant, name })?;
            done(&convert::group_json(&one))
        }
        Call::RemoveGroup => {
            desk.remove_group(&caller, v1::RemoveGroupRequest { tenant, name }).await?;
            done(&object([("done", Value::Bool(true))]))
        }
        Call::ListMembers => {
            let limit = arguments.number("limit")?.unwrap_or(0);
            let limit = u32::try_from(limit).unwrap_or(u32::MAX);
            let cursor = arguments.text("cursor").unwrap_or_default().to_owned();
            let asked = v1::MembersRequest { tenant, name, limit, cursor };
            let found = desk.members(&caller, asked).await?;
            let next = match found.cursor {
                cursor if cursor.is_empty() => Value::Null,
                cursor => cursor.into(),
            };
            let devices = found.devices.into_iter().map(Value::String).collect::<Vec<_>>();
            done(&object([("devices", devices.into()), ("next_cursor", next)]))
        }
        Call::AddMembers | Call::TakeOutMembers => {
            let way = if call == Call::AddMembers { Move::In } else { Move::Out };
            let mut asked = members(incoming.json(body, Form::Json).await?)?;
            let devices = devices(&mut asked)?;
            no_more(&asked, "this call", "devices")?;
            let asked = v1::ChangeMembersRequest { tenant, name, devices };
            done(&convert::moved_json(&desk.change_members(&caller, asked, way).await?))
        }
    }
}

fn done(body: &Value) -> Answer {
    Ok(json(StatusCode::OK, body))
}

/// `{"schemas": {…}, "note": …}`: schemas nest deeper than what twins hold.
async fn put_type(
    incoming: &Incoming,
    tenant: String,
    name: String,
    body: Body,
) -> Result<v1::PutTypeRequest, Problem> {
    let limits = JsonLimits {
        bytes_max: incoming.desk.json.bytes_max,
        depth_max: pollux_query::SCHEMAS_DEPTH_MAX + 1,
    };
    let mut asked = members(incoming.json_within(body, Form::Json, limits).await?)?;
    let schemas_json = match asked.remove("schemas") {
        None => String::new(),
        Some(schemas) => schemas.to_json(),
    };
    let note = text(&mut asked, "note")?.unwrap_or_default();
    no_more(&asked, "a type", "schemas and note")?;
    Ok(v1::PutTypeRequest { tenant, name, schemas_json, note })
}

fn devices(asked: &mut Object) -> Result<Vec<String>, Problem> {
    let wrong = || Problem::invalid("body: devices takes an array of names");
    let name = |item| match item {
        Value::String(name) => Ok(name),
        _ => Err(wrong()),
    };
    match asked.remove("devices") {
        Some(Value::Array(all)) => all.into_iter().map(name).collect(),
        _ => Err(wrong()),
    }
}
