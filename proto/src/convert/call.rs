//! Requests of services as calls of a twin.

use pollux_twin::change::Section;
use pollux_twin::input::Request;
use pollux_twin::{JsonLimits, Rejection, TwinKey, Value};

use super::{json, key};
use crate::limits::COMMAND_DEADLINE_MS;
use crate::v1;

/// A service call: whom it is for, what makes a retry recognisable, and what it asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which twin.
    pub key: TwinKey,
    /// The caller's idempotency key, if it gave one.
    pub idempotency_key: Option<String>,
    /// What it asks.
    pub request: Request,
}

/// `Twins.Get`. Whether a stale answer will do is for the one who finds a replica.
pub fn get(request: &v1::GetTwinRequest) -> Result<Call, Rejection> {
    call(&request.tenant, &request.device, String::new(), Request::Get)
}

/// `Twins.Patch`.
pub fn patch(request: v1::PatchTwinRequest, limits: &JsonLimits) -> Result<Call, Rejection> {
    use v1::patch_twin_request::Change;
    let section = match v1::Section::try_from(request.section) {
        Ok(v1::Section::Tags) => Section::Tags,
        Ok(v1::Section::Desired) => Section::Desired,
        Ok(v1::Section::Reported) => {
            return Err(wrong("section: reported is written by the device; use tags or desired"));
        }
        Ok(v1::Section::Unspecified) | Err(_) => {
            return Err(wrong("section: none given; use tags or desired"));
        }
    };
    let (patch, whole) = match &request.change {
        Some(Change::MergeJson(text)) => (json("merge_json", text, limits)?, false),
        Some(Change::WholeJson(text)) => (json("whole_json", text, limits)?, true),
        None => return Err(wrong("change: none given; set merge_json or whole_json")),
    };
    let expected = request.expected_version;
    call(
        &request.tenant,
        &request.device,
        request.idempotency_key,
        Request::Patch { section, patch, whole, expected },
    )
}

/// `Twins.Delete`.
pub fn delete(request: v1::DeleteTwinRequest) -> Result<Call, Rejection> {
    let expected = request.expected_version;
    let delete = Request::Delete { expected };
    call(&request.tenant, &request.device, request.idempotency_key, delete)
}

/// `Commands.Send`.
pub fn send_command(
    request: v1::SendCommandRequest,
    limits: &JsonLimits,
) -> Result<Call, Rejection> {
    let payload = match request.payload_json.as_str() {
        "" => Value::Null,
        text => json("payload_json", text, limits)?,
    };
    let deadline_ms = match request.deadline_ms {
        0 => COMMAND_DEADLINE_MS,
        ms => ms,
    };
    call(
        &request.tenant,
        &request.device,
        request.idempotency_key,
        Request::Command {
            name: request.name,
            payload,
            deadline_ms,
            queue: request.queue,
            wait: request.wait,
        },
    )
}

/// `Commands.Get`.
pub fn get_command(request: &v1::GetCommandRequest) -> Result<Call, Rejection> {
    let get = Request::GetCommand { id: request.id };
    call(&request.tenant, &request.device, String::new(), get)
}

/// `Commands.Cancel`.
pub fn cancel_command(request: v1::CancelCommandRequest) -> Result<Call, Rejection> {
    let cancel = Request::CancelCommand { id: request.id };
    call(&request.tenant, &request.device, request.idempotency_key, cancel)
}

pub(super) fn call(
    tenant: &str,
    device: &str,
    idempotency_key: String,
    request: Request,
) -> Result<Call, Rejection> {
    let idempotency_key = (!idempotency_key.is_empty()).then_some(idempotency_key);
    Ok(Call { key: key(tenant, device)?, idempotency_key, request })
}

pub(super) fn wrong(reason: &str) -> Rejection {
    Rejection::Invalid { reason: reason.to_owned() }
}
