//! What the OpenAPI document says of limits of tenants.

use serde_json::{Value, json};

use super::super::tenants::Call;
use super::{About, Answer, JSON, reference};

/// A call about tenants.
pub(super) fn about(call: Call) -> About {
    let (summary, body, answer) = match call {
        Call::ListTenants => ("Tenants that have limits, with what they use", "", "TenantList"),
        Call::GetLimits => ("What a tenant may have, and what it uses", "", "Tenant"),
        Call::PutLimits => ("Say what a tenant may have", "PutLimits", "Tenant"),
    };
    let takes: &[&str] = if body.is_empty() { &[] } else { JSON };
    About { summary, query: &[], headers: &[], takes, body, answer: Answer::Json(answer) }
}

/// The schemas of their bodies.
pub(super) fn schemas() -> [(&'static str, Value); 3] {
    let text = json!({"type": "string"});
    let integer = json!({"type": "integer", "format": "int64", "minimum": 0});
    let limit = json!({"type": ["integer", "null"], "format": "int64", "minimum": 0});
    let rate = json!({"type": ["integer", "null"], "format": "int64", "minimum": 1});
    let limits = json!({
        "type": "object",
        "properties": {
            "devices": limit, "messages_per_s": limit, "writes_per_s": limit, "bytes": limit,
        },
    });
    let used = json!({
        "type": "object", "required": ["devices", "messages_per_s", "writes_per_s", "bytes"],
        "properties": {
            "devices": integer, "messages_per_s": integer, "writes_per_s": integer, "bytes": integer,
        },
    });
    let tenant = json!({
        "type": "object", "required": ["tenant", "limits", "use", "silent_nodes"],
        "properties": {
            "tenant": text, "limits": limits, "use": used, "note": text,
            "silent_nodes": {"type": "array", "items": integer}, "at_ms": integer, "by": text,
        },
    });
    let put = json!({
        "type": "object", "additionalProperties": false,
        "properties": {
            "devices": limit, "messages_per_s": rate, "writes_per_s": rate, "bytes": limit, "note": text,
        },
    });
    let list = json!({
        "type": "object", "required": ["tenants"],
        "properties": {"tenants": {"type": "array", "items": reference("Tenant")}},
    });
    [("Tenant", tenant), ("PutLimits", put), ("TenantList", list)]
}
