//! Between the messages of `pollux.v1` and what a twin is asked and answers. Only form is checked
//! here; whether a request may be done is the twin's decision.

mod answer;
mod artifact;
mod call;
mod changed;
mod device;
mod fleet;
mod fresh;
mod job;
mod line;
mod query;
mod select;
mod twin;

use pollux_twin::json::JsonErrorKind;
use pollux_twin::{DeviceId, JsonError, JsonLimits, Rejection, TenantId, TwinKey, Value, id};

use crate::v1;

pub use answer::{deleted, registered, sent, written};
pub use artifact::{artifact_json, artifact_key_json};
pub use call::{Call, cancel_command, delete, get, get_command, patch, send_command};
pub use changed::{changed, changed_bytes, telemetry_heard};
pub use device::{
    deleted_device, deleted_device_json, device_json, device_to_v1, digest, disable, enable,
    get_device, give_credential, register, restore, revoke_credential, standing_of,
};
pub use fleet::{enrolment_json, group_json, moved_json, provisioned_json, tenant_json, type_json};
pub use fresh::{Freshness, freshness};
pub use job::{
    JOB_DEVICE_STATES, job_device_json, job_device_state_name, job_device_state_named, job_is_over,
    job_json, job_spec_from_json, job_spec_json, job_state_name,
};
pub use line::device_line;
pub use query::{Cursor, Query, query, query_group, query_row};
pub use select::{Page, Watch, Whose, list, list_deleted, watch};
pub use twin::{command_from_v1, command_to_v1, summary, twin_from_v1, twin_to_v1};

/// The key of a request's twin; an empty tenant is the default one.
pub fn key(tenant: &str, device: &str) -> Result<TwinKey, Rejection> {
    let tenant = if tenant.is_empty() { id::DEFAULT_TENANT } else { tenant };
    let tenant = TenantId::parse(tenant).map_err(|error| invalid("tenant", &error))?;
    let device = DeviceId::parse(device).map_err(|error| invalid("device", &error))?;
    Ok(TwinKey::new(&tenant, &device))
}

/// The value of a JSON text of a request; `field` names it in the rejection.
pub fn json(field: &str, text: &str, limits: &JsonLimits) -> Result<Value, Rejection> {
    Value::from_json(text, limits).map_err(|error| json_rejection(field, text.len(), error))
}

/// The rejection for a text of `bytes` bytes that is not JSON that a twin can keep.
pub fn json_rejection(field: &str, bytes: usize, error: JsonError) -> Rejection {
    match error.kind {
        JsonErrorKind::TooLarge { max } => {
            Rejection::TooLarge { bytes: bytes as u64, max: max as u64 }
        }
        JsonErrorKind::TooDeep { max } => {
            Rejection::TooDeep { max: u32::try_from(max).unwrap_or(u32::MAX) }
        }
        _ => invalid(field, &error),
    }
}

fn invalid(field: &str, error: &dyn std::fmt::Display) -> Rejection {
    Rejection::Invalid { reason: format!("{field}: {error}") }
}

impl From<pollux_twin::change::Section> for v1::Section {
    fn from(section: pollux_twin::change::Section) -> Self {
        match section {
            pollux_twin::change::Section::Tags => Self::Tags,
            pollux_twin::change::Section::Desired => Self::Desired,
            pollux_twin::change::Section::Reported => Self::Reported,
        }
    }
}
