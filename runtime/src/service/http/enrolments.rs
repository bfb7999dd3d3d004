//! Enrolments over HTTP: `pollux.v1.Enrolments` as JSON.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use pollux_proto::{convert, v1};
use pollux_twin::Value;
use pollux_twin::value::Object;

use super::devices::{flag, groups, no_more, object as members, text};
use super::incoming::{Form, Incoming};
use super::problem::Problem;
use super::{json, object};

/// What is asked of enrolments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    ListEnrolments,
    PutEnrolment,
    GetEnrolment,
    RemoveEnrolment,
    Provision,
}

type Answer = Result<Response<Body>, Problem>;

/// Carries out a call.
pub(super) async fn call(call: Call, incoming: Incoming, body: Body) -> Answer {
    incoming.arguments(&[])?;
    let (desk, name) = (incoming.desk.clone(), incoming.name().to_owned());
    let tenant = incoming.tenant().to_owned();
    if call == Call::Provision {
        let asked = claim(&incoming, tenant, name, body).await?;
        return done(&convert::provisioned_json(&desk.provision(asked, &incoming.shown).await?));
    }
    let caller = incoming.caller()?.clone();
    match call {
        Call::ListEnrolments => {
            let listed = desk.list_enrolments(&caller, &v1::ListEnrolmentsRequest { tenant })?;
            let all: Vec<_> = listed.enrolments.iter().map(convert::enrolment_json).collect();
            done(&object([("enrolments", all.into())]))
        }
        Call::PutEnrolment => {
            let asked = enrolment(&incoming, tenant, name, body).await?;
            let put = desk.put_enrolment(&caller, asked).await?;
            let mut shown = convert::enrolment_json(&put.enrolment.unwrap_or_default());
            if let (Value::Object(members), false) = (&mut shown, put.key.is_empty()) {
                members.insert("key".to_owned(), put.key.into());
            }
            done(&shown)
        }
        Call::GetEnrolment => {
            let one = desk.get_enrolment(&caller, &v1::GetEnrolmentRequest { tenant, name })?;
            done(&convert::enrolment_json(&one))
        }
        Call::RemoveEnrolment | Call::Provision => {
            let asked = v1::RemoveEnrolmentRequest { tenant, name };
            desk.remove_enrolment(&caller, asked).await?;
            done(&object([("done", Value::Bool(true))]))
        }
    }
}

fn done(body: &Value) -> Answer {
    Ok(json(StatusCode::OK, body))
}

/// `{"prefix": …, "type": …, "groups": […], "tags": {…}, "expires_at_ms": …, "most": …, "days": …, "disabled": …,
/// "note": …, "claim_ca": …, "claim_sha256": …, "new_key": …}`, all of which may be left out.
async fn enrolment(
    incoming: &Incoming,
    tenant: String,
    name: String,
    body: Body,
) -> Result<v1::PutEnrolmentRequest, Problem> {
    let mut asked = members(incoming.json(body, Form::Json).await?)?;
    let mut said = |name: &str| text(&mut asked, name).map(Option::unwrap_or_default);
    let (prefix, of_type, note) = (said("prefix")?, said("type")?, said("note")?);
    let days = number(&mut asked, "days")?;
    let days = u32::try_from(days).map_err(|_| Problem::invalid("body: days is too many"))?;
    let enrolment = v1::Enrolment {
        tenant,
        name,
        prefix,
        r#type: of_type,
        groups: groups(&mut asked)?,
        tags_json: asked.remove("tags").map(|tags| tags.to_json()).unwrap_or_default(),
        expires_at_ms: number(&mut asked, "expires_at_ms")?,
        most: number(&mut asked, "most")?,
        days,
        disabled: flag(&mut asked, "disabled")?,
        note,
        claim_ca_pem: text(&mut asked, "claim_ca")?.unwrap_or_default(),
        claim_sha256: text(&mut asked, "claim_sha256")?.unwrap_or_default(),
        ..Default::default()
    };
    let new_key = flag(&mut asked, "new_key")?;
    let right = "prefix, type, groups, tags, expires_at_ms, most, days, disabled, note, claim_ca, claim_sha256 and \
                 new_key";
    no_more(&asked, "an enrolment", right)?;
    Ok(v1::PutEnrolmentRequest { enrolment: Some(enrolment), new_key })
}

/// `{"device": …, "at_ms": …, "csr": …, "hmac_sha256": …}`.
async fn claim(
    incoming: &Incoming,
    tenant: String,
    enrolment: String,
    body: Body,
) -> Result<v1::ProvisionRequest, Problem> {
    let mut asked = members(incoming.json(body, Form::Json).await?)?;
    let at_ms = number(&mut asked, "at_ms")?;
    let mut said = |name: &str| text(&mut asked, name).map(Option::unwrap_or_default);
    let (device, csr_pem, hmac_sha256) = (said("device")?, said("csr")?, said("hmac_sha256")?);
    no_more(&asked, "this call", "device, at_ms, csr and hmac_sha256")?;
    Ok(v1::ProvisionRequest { tenant, enrolment, device, at_ms, csr_pem, hmac_sha256 })
}

fn number(members: &mut Object, name: &str) -> Result<u64, Problem> {
    match members.remove(name) {
        None => Ok(0),
        Some(Value::Int(number)) if number >= 0 => Ok(number.unsigned_abs()),
        Some(_) => Err(Problem::invalid(format!("body: {name} takes a whole number"))),
    }
}
