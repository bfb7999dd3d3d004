//! JSON text: what is read, what is refused and where, and that nothing is lost on the way.

use pollux_twin::json::JsonErrorKind as Kind;
use pollux_twin::{JsonLimits, Value};
use proptest::prelude::*;

use crate::any::value;

const LIMITS: JsonLimits = JsonLimits { bytes_max: 1_000, depth_max: 3 };

#[track_caller]
fn check(text: &str, expected: &Value, written: &str) {
    let value = Value::from_json(text, &LIMITS).unwrap();
    // As text, too: -0.0 equals 0.0.
    assert_eq!(format!("{value:?}"), format!("{expected:?}"));
    assert_eq!(value.to_json(), written);
    assert_eq!(value.json_len(), written.len());
}

#[test]
fn reads_and_writes() {
    check(" null\n", &Value::Null, "null");
    check("true", &Value::Bool(true), "true");
    check("false", &Value::Bool(false), "false");
    check("0", &Value::Int(0), "0");
    check("-9223372036854775808", &Value::Int(i64::MIN), "-9223372036854775808");
    check("9223372036854775807", &Value::Int(i64::MAX), "9223372036854775807");
    check("9223372036854775808", &Value::Uint(1 << 63), "9223372036854775808");
    check("18446744073709551615", &Value::Uint(u64::MAX), "18446744073709551615");
    check("1.0", &Value::Float(1.0), "1.0");
    check("-0", &Value::Float(-0.0), "-0.0");
    check("1e3", &Value::Float(1000.0), "1000.0");
    check("1E+1", &Value::Float(10.0), "10.0");
    check("0.1", &Value::Float(0.1), "0.1");
    check("1.7976931348623157e308", &Value::Float(f64::MAX), "1.7976931348623157e308");
    check("5e-324", &Value::Float(5e-324), "5e-324");
    check("1e-400", &Value::Float(0.0), "0.0");
    check(r#""""#, &Value::from(""), r#""""#);
    check(
        r#""\"\\\/\b\f\n\r\t\u0041\u0001""#,
        &Value::from("\"\\/\u{8}\u{c}\n\r\tA\u{1}"),
        r#""\"\\/\b\f\n\r\tA\u0001""#,
    );
    check(r#""\ud83d\ude00 ü 😀""#, &Value::from("😀 ü 😀"), r#""😀 ü 😀""#);
    check("[ ]", &Value::Array(vec![]), "[]");
    check(
        "[1 , [2]]",
        &Value::Array(vec![1i64.into(), Value::Array(vec![2i64.into()])]),
        "[1,[2]]",
    );
    check(
        r#"{"b":1,"a":{}}"#,
        &Value::Object([("a".into(), Value::object()), ("b".into(), 1i64.into())].into()),
        r#"{"a":{},"b":1}"#,
    );
}

#[track_caller]
fn refused(text: impl AsRef<[u8]>, at: usize, kind: Kind) {
    let error = Value::from_json(text, &LIMITS).unwrap_err();
    assert_eq!((error.at, error.kind), (at, kind));
    assert!(error.to_string().starts_with("read json at byte"));
}

#[test]
fn refuses() {
    refused("", 0, Kind::Ends);
    refused("   ", 3, Kind::Ends);
    refused("nul", 0, Kind::Unexpected { expected: "a value" });
    refused("NaN", 0, Kind::Unexpected { expected: "a value" });
    refused("Infinity", 0, Kind::Unexpected { expected: "a value" });
    refused("-Infinity", 1, Kind::BadNumber);
    refused("1 2", 2, Kind::Trailing);
    refused("{}}", 2, Kind::Trailing);
    refused("01", 1, Kind::BadNumber);
    refused("-", 1, Kind::BadNumber);
    refused("1.", 2, Kind::BadNumber);
    refused("1e", 2, Kind::BadNumber);
    refused("+1", 0, Kind::Unexpected { expected: "a value" });
    refused(".5", 0, Kind::Unexpected { expected: "a value" });
    refused("18446744073709551616", 0, Kind::NumberRange);
    refused("-9223372036854775809", 0, Kind::NumberRange);
    refused("1e999", 0, Kind::NumberRange);
    refused("[-1e999]", 1, Kind::NumberRange);
    refused("[1", 2, Kind::Ends);
    refused("[1,]", 3, Kind::Unexpected { expected: "a value" });
    refused("[1 2]", 3, Kind::Unexpected { expected: "`,` or `]`" });
    refused("{a:1}", 1, Kind::Unexpected { expected: "a key in quotes" });
    refused(r#"{"a" 1}"#, 5, Kind::Unexpected { expected: "`:`" });
    refused(r#"{"a":1,}"#, 7, Kind::Unexpected { expected: "a key in quotes" });
    refused(r#"{"a":1 "b"}"#, 7, Kind::Unexpected { expected: "`,` or `}`" });
    refused(r#"{"a":1,"a":2}"#, 7, Kind::DuplicateKey);
    refused(r#"{"a":1,"\u0061":2}"#, 7, Kind::DuplicateKey);
    refused(r#"{"a":"#, 5, Kind::Ends);
    refused(r#""abc"#, 4, Kind::Ends);
    refused(r#""\"#, 1, Kind::Ends);
    refused(r#""\u00"#, 5, Kind::Ends);
    refused(r#""\x41""#, 1, Kind::BadEscape);
    refused(r#""\u00g0""#, 5, Kind::BadEscape);
    refused(r#""\ud800""#, 1, Kind::LoneSurrogate);
    refused(r#""\ud800\u0041""#, 1, Kind::LoneSurrogate);
    refused(r#""\udc00\ud800""#, 1, Kind::LoneSurrogate);
    refused("\"a\nb\"", 2, Kind::ControlCharacter);
    refused(b"\"\xff\"", 1, Kind::NotUtf8);
    refused(b"\"\xed\xa0\x80\"", 1, Kind::NotUtf8);
    refused("\u{feff}1", 0, Kind::Unexpected { expected: "a value" });
    refused("[[[[]]]]", 3, Kind::TooDeep { max: 3 });
    refused(r#"{"a":[{"b":[]}]}"#, 11, Kind::TooDeep { max: 3 });
    refused("[".repeat(10_000), 1_000, Kind::TooLarge { max: 1_000 });
    refused("[".repeat(1_000), 3, Kind::TooDeep { max: 3 });
}

/// Floats that every reader reads exactly: theirs may be off by the last bit.
fn coarse(value: Value) -> Value {
    match value {
        Value::Float(float) => Value::Float((float % 1024.0).round() / 4.0),
        Value::Array(items) => Value::Array(items.into_iter().map(coarse).collect()),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(key, value)| (key, coarse(value))).collect())
        }
        other => other,
    }
}

proptest! {
    #[test]
    fn nothing_is_lost(value in value()) {
        let text = value.to_json();
        prop_assert_eq!(value.json_len(), text.len());
        let read = Value::from_json(&text, &JsonLimits::default()).unwrap();
        prop_assert_eq!(&read, &value);
        prop_assert_eq!(read.to_json(), text);
    }

    #[test]
    fn another_reader_agrees(value in value()) {
        let value = coarse(value);
        let text = value.to_json();
        let theirs: serde_json::Value = serde_json::from_str(&text).unwrap();
        let ours = Value::from_json(theirs.to_string(), &JsonLimits::default()).unwrap();
        prop_assert_eq!(ours, value);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _result = Value::from_json(&bytes, &LIMITS);
    }

    #[test]
    fn any_json_like_text_is_read_as_another_reader_does(
        text in r#"[\[\]{}",:0-9.eE+\- a\\ntu]{0,12}"#
    ) {
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        match Value::from_json(&text, &LIMITS) {
            Ok(_) => prop_assert!(theirs.is_ok(), "{text}"),
            // Theirs takes duplicate keys, deep nesting, and integers beyond 64 bits as floats.
            Err(error) => prop_assert!(
                theirs.is_err()
                    || matches!(
                        error.kind,
                        Kind::DuplicateKey | Kind::TooDeep { .. } | Kind::NumberRange
                    ),
                "{text}"
            ),
        }
    }
}
