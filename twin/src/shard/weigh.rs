//! How many bytes a change takes in the log, about: enough to bound batches and the gate.
//!
//! Never less than the encoded form takes (a test holds it), and cheap: one walk, no encoding.

use crate::change::{Change, Effect, Mark};
use crate::registration::Registration;
use crate::value::Value;

/// An archived value in a list, without what it points to.
const ITEM_BYTES: usize = 12;
/// An archived member of an object with its share of half-filled nodes, without what it points to.
const MEMBER_BYTES: usize = 40;
/// A change with everything that has a fixed size.
const CHANGE_BYTES: usize = 320;
/// An entry of the registry with everything that has a fixed size.
const ENTRY_BYTES: usize = 64;
/// A credential in it, likewise.
const CREDENTIAL_BYTES: usize = 96;
/// A B-tree node of an archived object, however few members it holds.
const NODE_BYTES: usize = 160;

/// Bytes of a change in an encoded batch, rounded up.
pub(super) fn weigh(key: &str, change: &Change) -> usize {
    let mark = match &change.mark {
        Mark::None => 0,
        // A rejection carries at most two short texts.
        Mark::Sequence { rejection: None, .. } => 0,
        Mark::Sequence { .. } | Mark::Key(_) | Mark::EntryKey(_) => {
            2 * crate::limits::TEXT_BYTES_MAX
        }
    };
    CHANGE_BYTES + key.len() + mark + weigh_effect(&change.effect)
}

fn weigh_effect(effect: &Effect) -> usize {
    use crate::change::CommandState::{Done, Failed};
    match effect {
        Effect::None
        | Effect::Connected { .. }
        | Effect::Disconnected { .. }
        | Effect::Buried { .. }
        | Effect::Forgotten => 0,
        Effect::Patched { patch, by, .. } => by.len() + weigh_value(patch),
        Effect::Telemetry { values, .. } => {
            values.iter().map(|(name, value)| name.len() + MEMBER_BYTES + weigh_value(value)).sum()
        }
        Effect::DesiredAcked { refused, .. } => refused.as_ref().map_or(0, |text| text.len()),
        Effect::CommandQueued(command) => {
            command.name.len() + command.by.len() + weigh_value(&command.payload)
        }
        Effect::CommandMoved { state: Done { answer }, .. } => weigh_value(answer),
        Effect::CommandMoved { state: Failed { reason }, .. } => reason.len(),
        Effect::CommandMoved { .. } => 0,
        Effect::Deleted { by } => by.len(),
        Effect::Registered(entry) => weigh_entry(entry),
    }
}

fn weigh_entry(entry: &Registration) -> usize {
    let credentials: usize =
        entry.credentials.iter().map(|one| CREDENTIAL_BYTES + one.name.len() + one.by.len()).sum();
    ENTRY_BYTES + entry.by.len() + entry.reason.len() + credentials
}

/// Recursion is bounded by the depth that a decided value may have.
fn weigh_value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Float(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| ITEM_BYTES + weigh_value(item)).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(key, member)| MEMBER_BYTES + key.len() + weigh_value(member))
            .fold(NODE_BYTES, |sum, bytes| sum + bytes),
    }
}
