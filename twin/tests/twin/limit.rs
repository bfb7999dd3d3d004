//! Limits: at the bound it goes, one beyond it is refused, and what is over may shrink.

use pollux_twin::change::Section;
use pollux_twin::{Limits, Value};

use crate::common::{Bench, check, json};

#[track_caller]
fn refused(limits: Limits, patch: &Value, with: &str) {
    let mut bench = Bench { limits, ..Bench::new() };
    let request = pollux_twin::input::Request::Patch {
        section: Section::Desired,
        patch: patch.clone(),
        whole: false,
        expected: None,
    };
    let lines = bench.call(None, request);
    assert!(lines.len() == 1 && lines[0].contains(with), "{lines:?}");
    assert!(bench.twin.is_absent());
}

#[track_caller]
fn taken(limits: Limits, patch: &str) {
    let mut bench = Bench { limits, ..Bench::new() };
    assert_eq!(bench.patch(Section::Desired, patch).len(), 2);
}

#[test]
fn bytes_of_a_section() {
    let limits = || Limits { section_bytes_max: 15, ..Limits::default() };
    taken(limits(), r#"{"a":"12345 7"}"#);
    refused(limits(), &json(r#"{"a":"12345 78"}"#), "TooLarge { bytes: 16, max: 15 }");
    // The section counts, not the patch.
    let mut bench = Bench { limits: limits(), ..Bench::new() };
    bench.patch(Section::Desired, r#"{"a":1}"#);
    check(
        bench.patch(Section::Desired, r#"{"b":12345}"#),
        &["answer TooLarge { bytes: 17, max: 15 }"],
    );
    // Limits were lowered: what is there may shrink, not grow.
    bench.limits.section_bytes_max = 3;
    bench.patch(Section::Desired, r#"{"a":22}"#);
    assert_eq!(bench.view().desired.value, json(r#"{"a":1}"#));
    bench.patch(Section::Desired, r#"{"a":2}"#);
    assert_eq!(bench.view().desired.value, json(r#"{"a":2}"#));
}

#[test]
fn depth() {
    let limits = || Limits { depth_max: 2, ..Limits::default() };
    taken(limits(), r#"{"a":{"b":1}}"#);
    taken(limits(), r#"{"a":[1]}"#);
    refused(limits(), &json(r#"{"a":[[]]}"#), "TooDeep { max: 2 }");
    let mut deep = Value::Null;
    for _ in 0..1_000 {
        deep = Value::Array(vec![deep]);
    }
    let deep = Value::Object([("a".into(), deep)].into());
    refused(Limits::default(), &deep, "TooDeep { max: 16 }");
}

#[test]
fn keys() {
    let limits = || Limits { key_bytes_max: 3, object_keys_max: 2, ..Limits::default() };
    taken(limits(), r#"{"abc":1,"b":{"c":1,"d":1}}"#);
    refused(limits(), &json(r#"{"":1}"#), r#"BadKey { key: "" }"#);
    refused(limits(), &json(r#"{"a":[{"abcd":1}]}"#), r#"BadKey { key: "abcd" }"#);
    let long = "x".repeat(100_000);
    let short = format!("BadKey {{ key: {:?} }}", "x".repeat(32));
    refused(limits(), &Value::Object([(long, Value::Null)].into()), &short);
    refused(limits(), &json(r#"{"a":1,"b":1,"c":1}"#), "TooMany");
    refused(limits(), &json(r#"{"a":[{"a":1,"b":1,"c":1}]}"#), "TooMany");
    // Two and two make more than the object may have.
    let mut bench = Bench { limits: limits(), ..Bench::new() };
    bench.patch(Section::Desired, r#"{"x":{"a":1,"b":1}}"#);
    check(
        bench.patch(Section::Desired, r#"{"x":{"c":1}}"#),
        &[r#"answer TooMany { what: "keys in one object", max: 2 }"#],
    );
    assert_eq!(bench.patch(Section::Desired, r#"{"x":{"b":null,"c":1}}"#).len(), 2);
}

#[test]
fn numbers() {
    let number = |number| Value::Object([("a".into(), Value::Array(vec![number]))].into());
    refused(Limits::default(), &number(Value::Float(f64::NAN)), "is not finite");
    refused(Limits::default(), &number(Value::Float(f64::NEG_INFINITY)), "is not finite");
    refused(Limits::default(), &number(Value::Uint(7)), "send it as signed");
}
