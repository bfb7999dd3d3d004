//! What the OpenAPI document says of jobs.

use pollux_proto::convert::JOB_DEVICE_STATES;
use pollux_twin::limits::TEXT_BYTES_MAX;
use serde_json::{Value, json};

use super::super::jobs::Call;
use super::{About, Answer, JSON, reference};
use crate::jobs::limits::{
    KEEP_MS_MAX, NAMED_MAX, RATE_MAX, RETRIES_MAX, RETRY_AFTER_MS_MAX, TIMEOUT_MS_MAX,
};

/// A call about a job.
pub(super) fn about(call: Call) -> About {
    let (summary, takes, body): (_, &[&str], _) = match call {
        Call::List => ("List jobs", &[], ""),
        Call::Put => ("Make a job", JSON, "NewJob"),
        Call::Get => ("Read a job", &[], ""),
        Call::Delete => ("Forget a job that is over", &[], ""),
        Call::Devices => ("List a job's devices, with where each stands", &[], ""),
        Call::Pause => ("Begin with no further device for now", &[], ""),
        Call::Resume => ("Go on with a paused job", &[], ""),
        Call::Cancel => ("Begin with no further device for good", &[], ""),
    };
    let answer = match call {
        Call::List => Answer::Json("JobList"),
        Call::Delete => Answer::Json("Object"),
        Call::Devices => Answer::Json("JobDevices"),
        Call::Put | Call::Get | Call::Pause | Call::Resume | Call::Cancel => Answer::Json("Job"),
    };
    let query: &[_] = match call {
        Call::List => &["page_size", "page_token"],
        Call::Devices => &["state", "page_size", "page_token"],
        _ => &[],
    };
    About { summary, query, headers: &[], takes, body, answer }
}

/// The schemas of their bodies.
pub(super) fn schemas() -> [(&'static str, Value); 5] {
    let text = json!({"type": "string"});
    let integer = json!({"type": "integer", "minimum": 0, "maximum": u64::MAX});
    let totals = ["devices", "waiting", "under_way", "done", "failed", "unknown", "cancelled"];
    let counts: serde_json::Map<String, Value> =
        totals.iter().map(|name| ((*name).to_owned(), integer.clone())).collect();
    let job = json!({
        "type": "object",
        "required": ["tenant", "name", "spec", "state", "totals", "created_by", "created_at_ms"],
        "properties": {
            "tenant": text, "name": text, "spec": reference("NewJob"),
            "state": {"type": "string", "enum": [
                "scheduled", "selecting", "running", "paused", "aborting", "cancelling",
                "finished", "aborted", "cancelled",
            ]},
            "reason": text,
            "totals": {"type": "object", "required": totals, "properties": counts},
            "created_by": text, "created_at_ms": integer, "started_at_ms": integer,
            "ended_at_ms": integer,
        },
    });
    let devices = json!({
        "type": "object", "required": ["devices"],
        "properties": {
            "devices": {"type": "array", "items": reference("JobDevice")},
            "next_page_token": text,
        },
    });
    let device = json!({
        "type": "object", "required": ["device", "state", "attempts"],
        "properties": {
            "device": text, "attempts": integer, "at_ms": integer, "number": integer,
            "reason": text,
            "state": {"type": "string", "enum": JOB_DEVICE_STATES.map(|(name, _)| name)},
        },
    });
    let list = json!({
        "type": "object", "required": ["jobs"],
        "properties": {
            "jobs": {"type": "array", "items": reference("Job")}, "next_page_token": text,
        },
    });
    [
        ("Job", job),
        ("NewJob", new_job()),
        ("JobList", list),
        ("JobDevices", devices),
        ("JobDevice", device),
    ]
}

fn new_job() -> Value {
    let text = json!({"type": "string"});
    let most = |most: u64| json!({"type": "integer", "minimum": 0, "maximum": most});
    let some = json!({"type": "object", "minProperties": 1});
    json!({
        "type": "object", "additionalProperties": false,
        "oneOf": [{"required": ["tags"]}, {"required": ["desired"]}, {"required": ["command"]}],
        "anyOf": [
            {"required": ["devices"], "not": {"anyOf": [
                {"required": ["prefix"]}, {"required": ["filter"]},
            ]}},
            {"required": ["prefix"], "not": {"required": ["devices"]}},
            {"required": ["filter"], "not": {"required": ["devices"]}},
        ],
        "properties": {
            "prefix": text, "filter": text,
            "devices": {
                "type": "array", "items": text, "minItems": 1, "maxItems": NAMED_MAX,
                "uniqueItems": true,
            },
            "tags": some, "desired": some,
            "command": {
                "type": "object", "required": ["name"], "additionalProperties": false,
                "properties": {
                    "name": {"type": "string", "minLength": 1, "maxLength": TEXT_BYTES_MAX},
                    "payload": {}, "connected_only": {"type": "boolean"},
                },
            },
            "await": {"type": "string", "enum": ["applied", "written"]},
            "rate_per_s": {"type": "integer", "minimum": 1, "maximum": RATE_MAX},
            "batch": most(u32::MAX.into()), "canary": most(u32::MAX.into()),
            "abort_above_percent": most(99),
            "start_at_ms": most(u64::MAX), "timeout_ms": most(TIMEOUT_MS_MAX),
            "retries": most(RETRIES_MAX.into()), "retry_after_ms": most(RETRY_AFTER_MS_MAX),
            "keep_ms": most(KEEP_MS_MAX),
        },
    })
}
