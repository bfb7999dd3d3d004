//! Rejections as gRPC statuses, and back on the caller's side.

use std::fmt::Write;

use pollux_twin::{JsonLimits, Rejection, Value};
use tonic::Status;
use tonic::metadata::{MetadataMap, MetadataValue};

use super::{from_value, message, row, to_value};
use crate::limits::{REJECTION_BYTES_MAX, REJECTION_TEXT_BYTES_MAX};
use crate::text::head;

/// The metadata entry that carries a rejection as JSON, in ASCII.
pub const REJECTION_HEADER: &str = "pollux-rejection";

/// The entry by which gRPC libraries know when to try again.
const PUSHBACK_HEADER: &str = "grpc-retry-pushback-ms";

/// The status of a refused call.
pub fn to_status(rejection: &Rejection) -> Status {
    let row = row(rejection);
    let mut metadata = MetadataMap::new();
    let detail = MetadataValue::try_from(ascii(&short(to_value(rejection)).to_json()))
        .expect("printable ASCII is a metadata value");
    metadata.insert(REJECTION_HEADER, detail);
    if let Some(ms) = row.retry_after_ms {
        metadata.insert(PUSHBACK_HEADER, ms.into());
    }
    let text = message(rejection);
    Status::with_metadata(row.grpc, head(&text, REJECTION_TEXT_BYTES_MAX), metadata)
}

/// The rejection that a status carries; `None` for a status that is not from a twin's refusal, such
/// as that of a broken connection.
pub fn from_status(status: &Status) -> Option<Rejection> {
    let detail = status.metadata().get(REJECTION_HEADER)?;
    let limits = JsonLimits { bytes_max: REJECTION_BYTES_MAX, depth_max: 1 };
    from_value(&Value::from_json(detail.as_bytes(), &limits).ok()?)
}

/// Cuts texts, since metadata must fit into a few KiB of headers.
fn short(value: Value) -> Value {
    match value {
        Value::String(text) => head(&text, REJECTION_TEXT_BYTES_MAX).into(),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(key, value)| (key, short(value))).collect())
        }
        other => other,
    }
}

/// JSON text in ASCII: what is not stands within strings, so it can be escaped there.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for unit in json.chars() {
        // DEL is ASCII and may stand in JSON, but not in a header.
        if unit.is_ascii() && unit != '\u{7f}' {
            out.push(unit);
            continue;
        }
        for half in unit.encode_utf16(&mut [0; 2]) {
            write!(out, "\\u{half:04x}").expect("writing to a string does not fail");
        }
    }
    out
}
