//! The limits, as the owner checks them when it decides; apply never comes here (safety rule 9).

use alloc::format;
use alloc::string::String;

use crate::limits::{DEPTH_CEILING, Limits, TEXT_BYTES_MAX};
use crate::rejection::Rejection;
use crate::tree::{Tree, Write};
use crate::value::Value;

/// Whether a patch may go into a section, and whether it would change anything.
pub(super) fn patch(
    limits: &Limits,
    tree: &Tree,
    patch: &Value,
    write: Write,
) -> Result<bool, Rejection> {
    let Value::Object(members) = patch else { return Err(Rejection::NotAnObject) };
    value(limits, patch)?;
    let difference = tree.measure(members, write);
    count("keys in one object", difference.members_max, limits.object_keys_max)?;
    if difference.bytes > 0 {
        let gained = usize::try_from(difference.bytes).unwrap_or(usize::MAX);
        bytes(tree.json_len().saturating_add(gained), limits.section_bytes_max)?;
    }
    Ok(difference.changed)
}

/// Depth, keys and numbers of a value from outside.
pub(super) fn value(limits: &Limits, value: &Value) -> Result<(), Rejection> {
    nested(limits, value, limits.depth_max.min(DEPTH_CEILING))
}

fn nested(limits: &Limits, value: &Value, depth_left: usize) -> Result<(), Rejection> {
    let deeper = || {
        let max = u32::try_from(limits.depth_max.min(DEPTH_CEILING)).unwrap_or(u32::MAX);
        depth_left.checked_sub(1).ok_or(Rejection::TooDeep { max })
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::String(_) => Ok(()),
        Value::Uint(uint) => match i64::try_from(*uint) {
            Ok(_) => Err(invalid(format!("integer {uint} came as unsigned; send it as signed"))),
            Err(_) => Ok(()),
        },
        Value::Float(float) if float.is_finite() => Ok(()),
        Value::Float(float) => Err(invalid(format!("number {float} is not finite; send null"))),
        Value::Array(items) => {
            let depth_left = deeper()?;
            items.iter().try_for_each(|item| nested(limits, item, depth_left))
        }
        Value::Object(members) => {
            let depth_left = deeper()?;
            count("keys in one object", members.len(), limits.object_keys_max)?;
            members.iter().try_for_each(|(name, value)| {
                key(limits, name)?;
                nested(limits, value, depth_left)
            })
        }
    }
}

/// A key of an object, or a telemetry name.
pub(super) fn key(limits: &Limits, key: &str) -> Result<(), Rejection> {
    if key.is_empty() || key.len() > limits.key_bytes_max {
        let beginning = key.chars().take(BEGINNING_CHARS).collect();
        return Err(Rejection::BadKey { key: beginning });
    }
    Ok(())
}

/// As much of a bad key as its rejection repeats: it is logged with the mark.
const BEGINNING_CHARS: usize = 32;

/// A name, a reason, a caller: not empty, not long.
pub(super) fn text(what: &str, text: &str) -> Result<(), Rejection> {
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        let len = text.len();
        return Err(invalid(format!("{what} has {len} bytes; it takes 1 to {TEXT_BYTES_MAX}")));
    }
    Ok(())
}

/// A text that may be left out.
pub(super) fn text_or_none(what: &str, given: &str) -> Result<(), Rejection> {
    if given.is_empty() { Ok(()) } else { text(what, given) }
}

pub(super) fn bytes(bytes: usize, max: usize) -> Result<(), Rejection> {
    if bytes > max {
        let wide = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        return Err(Rejection::TooLarge { bytes: wide(bytes), max: wide(max) });
    }
    Ok(())
}

pub(super) fn count(what: &str, count: usize, max: usize) -> Result<(), Rejection> {
    if count > max {
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        return Err(Rejection::TooMany { what: what.into(), max });
    }
    Ok(())
}

pub(super) const fn invalid(reason: String) -> Rejection {
    Rejection::Invalid { reason }
}
