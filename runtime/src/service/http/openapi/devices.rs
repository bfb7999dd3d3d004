//! What the OpenAPI document says of the registry.

use pollux_twin::limits::{CREDENTIALS_MAX, GROUPS_MAX};
use serde_json::{Value, json};

use super::super::routes::Operation as O;
use super::{About, Answer, JSON, WRITE, reference};

/// A call to the registry; all of them answer with the entry.
pub(super) fn about(operation: O) -> About {
    if operation == O::ImportDevices {
        let summary = "Register very many devices, a line of JSON for each";
        let (takes, body) = (&["application/x-ndjson"], "DeviceLines");
        return About {
            summary,
            query: &["all_or_nothing"],
            headers: &[],
            takes,
            body,
            answer: Answer::Json("Imported"),
        };
    }
    if operation == O::ListDeleted {
        let summary = "List devices whose twins were deleted and can be brought back";
        let (query, answer) =
            (&["prefix", "page_size", "page_token"], Answer::Json("DeletedDevices"));
        return About { summary, query, headers: &[], takes: &[], body: "", answer };
    }
    let (summary, takes, body): (_, &[&str], _) = match operation {
        O::RegisterDevice => ("Register a device", JSON, "RegisterDevice"),
        O::DisableDevice => ("Disable a device; its session ends", JSON, "DisableDevice"),
        O::EnableDevice => ("Let a disabled device come again", &[], ""),
        O::RestoreDevice => ("Bring back what a deleted twin held", &[], ""),
        O::GiveCredential => ("Give a device a credential", JSON, "GiveCredential"),
        O::RevokeCredential => ("Take a credential away; a session opened with it ends", &[], ""),
        _ => ("Read a device's entry in the registry", &[], ""),
    };
    let headers = if operation == O::GetDevice { &[] } else { WRITE };
    About { summary, query: &[], headers, takes, body, answer: Answer::Json("Device") }
}

/// The schemas of their bodies.
pub(super) fn schemas() -> [(&'static str, Value); 7] {
    let text = json!({"type": "string"});
    let object = reference("Object");
    let register = json!({
        "type": "object", "additionalProperties": false,
        "properties": {
            "tags": object, "desired": object,
            "credentials": {
                "type": "array", "maxItems": CREDENTIALS_MAX, "items": given(&["name"]),
            },
            "type": {"type": ["string", "null"]},
            "groups": {"type": "array", "maxItems": GROUPS_MAX, "items": text},
        },
    });
    let disable = json!({
        "type": "object", "properties": {"reason": text}, "additionalProperties": false,
    });
    [
        ("Device", device()),
        ("DeletedDevices", deleted()),
        ("DeviceLines", json!({"type": "string"})),
        ("Imported", imported()),
        ("RegisterDevice", register),
        ("DisableDevice", disable),
        ("GiveCredential", given(&[])),
    ]
}

/// An entry of the registry.
fn device() -> Value {
    let integer = json!({"type": "integer", "format": "int64", "minimum": 0});
    let text = json!({"type": "string"});
    let credential = json!({
        "type": "object", "required": ["name", "kind", "at_ms", "by"],
        "properties": {
            "name": text, "kind": {"type": "string", "enum": ["token", "certificate"]},
            "sha256": text, "expires_at_ms": integer, "at_ms": integer, "by": text,
        },
    });
    let standing = json!({"type": "string", "enum": ["unregistered", "enabled", "disabled"]});
    json!({
        "type": "object", "required": ["tenant", "device", "standing", "credentials"],
        "properties": {
            "tenant": text, "device": text, "standing": standing, "at_ms": integer, "by": text,
            "reason": text, "credentials": {"type": "array", "items": credential},
            "type": text, "type_version": integer, "enrolled_by": text,
            "groups": {"type": "array", "items": text},
        },
    })
}

/// Those that can be brought back.
fn deleted() -> Value {
    let integer = json!({"type": "integer", "format": "int64", "minimum": 0});
    let text = json!({"type": "string"});
    let device = json!({
        "type": "object", "required": ["tenant", "device", "restorable_until_ms", "is_back"],
        "properties": {
            "tenant": text, "device": text, "restorable_until_ms": integer,
            "is_back": {"type": "boolean"}, "deleted_at_ms": integer, "deleted_by": text,
        },
    });
    json!({
        "type": "object", "required": ["devices"],
        "properties": {
            "devices": {"type": "array", "items": device}, "next_page_token": text,
        },
    })
}

/// What came of very many.
fn imported() -> Value {
    let integer = json!({"type": "integer", "format": "int64", "minimum": 0});
    let text = json!({"type": "string"});
    let refusal = json!({
        "type": "object", "required": ["line", "reason", "message"],
        "properties": {"line": integer, "reason": text, "message": text},
    });
    json!({
        "type": "object", "required": ["registered", "refused", "refusals"],
        "properties": {
            "registered": integer, "refused": integer,
            "refusals": {"type": "array", "items": refusal},
        },
    })
}

/// A credential to give: one of the hashes, and what else is required.
fn given(required: &[&str]) -> Value {
    let digest = json!({"type": "string", "pattern": "^[0-9a-fA-F]{64}$"});
    let mut properties = json!({
        "token_sha256": digest, "certificate_sha256": digest,
        "expires_at_ms": {"type": "integer", "format": "int64", "minimum": 1},
    });
    for name in required {
        properties[name] = json!({"type": "string"});
    }
    json!({
        "type": "object", "additionalProperties": false, "required": required,
        "properties": properties,
        "oneOf": [{"required": ["token_sha256"]}, {"required": ["certificate_sha256"]}],
    })
}
