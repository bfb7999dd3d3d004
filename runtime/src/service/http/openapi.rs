//! The OpenAPI document of the HTTP door, made of the table in `routes`. Written by hand rather
//! than derived: bodies are documents of our own JSON, not structs that a macro could read.

mod access;
mod artifacts;
mod devices;
mod enrolments;
mod fleet;
mod jobs;
mod parameters;
mod subscriptions;
mod tenants;

use pollux_twin::change::Section;
use pollux_twin::limits::{COMMAND_DEADLINE_MS_MAX, TEXT_BYTES_MAX};
use serde_json::{Map, Value, json};

use super::routes::{self, Operation, Operation as O, Verb};

/// The document, OpenAPI 3.1.
pub(super) fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for (verb, path, operation) in routes::all() {
        let item = paths.entry(path.clone()).or_insert_with(|| json!({}));
        item[verb.name()] = described(verb, &path, operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Pollux",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Twins of devices. Every call may be made to any node. Refusals are \
                problems (RFC 9457) with a stable `reason`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": all_schemas(),
            "securitySchemes": {"token": {
                "type": "http", "scheme": "bearer",
                "description": "A token of a principal, where access is enforced",
            }},
        },
        "security": [{"token": []}, {}],
    })
}

fn described(verb: Verb, path: &str, operation: Operation) -> Value {
    let about = about(operation);
    let mut parameters: Vec<Value> = ["tenant", "device", "id", "name", "version", "token"]
        .into_iter()
        .filter(|name| path.contains(&format!("{{{name}}}")))
        .map(|name| parameters::of_path(name, operation))
        .collect();
    parameters.extend(about.query.iter().map(|name| parameters::of_query(name)));
    parameters.extend(about.headers.iter().map(|name| parameters::of_header(name, verb)));
    let tenant = if path.contains("{tenant}") { "OfTenant" } else { "" };
    let mut out = json!({
        "operationId": format!("{}{tenant}", operation_id(operation)),
        "summary": about.summary,
        "parameters": parameters,
        "responses": {
            "200": {"description": "done", "content": content(about.answer)},
            "default": {
                "description": "refused; `reason` says why",
                "content": {"application/problem+json": {"schema": reference("Problem")}},
            },
        },
    });
    if !about.takes.is_empty() {
        let kinds = about
            .takes
            .iter()
            .map(|kind| ((*kind).to_owned(), json!({"schema": reference(about.body)})));
        out["requestBody"] =
            json!({"required": true, "content": kinds.collect::<Map<String, Value>>()});
    }
    if verb == Verb::Get && about.headers.contains(&"if-none-match") {
        out["responses"]["304"] = json!({"description": "the caller has it already, by its tag"});
    }
    if about.headers.contains(&"range") {
        out["responses"]["206"] = json!({"description": "the range that was asked for", "content": content(about.answer)});
    }
    if operation == Operation::SendCommand {
        out["responses"]["202"] =
            json!({"description": "accepted, not over yet", "content": content(about.answer)});
    }
    out
}

/// What a document says of an operation.
struct About {
    summary: &'static str,
    query: &'static [&'static str],
    headers: &'static [&'static str],
    takes: &'static [&'static str],
    body: &'static str,
    answer: Answer,
}

