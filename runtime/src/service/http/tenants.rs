//! Limits of tenants over HTTP: `pollux.v1.Tenants` as JSON.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use pollux_proto::{convert, v1};
use pollux_twin::Value;
use pollux_twin::value::Object;

use super::devices::{no_more, object as members, text};
use super::incoming::{Form, Incoming};
use super::problem::Problem;
use super::{json, object};

/// What is asked of tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    ListTenants,
    GetLimits,
    PutLimits,
}

/// Carries out a call.
pub(super) async fn call(
    call: Call,
    incoming: Incoming,
    body: Body,
) -> Result<Response<Body>, Problem> {
    incoming.arguments(&[])?;
    let caller = incoming.caller()?.clone();
    let (desk, tenant) = (incoming.desk.clone(), incoming.tenant().to_owned());
    let told = match call {
        Call::ListTenants => {
            let listed = desk.list_tenants(&caller).await?;
            let all: Vec<_> = listed.tenants.iter().map(convert::tenant_json).collect();
            object([("tenants", all.into())])
        }
        Call::GetLimits => convert::tenant_json(&desk.get_tenant(&caller, &tenant).await?),
        Call::PutLimits => {
            let asked = limits(&incoming, tenant, body).await?;
            convert::tenant_json(&desk.limit_tenant(&caller, asked).await?)
        }
    };
    Ok(json(StatusCode::OK, &told))
}

/// `{"devices": …, "messages_per_s": …, "writes_per_s": …, "bytes": …, "note": …}`: what is left out, or null, is not
/// limited.
async fn limits(
    incoming: &Incoming,
    tenant: String,
    body: Body,
) -> Result<v1::LimitTenantRequest, Problem> {
    let mut asked = members(incoming.json(body, Form::Json).await?)?;
    let limits = v1::TenantLimits {
        devices: number(&mut asked, "devices")?,
        messages_per_s: number(&mut asked, "messages_per_s")?,
        writes_per_s: number(&mut asked, "writes_per_s")?,
        bytes: number(&mut asked, "bytes")?,
    };
    let note = text(&mut asked, "note")?.unwrap_or_default();
    no_more(&asked, "this call", "devices, messages_per_s, writes_per_s, bytes and note")?;
    Ok(v1::LimitTenantRequest { tenant, limits: Some(limits), note })
}

fn number(members: &mut Object, name: &str) -> Result<Option<u64>, Problem> {
    match members.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Int(number)) if number >= 0 => Ok(Some(number.unsigned_abs())),
        Some(_) => {
            let wrong =
                format!("body: {name} takes a whole number, 0 or more, or null for no limit");
            Err(Problem::invalid(wrong))
        }
    }
}
