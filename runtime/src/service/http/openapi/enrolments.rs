//! What the OpenAPI document says of enrolments.

use pollux_twin::limits::GROUPS_MAX;
use serde_json::{Value, json};

use super::super::enrolments::Call;
use super::{About, Answer, JSON, reference};

/// A call about enrolments.
pub(super) fn about(call: Call) -> About {
    let (summary, body, answer) = match call {
        Call::ListEnrolments => ("List enrolments, without their keys", "", "EnrolmentList"),
        Call::PutEnrolment => (
            "Add an enrolment, or change it; a key is shown this once",
            "PutEnrolment",
            "Enrolment",
        ),
        Call::GetEnrolment => ("Read an enrolment, without its key", "", "Enrolment"),
        Call::RemoveEnrolment => ("Take an enrolment away", "", "Object"),
        Call::Provision => {
            ("A device proves that it has a key, and gets a credential", "Claim", "Provisioned")
        }
    };
    let takes: &[&str] = if body.is_empty() { &[] } else { JSON };
    About { summary, query: &[], headers: &[], takes, body, answer: Answer::Json(answer) }
}

/// The schemas of their bodies.
pub(super) fn schemas() -> [(&'static str, Value); 5] {
    let (text, flag) = (json!({"type": "string"}), json!({"type": "boolean"}));
    let integer = json!({"type": "integer", "format": "int64", "minimum": 0});
    let terms = json!({
        "prefix": text, "type": text,
        "groups": {"type": "array", "maxItems": GROUPS_MAX, "items": text},
        "tags": reference("Object"), "expires_at_ms": integer, "most": integer, "days": integer,
        "disabled": flag, "note": text, "claim_ca": text, "claim_sha256": text,
    });
    let with = |more: Value| {
        let mut all = terms.clone();
        if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
            all.extend(more);
        }
        all
    };
    let put = json!({
        "type": "object", "additionalProperties": false, "properties": with(json!({"new_key": flag})),
    });
    let shown = json!({
        "tenant": text, "name": text, "enrolled": integer, "at_ms": integer, "by": text, "key": text,
    });
    let enrolment = json!({
        "type": "object", "required": ["tenant", "name", "prefix", "enrolled", "disabled"],
        "properties": with(shown),
    });
    let list = json!({
        "type": "object", "required": ["enrolments"],
        "properties": {"enrolments": {"type": "array", "items": reference("Enrolment")}},
    });
    let claim = json!({
        "type": "object", "required": ["device"],
        "additionalProperties": false,
        "properties": {"device": text, "at_ms": integer, "csr": text, "hmac_sha256": text},
    });
    let provisioned = json!({
        "type": "object", "required": ["tenant", "device"],
        "properties": {
            "tenant": text, "device": text, "token": text, "certificate": text,
            "expires_at_ms": integer, "server_ca": text,
        },
    });
    [
        ("PutEnrolment", put),
        ("Enrolment", enrolment),
        ("EnrolmentList", list),
        ("Claim", claim),
        ("Provisioned", provisioned),
    ]
}
