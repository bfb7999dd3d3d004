//! What the OpenAPI document says of artifacts.

use serde_json::{Value, json};

use super::super::artifacts::Call;
use super::{About, Answer, JSON, reference};

/// What a body of bytes may say it is.
const BYTES: &[&str] = &["application/octet-stream"];

/// A call about artifacts.
pub(super) fn about(call: Call) -> About {
    let (summary, answer) = match call {
        Call::ListArtifacts => ("List artifacts", Answer::Json("ArtifactList")),
        Call::PutArtifact => ("Bring an artifact", Answer::Json("Artifact")),
        Call::GetArtifact => ("Read an artifact, or a range of it", Answer::Bytes),
        Call::DescribeArtifact => ("Read what an artifact is", Answer::Json("Artifact")),
        Call::RemoveArtifact => ("Take an artifact away", Answer::Json("Object")),
        Call::ListArtifactKeys => {
            ("List the keys that artifacts are signed by", Answer::Json("ArtifactKeyList"))
        }
        Call::PutArtifactKey => ("Add such a key", Answer::Json("ArtifactKey")),
        Call::RemoveArtifactKey => ("Take such a key away", Answer::Json("Object")),
    };
    let (takes, body): (&[&str], _) = match call {
        Call::PutArtifact => (BYTES, "Bytes"),
        Call::PutArtifactKey => (JSON, "PutArtifactKey"),
        _ => (&[], ""),
    };
    let headers: &[&str] = match call {
        Call::PutArtifact => &["repr-digest", "content-digest", "pollux-signature"],
        Call::GetArtifact => &["range", "if-range", "if-none-match"],
        _ => &[],
    };
    let query: &[&str] = match call {
        Call::ListArtifacts => &["prefix", "page_size", "page_token"],
        _ => &[],
    };
    About { summary, query, headers, takes, body, answer }
}

/// The schemas of their bodies.
pub(super) fn schemas() -> [(&'static str, Value); 6] {
    let text = json!({"type": "string"});
    let integer = json!({"type": "integer", "format": "int64", "minimum": 0});
    let list =
        |name: &str, of: &str| json!({"type": "array", "items": reference(of), "title": name});
    let artifact = json!({
        "type": "object",
        "required": ["tenant", "name", "version", "size", "sha256", "media_type", "at_ms", "by"],
        "properties": {
            "tenant": text, "name": text, "version": text, "size": integer, "sha256": text,
            "media_type": text, "signature": text, "key": text, "at_ms": integer, "by": text,
        },
    });
    let key = json!({
        "type": "object", "required": ["tenant", "name", "public_key", "at_ms", "by"],
        "properties": {
            "tenant": text, "name": text, "public_key": text, "note": text, "at_ms": integer,
            "by": text,
        },
    });
    let put_key = json!({
        "type": "object", "required": ["public_key"], "additionalProperties": false,
        "properties": {"public_key": text, "note": text},
    });
    [
        ("Artifact", artifact),
        (
            "ArtifactList",
            json!({
                "type": "object", "required": ["artifacts", "next_page_token"],
                "properties": {
                    "artifacts": list("artifacts", "Artifact"),
                    "next_page_token": {"type": ["string", "null"]},
                },
            }),
        ),
        ("ArtifactKey", key),
        ("PutArtifactKey", put_key),
        (
            "ArtifactKeyList",
            json!({
                "type": "object", "required": ["keys"],
                "properties": {"keys": list("keys", "ArtifactKey")},
            }),
        ),
        ("Bytes", json!({"type": "string", "format": "binary"})),
    ]
}
