//! Rejections as JSON for machines, without loss: the body of a refused HTTP call, and the metadata
//! of a refused gRPC call.

use pollux_twin::change::Section;
use pollux_twin::rejection::Violation;
use pollux_twin::value::Object;
use pollux_twin::{Rejection, Value};

use super::row;
use super::text::message;

/// `{"reason": …, "message": …}` and the rejection's own fields.
pub fn to_value(rejection: &Rejection) -> Value {
    use Rejection as R;
    let row = row(rejection);
    let mut fields = Object::new();
    let mut set = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    set("reason", row.reason.into());
    set("message", message(rejection).into());
    if let Some(ms) = row.retry_after_ms {
        set("retry_after_ms", u64::from(ms).into());
    }
    match rejection {
        R::VersionMismatch { section, expected, actual } => {
            if let Some(section) = section {
                set("section", section.name().into());
            }
            set("expected", (*expected).into());
            set("actual", (*actual).into());
        }
        R::TooLarge { bytes, max } => {
            set("bytes", (*bytes).into());
            set("max", (*max).into());
        }
        R::TooDeep { max } => set("max", u64::from(*max).into()),
        R::BadKey { key } => set("key", key.as_str().into()),
        R::TooMany { what, max } => {
            set("what", what.as_str().into());
            set("max", u64::from(*max).into());
        }
        R::OutOfOrder { expected } => set("expected", (*expected).into()),
        R::Disabled { reason } => set("why", reason.as_str().into()),
        R::BadCredential { expired: Some(name) } | R::UnknownCredential { name } => {
            set("credential", name.as_str().into());
        }
        R::LevelTooLow { level, needed } => {
            set("level", u64::from(*level).into());
            set("needed", u64::from(*needed).into());
        }
        R::Forbidden { action, on } => {
            set("action", action.as_str().into());
            set("on", on.as_str().into());
        }
        R::SchemaViolated(violation) => {
            of_violation(violation).into_iter().for_each(|(name, value)| set(name, value));
        }
        R::UnknownType { name } => set("device_type", name.as_str().into()),
        R::UnknownGroup { name } => set("group", name.as_str().into()),
        R::NotEnrolled { why } => set("why", why.as_str().into()),
        R::TookTooLong { max_ms } => set("max_ms", (*max_ms).into()),
        R::BadCredential { expired: None }
        | R::NotRegistered
        | R::Unauthenticated { .. }
        | R::Invalid { .. }
        | R::Overloaded { .. }
        | R::NotFound
        | R::NotAnObject
        | R::DeviceOffline
        | R::UnknownCommand
        | R::CommandOver
        | R::KeyReused
        | R::SessionOver
        | R::OutOfSpace
        | R::Quarantined
        | R::NotOwner
        | R::Behind
        | R::Unknown => {}
    }
    fields.into()
}

fn of_violation(violation: &Violation) -> [(&'static str, Value); 5] {
    let Violation { of_type, version, part, at, wrong } = violation;
    [
        ("device_type", of_type.as_str().into()),
        ("device_type_version", (*version).into()),
        ("part", part.as_str().into()),
        ("path", at.as_str().into()),
        ("wrong", wrong.as_str().into()),
    ]
}

/// The rejection that such JSON stands for; `None` if this version does not know its reason.
pub fn from_value(value: &Value) -> Option<Rejection> {
    use Rejection as R;
    let number = |name: &str| value.get(name)?.as_u64();
    let small = |name: &str| u32::try_from(number(name)?).ok();
    let text = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
    Some(match text("reason")?.as_str() {
        "not_found" => R::NotFound,
        "version_mismatch" => R::VersionMismatch {
            section: match text("section") {
                Some(name) => Some(Section::named(&name)?),
                None => None,
            },
            expected: number("expected")?,
            actual: number("actual")?,
        },
        "not_an_object" => R::NotAnObject,
        "too_large" => R::TooLarge { bytes: number("bytes")?, max: number("max")? },
        "too_deep" => R::TooDeep { max: small("max")? },
        "bad_key" => R::BadKey { key: text("key")? },
        "too_many" => R::TooMany { what: text("what")?, max: small("max")? },
        "invalid" => R::Invalid { reason: text("message")? },
        "device_offline" => R::DeviceOffline,
        "unknown_command" => R::UnknownCommand,
        "command_over" => R::CommandOver,
        "key_reused" => R::KeyReused,
        "session_over" => R::SessionOver,
        "out_of_order" => R::OutOfOrder { expected: number("expected")? },
        "overloaded" => R::Overloaded { retry_after_ms: small("retry_after_ms")? },
        "out_of_space" => R::OutOfSpace,
        "quarantined" => R::Quarantined,
        "not_owner" => R::NotOwner,
        "not_registered" => R::NotRegistered,
        "disabled" => R::Disabled { reason: text("why")? },
        "bad_credential" => R::BadCredential { expired: text("credential") },
        "unknown_credential" => R::UnknownCredential { name: text("credential")? },
        "level_too_low" => R::LevelTooLow { level: small("level")?, needed: small("needed")? },
        "behind" => R::Behind,
        "unknown" => R::Unknown,
        "schema_violated" => R::SchemaViolated(Box::new(Violation {
            of_type: text("device_type")?,
            version: number("device_type_version")?,
            part: text("part")?,
            at: text("path")?,
            wrong: text("wrong")?,
        })),
        "unknown_type" => R::UnknownType { name: text("device_type")? },
        "unknown_group" => R::UnknownGroup { name: text("group")? },
        "not_enrolled" => R::NotEnrolled { why: text("why")? },
        "took_too_long" => R::TookTooLong { max_ms: number("max_ms")? },
        "unauthenticated" => R::Unauthenticated { reason: text("message")? },
        "forbidden" => R::Forbidden { action: text("action")?, on: text("on")? },
        _ => return None,
    })
}
