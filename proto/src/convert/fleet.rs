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

/// An enrolment, without its key.
pub fn enrolment_json(one: &v1::Enrolment) -> Value {
    let limits = JsonLimits { bytes_max: usize::MAX, depth_max: 64 };
    let tags = (!one.tags_json.is_empty())
        .then(|| ("tags", Value::from_json(&one.tags_json, &limits).unwrap_or_default()));
    let groups: Vec<Value> = one.groups.iter().map(|name| name.as_str().into()).collect();
    let known = [
        ("tenant", one.tenant.as_str().into()),
        ("name", one.name.as_str().into()),
        ("prefix", one.prefix.as_str().into()),
        ("type", one.r#type.as_str().into()),
        ("groups", groups.into()),
        ("expires_at_ms", one.expires_at_ms.into()),
        ("most", one.most.into()),
        ("days", u64::from(one.days).into()),
        ("disabled", one.disabled.into()),
        ("enrolled", one.enrolled.into()),
        ("at_ms", one.at_ms.into()),
        ("by", one.by.as_str().into()),
    ];
    let text =
        |name: &'static str, text: &str| (!text.is_empty()).then(|| (name, Value::from(text)));
    let claimed = [text("claim_ca", &one.claim_ca_pem), text("claim_sha256", &one.claim_sha256)];
    let claimed = claimed.into_iter().flatten();
    object(known.into_iter().chain(tags).chain(claimed).chain(noted(&one.note)))
}

/// What a device got.
pub fn provisioned_json(got: &v1::ProvisionResponse) -> Value {
    let text =
        |name: &'static str, text: &str| (!text.is_empty()).then(|| (name, Value::from(text)));
    let known = [("tenant", got.tenant.as_str().into()), ("device", got.device.as_str().into())];
    let expires = (got.expires_at_ms > 0).then(|| ("expires_at_ms", got.expires_at_ms.into()));
    let rest = [
        text("token", &got.token),
        text("certificate", &got.certificate_pem),
        text("server_ca", &got.server_ca_pem),
        expires,
    ];
    object(known.into_iter().chain(rest.into_iter().flatten()))
}

/// What a tenant may have and uses.
pub fn tenant_json(one: &v1::Tenant) -> Value {
    let limit = |limit: Option<u64>| limit.map_or(Value::Null, Value::from);
    let (limits, used) = (one.limits.unwrap_or_default(), one.r#use.unwrap_or_default());
    let limits = object([
        ("devices", limit(limits.devices)),
        ("messages_per_s", limit(limits.messages_per_s)),
        ("writes_per_s", limit(limits.writes_per_s)),
        ("bytes", limit(limits.bytes)),
    ]);
    let used = object([
        ("devices", used.devices.into()),
        ("messages_per_s", used.messages_per_s.into()),
        ("writes_per_s", used.writes_per_s.into()),
        ("bytes", used.bytes.into()),
    ]);
    let silent: Vec<Value> = one.silent_nodes.iter().map(|node| (*node).into()).collect();
    let known = [
        ("tenant", one.tenant.as_str().into()),
        ("limits", limits),
        ("use", used),
        ("silent_nodes", silent.into()),
    ];
    let changed = [("at_ms", one.at_ms.into()), ("by", one.by.as_str().into())];
    let changed = changed.into_iter().filter(|_| one.at_ms > 0);
    object(known.into_iter().chain(changed).chain(noted(&one.note)))
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
