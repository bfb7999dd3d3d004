//! A total order over values that may be missing: what rows are sorted and groups are told apart by.

use std::cmp::Ordering;

use pollux_twin::Value;

use crate::value::Val;

/// What is missing comes last, whichever way the rest goes.
pub(crate) fn compare_with(descending: bool, a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if descending => compare(b, a),
        (Some(a), Some(b)) => compare(a, b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

/// Kinds one after the other; numbers by what they are worth, lists and objects by their JSON text.
pub(crate) fn compare(a: &Value, b: &Value) -> Ordering {
    let by_kind = rank(a).cmp(&rank(b));
    by_kind.then_with(|| match (scalar(a), scalar(b)) {
        (Some(a), Some(b)) => a.compare(&b).unwrap_or(Ordering::Equal),
        _ => a.to_json().cmp(&b.to_json()),
    })
}

const fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Int(_) | Value::Uint(_) | Value::Float(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

fn scalar(value: &Value) -> Option<Val<'_>> {
    Some(match value {
        Value::Null => Val::Null,
        Value::Bool(is) => Val::Bool(*is),
        Value::Int(int) => Val::Int(*int),
        Value::Uint(uint) => Val::Uint(*uint),
        Value::Float(double) => Val::Double(*double),
        Value::String(text) => Val::text(text),
        Value::Array(_) | Value::Object(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use pollux_twin::JsonLimits;

    use super::*;

    #[test]
    fn everything_has_its_place() {
        let sorted = [
            "null",
            "false",
            "true",
            "-1.5",
            "1",
            "1.5",
            "9223372036854775807",
            "1e19",
            "\"\"",
            "\"a\"",
            "[1]",
            "[]",
            "{\"a\":1}",
            "{}",
        ];
        let json = |text: &str| Value::from_json(text, &JsonLimits::default()).unwrap();
        for (n, a) in sorted.iter().enumerate() {
            for (m, b) in sorted.iter().enumerate() {
                assert_eq!(compare(&json(a), &json(b)), n.cmp(&m), "{a} {b}");
            }
        }
        assert_eq!(compare(&json("1"), &json("1.0")), Ordering::Equal);
        let one = json("1");
        for descending in [false, true] {
            assert_eq!(compare_with(descending, Some(&one), None), Ordering::Less);
        }
    }
}
