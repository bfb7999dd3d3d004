//! The registry over HTTP.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use pollux_proto::{convert, v1};
use pollux_twin::input::Request;
use pollux_twin::limits::{CREDENTIALS_MAX, GROUPS_MAX};
use pollux_twin::registration::{OfType, Proof, RegistryRequest};
use pollux_twin::value::Object;
use pollux_twin::{Rejection, Time, Value};

use super::incoming::{Form, Incoming};
use super::problem::Problem;
use super::{json, page, unexpected};

/// A credential as a call gives it.
type Given = (String, Proof, Option<Time>);

/// An entry as it is.
pub(super) async fn get(incoming: Incoming) -> Result<Response<Body>, Problem> {
    answer(&incoming, RegistryRequest::Get).await
}

/// Registers a device: `{"tags": …, "desired": …, "credentials": […], "type": …, "groups": […]}`, all of which may be left out.
pub(super) async fn register(incoming: Incoming, body: Body) -> Result<Response<Body>, Problem> {
    let mut members = object(incoming.json(body, Form::Json).await?)?;
    let credentials = match members.remove("credentials") {
        None => Vec::new(),
        Some(Value::Array(all)) if all.len() <= CREDENTIALS_MAX => {
            all.into_iter().map(named).collect::<Result<_, _>>()?
        }
        Some(_) => {
            let detail = format!("body: credentials takes an array of at most {CREDENTIALS_MAX}");
            return Err(Problem::invalid(detail));
        }
    };
    let (tags, desired) = (members.remove("tags"), members.remove("desired"));
    let of_type = of_type(&mut members)?;
    let groups = groups(&mut members)?;
    no_more(&members, "a device", "tags, desired, credentials, type and groups")?;
    let asked = RegistryRequest::Register { tags, desired, credentials, of_type, groups };
    answer(&incoming, asked).await
}

/// The type that the device shall have: a name, or null for none any more.
fn of_type(members: &mut Object) -> Result<Option<OfType>, Problem> {
    if members.get("type") == Some(&Value::Null) {
        members.remove("type");
        return Ok(Some(OfType::default()));
    }
    let name = text(members, "type")?;
    Ok(name.map(|name| OfType { name, version: 0 }))
}

pub(super) fn groups(members: &mut Object) -> Result<Vec<String>, Problem> {
    let wrong =
        || Problem::invalid(format!("body: groups takes an array of at most {GROUPS_MAX} names"));
    let name = |item| match item {
        Value::String(name) => Ok(name),
        _ => Err(wrong()),
    };
    match members.remove("groups") {
        None => Ok(Vec::new()),
        Some(Value::Array(all)) if all.len() <= GROUPS_MAX => all.into_iter().map(name).collect(),
        Some(_) => Err(wrong()),
    }
}

/// The device may not come: `{"reason": …}`.
pub(super) async fn disable(incoming: Incoming, body: Body) -> Result<Response<Body>, Problem> {
    let mut members = object(incoming.json(body, Form::Json).await?)?;
    let reason = text(&mut members, "reason")?.unwrap_or_default();
    no_more(&members, "this call", "reason")?;
    answer(&incoming, RegistryRequest::Disable { reason }).await
}

/// The device may come again.
pub(super) async fn enable(incoming: Incoming) -> Result<Response<Body>, Problem> {
    answer(&incoming, RegistryRequest::Enable).await
}

/// Brings back what the deleted twin held.
pub(super) async fn restore(incoming: Incoming) -> Result<Response<Body>, Problem> {
    answer(&incoming, RegistryRequest::Restore).await
}

