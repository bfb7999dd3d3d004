//! What the OpenAPI document says of types and groups.

use serde_json::{Value, json};

use super::super::fleet::Call;
use super::{About, Answer, JSON, reference};

/// A call about types or groups.
pub(super) fn about(call: Call) -> About {
    let (summary, body, answer) = match call {
        Call::ListTypes => ("List device types", "", "TypeList"),
        Call::PutType => ("Add a device type, or change it", "PutType", "DeviceType"),
        Call::GetType => ("Read a device type", "", "DeviceType"),
        Call::RemoveType => ("Take a device type away", "", "Object"),
        Call::ListGroups => ("List groups of devices", "", "GroupList"),
        Call::PutGroup => ("Add a group, or change it", "PutGroup", "Group"),
        Call::GetGroup => ("Read a group", "", "Group"),
        Call::RemoveGroup => ("Take a group away that no device is in", "", "Object"),
        Call::ListMembers => ("The devices of a group, by their names", "", "MemberList"),
        Call::AddMembers => ("Put devices in a group", "Members", "MembersChanged"),
        Call::TakeOutMembers => ("Take devices out of a group", "Members", "MembersChanged"),
    };
    let query: &[&str] = if call == Call::ListMembers { &["limit", "cursor"] } else { &[] };
    let takes: &[&str] = if body.is_empty() { &[] } else { JSON };
    About { summary, query, headers: &[], takes, body, answer: Answer::Json(answer) }
}

/// The schemas of their bodies.
pub(super) fn schemas() -> [(&'static str, Value); 9] {
    let text = json!({"type": "string"});
    let integer = json!({"type": "integer", "format": "int64", "minimum": 0});
    let any = reference("Object");
    let device_type = json!({
        "type": "object", "required": ["tenant", "name", "version", "schemas", "at_ms", "by"],
        "properties": {
            "tenant": text, "name": text, "version": integer, "schemas": any, "note": text,
            "at_ms": integer, "by": text,
        },
    });
    let group = json!({
        "type": "object", "required": ["tenant", "name", "kind", "at_ms", "by"],
        "properties": {
            "tenant": text, "name": text, "kind": {"type": "string", "enum": ["static", "dynamic"]},
            "filter": text, "note": text, "at_ms": integer, "by": text,
        },
    });
    let put = |properties: Value| json!({"type": "object", "properties": properties, "additionalProperties": false});
    let list = |name: &str, of: &str| {
        json!({
            "type": "object", "required": [name],
            "properties": {name: {"type": "array", "items": reference(of)}},
        })
    };
    let texts = json!({"type": "array", "items": text});
    let member_list = json!({
        "type": "object", "required": ["devices", "next_cursor"],
        "properties": {"devices": texts, "next_cursor": {"type": ["string", "null"]}},
    });
    let members = json!({
        "type": "object", "required": ["devices"], "additionalProperties": false,
        "properties": {"devices": {"type": "array", "items": text, "maxItems": 1000}},
    });
    let refusal = json!({
        "type": "object", "required": ["device", "reason", "message"],
        "properties": {"device": text, "reason": text, "message": text},
    });
    let changed = json!({
        "type": "object", "required": ["done", "refused"],
        "properties": {"done": integer, "refused": {"type": "array", "items": refusal}},
    });
    [
        ("DeviceType", device_type),
        ("PutType", put(json!({"schemas": any, "note": text}))),
        ("TypeList", list("types", "DeviceType")),
        ("Group", group),
        ("PutGroup", put(json!({"filter": text, "note": text}))),
        ("GroupList", list("groups", "Group")),
        ("MemberList", member_list),
        ("Members", members),
        ("MembersChanged", changed),
    ]
}
