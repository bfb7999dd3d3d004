//! What the document says of the paths of who may do what.

use serde_json::{Value, json};

use super::super::routes::Access;
use super::{About, Answer, JSON};

pub(super) fn about(asked: Access) -> About {
    use Access as A;
    let (summary, query, takes, body, answer) = match asked {
        A::WhoAmI => ("Who the caller is", NONE, NONE, "", "Object"),
        A::ListPrincipals => {
            ("List principals, and what is known of their tokens", NONE, NONE, "", "PrincipalList")
        }
        A::PutPrincipal => ("Add a principal, or change it", NONE, JSON, "PutPrincipal", "Object"),
        A::RemovePrincipal => ("Take a principal away, with its tokens", NONE, NONE, "", "Object"),
        A::IssueToken => ("Make a token, shown this once", NONE, JSON, "IssueToken", "IssuedToken"),
        A::RevokeToken => ("Make a token worth nothing", NONE, NONE, "", "Object"),
        A::ListPolicies => ("List policies", NONE, NONE, "", "PolicyList"),
        A::PutPolicy => ("Add a policy, or replace it", NONE, JSON, "PutPolicy", "Object"),
        A::RemovePolicy => ("Take a policy away", NONE, NONE, "", "Object"),
        A::Check => {
            ("Whether a principal may do something, and why", NONE, JSON, "CheckAccess", "Decision")
        }
        A::Audit => ("What was changed, by whom; the newest first", AUDIT, NONE, "", "AuditPage"),
    };
    About { summary, query, headers: &[], takes, body, answer: Answer::Json(answer) }
}

const NONE: &[&str] = &[];
const AUDIT: &[&str] = &["before", "limit"];

fn text() -> Value {
    json!({"type": "string"})
}

fn texts() -> Value {
    json!({"type": "array", "items": text()})
}

fn integer() -> Value {
    json!({"type": "integer", "format": "int64", "minimum": 0})
}

fn subjects() -> Value {
    let subject = json!({
        "type": "object", "required": ["issuer", "subject"], "additionalProperties": false,
        "properties": {"issuer": text(), "subject": text()},
    });
    json!({"type": "array", "items": subject})
}

pub(super) fn put_principal() -> Value {
    json!({
        "type": "object", "additionalProperties": false,
        "properties": {"note": text(), "subjects": subjects()},
    })
}

pub(super) fn principals() -> Value {
    let token = json!({"type": "object", "properties": {
        "id": text(), "issued_ms": integer(), "expires_ms": integer(), "note": text(),
    }});
    let principal = json!({
        "type": "object", "required": ["name"],
        "properties": {
            "name": text(), "note": text(), "added_ms": integer(), "subjects": subjects(),
            "tokens": {"type": "array", "items": token},
        },
    });
    listed("principals", principal)
}

pub(super) fn issue_token() -> Value {
    json!({
        "type": "object", "additionalProperties": false,
        "properties": {"good_for_ms": integer(), "note": text()},
    })
}

pub(super) fn issued_token() -> Value {
    json!({
        "type": "object", "required": ["token", "id", "expires_ms"],
        "properties": {"token": text(), "id": text(), "expires_ms": integer()},
    })
}

pub(super) fn policy() -> Value {
    json!({
        "type": "object", "required": ["principals", "actions", "on"], "additionalProperties": false,
        "properties": {
            "deny": {"type": "boolean"}, "principals": texts(), "actions": texts(), "on": texts(),
            "sections": texts(), "filter": text(),
        },
    })
}

pub(super) fn policies() -> Value {
    let mut policy = policy();
    policy["properties"]["name"] = text();
    listed("policies", policy)
}

pub(super) fn check() -> Value {
    json!({
        "type": "object", "required": ["principal", "action"], "additionalProperties": false,
        "properties": {
            "principal": text(), "action": text(), "on": text(), "section": text(), "filter": text(),
        },
    })
}

pub(super) fn decision() -> Value {
    json!({
        "type": "object", "required": ["allowed", "why"],
        "properties": {"allowed": {"type": "boolean"}, "why": text()},
    })
}

pub(super) fn audit() -> Value {
    let entry = json!({
        "type": "object",
        "properties": {
            "number": integer(), "at_ms": integer(), "node": integer(), "who": text(),
            "via": text(), "from": text(), "what": text(), "on": text(), "result": text(),
        },
    });
    listed("entries", entry)
}

fn listed(name: &str, item: Value) -> Value {
    json!({
        "type": "object", "required": [name],
        "properties": {name: {"type": "array", "items": item}},
    })
}