/// A page of those that were deleted and can be brought back.
pub(super) async fn list_deleted(incoming: Incoming) -> Result<Response<Body>, Problem> {
    let arguments = incoming.arguments(&["prefix", "page_size", "page_token"])?;
    let text_of = |name| arguments.text(name).unwrap_or_default().to_owned();
    let asked = v1::ListDeletedRequest {
        tenant: incoming.tenant().to_owned(),
        prefix: text_of("prefix"),
        page_size: arguments.page_size()?,
        page_token: text_of("page_token"),
    };
    let found = incoming.desk.list_deleted(incoming.caller()?, &asked).await?;
    let devices: Vec<_> = found.devices.iter().map(convert::deleted_device_json).collect();
    Ok(json(StatusCode::OK, &page("devices", devices, found.next_page_token)))
}

/// Gives the credential in the path: `{"token_sha256" or "certificate_sha256": …, "expires_at_ms": …}`.
pub(super) async fn give_credential(
    incoming: Incoming,
    body: Body,
) -> Result<Response<Body>, Problem> {
    let members = object(incoming.json(body, Form::Json).await?)?;
    let name = incoming.name().to_owned();
    let (name, proof, expires) = credential(name, members)?;
    answer(&incoming, RegistryRequest::Give { name, proof, expires }).await
}

/// Takes the credential in the path away.
pub(super) async fn revoke_credential(incoming: Incoming) -> Result<Response<Body>, Problem> {
    let name = incoming.name().to_owned();
    answer(&incoming, RegistryRequest::Revoke { name }).await
}

async fn answer(incoming: &Incoming, asked: RegistryRequest) -> Result<Response<Body>, Problem> {
    incoming.arguments(&[])?;
    let key = incoming.key()?;
    let answer = incoming.call(key.clone(), Request::Registry(Box::new(asked))).await?;
    let device = convert::registered(&key, answer).map_err(|other| unexpected(&other))?;
    Ok(json(StatusCode::OK, &convert::device_json(&device)))
}

fn named(given: Value) -> Result<Given, Problem> {
    let mut members = object(given)?;
    let Some(name) = text(&mut members, "name")? else {
        return Err(Problem::invalid("body: a credential needs a name"));
    };
    credential(name, members)
}

fn credential(name: String, mut members: Object) -> Result<Given, Problem> {
    let mut digest = |field| match text(&mut members, field)? {
        Some(text) => convert::digest(field, &text).map(Some).map_err(Problem::from),
        None => Ok(None),
    };
    let (token, certificate) = (digest("token_sha256")?, digest("certificate_sha256")?);
    let proof = match (token, certificate) {
        (Some(token), None) => Proof::Token(token),
        (None, Some(certificate)) => Proof::Certificate(certificate),
        _ => {
            let detail = "body: a credential takes either token_sha256 or certificate_sha256";
            return Err(Problem::invalid(detail));
        }
    };
    let expires = match members.remove("expires_at_ms") {
        None => None,
        Some(Value::Int(ms)) if ms > 0 => Some(Time::from_ms(ms.unsigned_abs())),
        Some(_) => {
            let detail = "body: expires_at_ms takes milliseconds since 1970, a whole number";
            return Err(Problem::invalid(detail));
        }
    };
    no_more(&members, "a credential", "a hash and expires_at_ms")?;
    Ok((name, proof, expires))
}

pub(super) fn object(body: Value) -> Result<Object, Problem> {
    match body {
        Value::Object(members) => Ok(members),
        _ => Err(Rejection::NotAnObject.into()),
    }
}

pub(super) fn text(members: &mut Object, name: &str) -> Result<Option<String>, Problem> {
    match members.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Problem::invalid(format!("body: {name} takes a string"))),
    }
}

pub(super) fn flag(members: &mut Object, name: &str) -> Result<bool, Problem> {
    match members.remove(name) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(flag),
        Some(_) => Err(Problem::invalid(format!("body: {name} takes true or false"))),
    }
}

pub(super) fn no_more(members: &Object, whose: &str, right: &str) -> Result<(), Problem> {
    match members.keys().next() {
        None => Ok(()),
        Some(name) => {
            let detail = format!("body: {whose} has no member {name:?}; it takes {right}");
            Err(Problem::invalid(detail))
        }
    }
}