#[derive(Clone, Copy)]
enum Answer {
    Json(&'static str),
    Text(&'static str),
    /// Bytes of whatever kind.
    Bytes,
}

const MERGE: &[&str] = &["application/merge-patch+json", "application/json"];
const JSON: &[&str] = &["application/json"];
const WRITE: &[&str] = &["pollux-caller", "idempotency-key"];
const WRITE_IF: &[&str] = &["pollux-caller", "idempotency-key", "if-match", "if-none-match"];
const READ_IF: &[&str] = &["if-none-match"];
/// A stale answer says in `pollux-position` and `pollux-age-ms` what it stands for.
const STALE: &[&str] = &["stale", "min_position", "max_age_ms"];
const WATCH_ONE: &[&str] = &["position", "picture", "filter", "telemetry"];
const WATCH_MANY: &[&str] = &["prefix", "position", "picture", "filter", "telemetry"];

fn about(operation: O) -> About {
    use Answer::{Json, Text};
    let read = |summary, query, answer| About {
        summary,
        query,
        headers: &[],
        takes: &[],
        body: "",
        answer,
    };
    let write = |summary, headers, takes, body| About {
        summary,
        query: &[],
        headers,
        takes,
        body,
        answer: Json("Written"),
    };
    match operation {
        O::Index => read("What there is, for people", &[], Text("text/plain")),
        O::Alive => read("The process lives", &[], Text("text/plain")),
        O::Ready => read("Every shard serves; 503 until then", &[], Json("Readiness")),
        O::Metrics => read("Numbers for Prometheus", &[], Text("application/openmetrics-text")),
        O::OpenApi => read("This document", &[], Json("Object")),
        O::Status => read("This node and its shards", &[], Json("Object")),
        O::Access(asked) => access::about(asked),
        O::ListTwins => read(
            "List twins in order of their names",
            &["prefix", "page_size", "page_token", "view", "min_position", "max_age_ms"],
            Json("TwinList"),
        ),
        O::QueryTwins => About {
            headers: &[],
            answer: Json("QueryAnswer"),
            ..write("Find twins by what is in them, or count them", &[], JSON, "Query")
        },
        O::GetTwin => About { headers: READ_IF, ..read("Read a twin", STALE, Json("Twin")) },
        O::GetSection(_) => {
            About { headers: READ_IF, ..read("One section", STALE, Json("Object")) }
        }
        O::PatchTwin => write("Merge into the one section named", WRITE, MERGE, "OneSection"),
        O::PutTwin => write("Replace the one section named", WRITE, JSON, "OneSection"),
        O::PatchSection(_) => write("Merge into a section (RFC 7396)", WRITE_IF, MERGE, "Object"),
        O::PutSection(_) => write("Replace a section", WRITE_IF, JSON, "Object"),
        O::DeleteTwin => {
            About { answer: Json("Deleted"), ..write("Delete a twin", WRITE_IF, &[], "") }
        }
        O::WatchTwins => About {
            headers: &["last-event-id"],
            ..read("Watch twins", WATCH_MANY, Text("text/event-stream"))
        },
        O::WatchTwin => About {
            headers: &["last-event-id"],
            ..read("Watch one twin", WATCH_ONE, Text("text/event-stream"))
        },
        O::ListCommands => read("List a twin's commands", &[], Json("CommandList")),
        O::GetCommand => read("Read a command", &[], Json("Command")),
        O::SendCommand => {
            About { answer: Json("Command"), ..write("Send a command", WRITE, JSON, "SendCommand") }
        }
        O::CancelCommand => {
            About { answer: Json("Command"), ..write("Withdraw a waiting command", WRITE, &[], "") }
        }
        other => about_part(other),
    }
}

/// What a document says of an operation of one of the parts.
fn about_part(operation: Operation) -> About {
    match operation {
        Operation::Subscription(call) => subscriptions::about(call),
        Operation::Job(call) => jobs::about(call),
        Operation::Artifact(call) => artifacts::about(call),
        Operation::Fleet(call) => fleet::about(call),
        Operation::Enrolment(call) => enrolments::about(call),
        Operation::Tenant(call) => tenants::about(call),
        registry => devices::about(registry),
    }
}

fn operation_id(operation: Operation) -> String {
    let of = |verb: &str, section| match section {
        Section::Tags => format!("{verb}Tags"),
        Section::Desired => format!("{verb}Desired"),
        Section::Reported => format!("{verb}Reported"),
    };
    match operation {
        Operation::GetSection(section) => of("get", section),
        Operation::PutSection(section) => of("put", section),
        Operation::PatchSection(section) => of("patch", section),
        Operation::Subscription(call) => format!("subscriptions{call:?}"),
        Operation::Job(call) => format!("jobs{call:?}"),
        Operation::Access(asked) => lower(format!("{asked:?}")),
        Operation::Fleet(call) => lower(format!("{call:?}")),
        Operation::Artifact(call) => lower(format!("{call:?}")),
        Operation::Enrolment(call) => lower(format!("{call:?}")),
        Operation::Tenant(call) => lower(format!("{call:?}")),
        other => lower(format!("{other:?}")),
    }
}

fn lower(mut name: String) -> String {
    name[..1].make_ascii_lowercase();
    name
}

fn content(answer: Answer) -> Value {
    match answer {
        Answer::Json(schema) => json!({"application/json": {"schema": reference(schema)}}),
        Answer::Text(kind) => json!({kind: {"schema": {"type": "string"}}}),
        Answer::Bytes => json!({"*/*": {"schema": reference("Bytes")}}),
    }
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn all_schemas() -> Value {
    let mut schemas = schemas();
    let parts = devices::schemas().into_iter().chain(subscriptions::schemas());
    let parts = parts.chain(jobs::schemas()).chain(artifacts::schemas()).chain(tenants::schemas());
    for (name, schema) in parts.chain(fleet::schemas()).chain(enrolments::schemas()) {
        schemas[name] = schema;
    }
    schemas
}

fn schemas() -> Value {
    let integer = || json!({"type": "integer", "format": "int64", "minimum": 0});
    let text = || json!({"type": "string"});
    let flag = || json!({"type": "boolean"});
    let any = || json!({"type": "object", "additionalProperties": true});
    let of = |properties: Value, required: &[&str]| json!({"type": "object", "properties": properties, "required": required});
    let many = |schema| json!({"type": "array", "items": reference(schema)});
    let state = json!({"type": "string", "enum": [
        "queued", "delivering", "done", "failed", "expired", "cancelled", "unknown",
    ]});
    json!({
        "Object": any(),
        "Readiness": of(
            json!({"ready": flag(), "waiting_for": {"type": "array", "items": text()}}),
            &["ready", "waiting_for"],
        ),
        "Twin": of(
            json!({
                "tenant": text(), "device": text(), "version": integer(),
                "tags": any(), "desired": any(), "reported": any(), "delta": any(),
                "versions": any(), "meta": any(), "presence": any(), "telemetry": any(),
                "desired_ack": any(), "commands": many("Command"), "quarantined": flag(),
            }),
            &["tenant", "device", "version", "presence"],
        ),
        "TwinList": of(
            json!({"twins": many("Twin"), "next_page_token": {"type": ["string", "null"]}}),
            &["twins", "next_page_token"],
        ),
        "Query": query(),
        "PutPrincipal": access::put_principal(),
        "PrincipalList": access::principals(),
        "IssueToken": access::issue_token(),
        "IssuedToken": access::issued_token(),
        "PutPolicy": access::policy(),
        "PolicyList": access::policies(),
        "CheckAccess": access::check(),
        "Decision": access::decision(),
        "AuditPage": access::audit(),
        "QueryAnswer": query_answer(),
        "OneSection": json!({
            "type": "object", "minProperties": 1, "maxProperties": 1,
            "properties": {"tags": any(), "desired": any()}, "additionalProperties": false,
        }),
        "Written": of(json!({"section": text(), "version": integer()}), &["section", "version"]),
        "Deleted": of(json!({"version": integer()}), &["version"]),
        "SendCommand": send_command(),
        "Command": of(
            json!({
                "id": integer(), "name": text(), "payload": {}, "deadline_at_ms": integer(),
                "at_ms": integer(), "by": text(), "state": state, "answer": {}, "reason": text(),
            }),
            &["id", "name", "state"],
        ),
        "CommandList": of(json!({"commands": many("Command")}), &["commands"]),
        "Problem": of(
            json!({
                "type": text(), "title": text(), "status": integer(), "detail": text(),
                "reason": text(), "retry_after_ms": integer(),
                "expected": integer(), "actual": integer(),
                "at": integer(), "line": integer(), "column": integer(),
            }),
            &["type", "title", "status", "detail", "reason"],
        ),
    })
}

/// What sending a command takes.
fn send_command() -> Value {
    json!({
        "type": "object", "required": ["name"], "additionalProperties": false,
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": TEXT_BYTES_MAX},
            "payload": {},
            "deadline_ms": {"type": "integer", "minimum": 1, "maximum": COMMAND_DEADLINE_MS_MAX},
            "queue": {"type": "boolean"}, "wait": {"type": "boolean"},
        },
    })
}

fn query_answer() -> Value {
    let integer = json!({"type": "integer", "format": "int64", "minimum": 0});
    let text = json!({"type": "string"});
    let row = json!({
        "type": "object", "required": ["tenant", "device", "values"],
        "properties": {"tenant": text, "device": text, "values": reference("Object")},
    });
    let way = json!({
        "type": "object", "required": ["shard", "node", "index", "twins", "scanned", "matched"],
        "properties": {
            "shard": integer, "node": integer, "index": {"type": ["string", "null"]},
            "twins": integer, "scanned": integer, "matched": integer,
        },
    });
    let group = json!({
        "type": "object", "required": ["by", "count"],
        "properties": {"by": reference("Object"), "count": integer},
    });
    json!({
        "type": "object", "required": ["matched", "scanned", "position"],
        "properties": {
            "matched": integer, "scanned": integer, "position": text,
            "rows": {"type": "array", "items": row},
            "next_cursor": {"type": ["string", "null"]},
            "groups": {"type": "array", "items": group},
            "ways": {"type": "array", "items": way},
        },
    })
}

/// What a query asks; expressions are texts.
fn query() -> Value {
    let expressions = json!({"type": "array", "items": {"type": "string"}, "maxItems": 32});
    let order = json!({
        "type": "object", "required": ["by"], "additionalProperties": false,
        "properties": {"by": {"type": "string"}, "descending": {"type": "boolean"}},
    });
    json!({
        "type": "object", "additionalProperties": false,
        "properties": {
            "filter": {"type": "string"}, "select": expressions, "group_by": expressions,
            "order_by": {
                "type": "array", "maxItems": 32, "items": {"anyOf": [{"type": "string"}, order]},
            },
            "limit": {"type": "integer", "minimum": 1, "maximum": 10_000},
            "cursor": {"type": ["string", "null"]}, "count": {"type": "boolean"},
            "explain": {"type": "boolean"},
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(target)) = members.get("$ref") {
                    found.insert(target.clone());
                }
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn an_answer_without_a_body_is_said_to_have_none() {
        let document = document();
        for path in ["/v1/twins/{device}", "/v1/tenants/{tenant}/twins/{device}/desired"] {
            let unchanged = &document["paths"][path]["get"]["responses"]["304"];
            assert!(unchanged["description"].is_string(), "{path}");
            assert!(unchanged["content"].is_null(), "{path}");
            let written = &document["paths"][path]["put"]["responses"]["304"];
            assert!(written.is_null(), "{path}");
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_name_is_one() {
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for target in &found {
            let pointer = target.trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{target}");
        }
        let ids: Vec<_> = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|item| item.as_object().unwrap().values())
            .map(|operation| operation["operationId"].as_str().unwrap().to_owned())
            .collect();
        let unique: BTreeSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len(), "{ids:?}");
        assert_eq!(ids.len(), routes::all().count());
    }
}
