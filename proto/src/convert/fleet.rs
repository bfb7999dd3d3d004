//! Types and groups as JSON, as HTTP answers them and the command line prints them.

use pollux_twin::{JsonLimits, Value};

use crate::json_view::object;
use crate::v1;

/// A type.
pub fn type_json(one: &v1::DeviceType) -> Value {
    // It was JSON when it came, of a depth that was looked at.
    let limits = JsonLimits { bytes_max: usize::MAX, depth_max: 64 };
    let schemas = Value::from_json(&one.schemas_json, &limits).unwrap_or_default();
    let known = [
        ("tenant", one.tenant.as_str().into()),
        ("name", one.name.as_str().into()),
        ("version", one.version.into()),
        ("schemas", schemas),
        ("at_ms", one.at_ms.into()),
        ("by", one.by.as_str().into()),
    ];
    object(known.into_iter().chain(noted(&one.note)))
}

/// A group.
pub fn group_json(one: &v1::Group) -> Value {
    let kind = if one.filter.is_empty() { "static" } else { "dynamic" };
    let known = [
        ("tenant", one.tenant.as_str().into()),
        ("name", one.name.as_str().into()),
        ("kind", kind.into()),
        ("at_ms", one.at_ms.into()),
        ("by", one.by.as_str().into()),
    ];
    let filter = (!one.filter.is_empty()).then(|| ("filter", one.filter.as_str().into()));
    object(known.into_iter().chain(filter).chain(noted(&one.note)))
}

/// How putting devices in a group ended, or taking them out.
pub fn moved_json(moved: &v1::ChangeMembersResponse) -> Value {
    let refused = moved.refused.iter().map(|one| {
        object([
            ("device", one.device.as_str().into()),
            ("reason", one.reason.as_str().into()),
            ("message", one.message.as_str().into()),
        ])
    });
    object([("done", moved.done.into()), ("refused", refused.collect::<Vec<_>>().into())])
}

fn noted(note: &str) -> Option<(&'static str, Value)> {
    (!note.is_empty()).then(|| ("note", note.into()))
}
