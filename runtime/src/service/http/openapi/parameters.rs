//! What the OpenAPI document says of parts of a path, arguments and headers: as much of what is taken as a schema can
//! say. What only the node can know, such as whether an expression is one, it does not.

use pollux_proto::convert::JOB_DEVICE_STATES;
use pollux_twin::limits::{ID_BYTES_MAX, KEY_TEXT_BYTES_MAX, TEXT_BYTES_MAX};
use serde_json::{Value, json};

use super::super::routes::{Access, Operation, Verb};

/// Printable ASCII without spaces and without `/ + # $`.
const ID: &str = "^[!\"%-*,-.0-~]+$";
/// A place in every shard's log; an empty text is none.
const POSITION: &str = "^(p1\\.[0-9a-f]{1,16}(\\.[0-9a-f]{1,4}-[0-9a-f]{1,16}-[0-9a-f]{1,8})*)?$";

/// A part of a path.
pub(super) fn of_path(name: &str, operation: Operation) -> Value {
    let schema = match name {
        "id" => whole(0),
        "tenant" | "device" => {
            json!({"type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX, "pattern": ID})
        }
        "token" => json!({"type": "string", "pattern": "^[0-9a-f]{16}$"}),
        "name" => match operation {
            Operation::Access(
                Access::PutPrincipal | Access::RemovePrincipal | Access::IssueToken,
            ) => {
                json!({"type": "string", "pattern": "^[A-Za-z0-9._@:-]{1,64}$"})
            }
            Operation::GiveCredential | Operation::RevokeCredential => {
                json!({"type": "string", "minLength": 1, "maxLength": TEXT_BYTES_MAX})
            }
            Operation::Artifact(call) if call.is_of_one() => artifact(),
            _ => json!({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}),
        },
        "version" => artifact(),
        _ => json!({"type": "string"}),
    };
    json!({"name": name, "in": "path", "required": true, "schema": schema})
}

/// The name of an artifact, or a version.
fn artifact() -> Value {
    json!({"type": "string", "pattern": "^[A-Za-z0-9_+-](\\.?[A-Za-z0-9_+-])*\\.?$", "maxLength": 64})
}

/// An argument after `?`.
pub(super) fn of_query(name: &str) -> Value {
    let schema = match name {
        "page_size" => {
            json!({"type": "integer", "format": "int64", "minimum": 1, "maximum": u32::MAX})
        }
        "max_age_ms" | "before" | "limit" => whole(0),
        "stale" | "picture" | "telemetry" | "all_or_nothing" => json!({"type": "boolean"}),
        "state" => {
            json!({"type": "string", "enum": JOB_DEVICE_STATES.map(|(name, _)| name)})
        }
        "view" => json!({"type": "string", "enum": ["summary", "full"]}),
        "min_position" | "position" => json!({"type": "string", "pattern": POSITION}),
        _ => json!({"type": "string"}),
    };
    json!({"name": name, "in": "query", "required": false, "schema": schema})
}

/// A header.
pub(super) fn of_header(name: &str, verb: Verb) -> Value {
    let schema = match name {
        "pollux-caller" => {
            json!({"type": "string", "pattern": "^[!-~]+$", "maxLength": TEXT_BYTES_MAX})
        }
        "idempotency-key" => {
            json!({"type": "string", "pattern": "^[ -~]*$", "maxLength": KEY_TEXT_BYTES_MAX})
        }
        "if-match" => json!({
            "type": "string", "pattern": "^(W/)?\"[0-9]{1,19}(-[0-9a-f]{8})?\"$",
        }),
        "repr-digest" | "content-digest" => {
            json!({"type": "string", "pattern": "^sha-256=:[A-Za-z0-9+/]{43}=:$"})
        }
        "pollux-signature" => {
            json!({"type": "string", "pattern": "^([A-Za-z0-9._-]{1,64}:)?[A-Za-z0-9+/]{86}==$"})
        }
        // A write may only ask that there be nothing.
        "if-none-match" if verb != Verb::Get => json!({"type": "string", "enum": ["*"]}),
        "last-event-id" => json!({"type": "string", "pattern": POSITION}),
        _ => json!({"type": "string"}),
    };
    json!({"name": name, "in": "header", "required": false, "schema": schema})
}

/// A whole number that fits into 64 bits.
fn whole(minimum: u64) -> Value {
    json!({"type": "integer", "minimum": minimum, "maximum": u64::MAX})
}

#[cfg(test)]
mod tests {
    use pollux_proto::position::Position;
    use pollux_twin::TenantId;
    use regex::Regex;

    use super::*;

    fn pattern(parameter: &Value) -> Regex {
        let pattern = parameter["schema"]["pattern"].as_str().expect("it has a pattern");
        Regex::new(pattern).expect("it is a pattern")
    }

    #[test]
    fn names_are_said_as_they_are_taken() {
        let said = pattern(&of_path("tenant", Operation::ListTwins));
        for code in 0..=u8::MAX {
            let text = char::from(code).to_string();
            assert_eq!(said.is_match(&text), TenantId::parse(&text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn positions_are_said_as_they_are_written() {
        let said = pattern(&of_query("position"));
        for text in ["p1.0", "p1.feed.0-1-2", "p1.feed.0-1-2.fff-ffffffffffffffff-ffffffff"] {
            assert!(text.parse::<Position>().is_ok() && said.is_match(text), "{text}");
        }
        for text in ["p1", "p2.0", "p1.", "p1.0.0-0", "p1.+1"] {
            assert!(text.parse::<Position>().is_err() && !said.is_match(text), "{text}");
        }
    }
}
