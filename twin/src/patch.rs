//! JSON merge patch (RFC 7396) on plain values, and the delta of two values.
//!
//! Sections, whose leaves carry times, are patched in `tree` by the same rules; a property test
//! holds the two together.

use crate::value::{Object, Value};

/// Applies a merge patch to a value, as RFC 7396 section 2 says.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !matches!(target, Value::Object(_)) {
        *target = Value::object();
    }
    let Value::Object(members) = target else { return };
    for (key, value) in patch {
        match value {
            Value::Null => {
                members.remove(key);
            }
            Value::Object(_) => merge(members.entry(key.clone()).or_default(), value),
            _ => {
                members.insert(key.clone(), value.clone());
            }
        }
    }
}

/// What `desired` asks and `reported` does not yet show: the patch that, applied to `reported`,
/// makes it show what is desired. An empty object if there is nothing left to ask.
///
/// Members of objects in `desired` are never null (a merge patch cannot put one there).
pub fn delta(desired: &Value, reported: &Value) -> Value {
    match (desired, reported) {
        (Value::Object(desired), Value::Object(reported)) => {
            Value::Object(delta_members(desired, reported))
        }
        (Value::Object(desired), _) => Value::Object(desired.clone()),
        _ => Value::object(),
    }
}

fn delta_members(desired: &Object, reported: &Object) -> Object {
    let mut delta = Object::new();
    for (key, asked) in desired {
        match (asked, reported.get(key)) {
            (Value::Object(asked), Some(Value::Object(shown))) => {
                let inner = delta_members(asked, shown);
                if !inner.is_empty() {
                    delta.insert(key.clone(), Value::Object(inner));
                }
            }
            (asked, Some(shown)) if asked == shown => {}
            (asked, _) => {
                delta.insert(key.clone(), asked.clone());
            }
        }
    }
    delta
}
