//! Merge patches: the examples of RFC 7396 appendix A, and the delta.

use pollux_twin::change::Section;
use pollux_twin::patch::{delta, merge};

use crate::common::{Bench, json};

#[track_caller]
fn check(original: &str, patch: &str, expected: &str) {
    let mut value = json(original);
    merge(&mut value, &json(patch));
    assert_eq!(value.to_json(), json(expected).to_json());
    // A section follows the same rules, where an object can show it.
    let mut bench = Bench::new();
    bench.patch(Section::Desired, &format!(r#"{{"x":{original}}}"#));
    bench.patch(Section::Desired, &format!(r#"{{"x":{patch}}}"#));
    let shown = bench.view().desired.value;
    if patch != "null" && original != "null" {
        assert_eq!(shown.get("x").map(ToString::to_string), Some(json(expected).to_json()));
    }
}

#[test]
fn examples_of_the_standard() {
    check(r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#);
    check(r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#);
    check(r#"{"a":"b"}"#, r#"{"a":null}"#, "{}");
    check(r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#);
    check(r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#);
    check(r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#);
    check(r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#);
    check(r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#);
    check(r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#);
    check(r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#);
    check(r#"{"a":"foo"}"#, "null", "null");
    check(r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#);
    check("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#);
    check("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#);
}

/// A section has no null members to begin with, so this example is for plain values only.
#[test]
fn example_with_a_null_member() {
    let mut value = json(r#"{"e":null}"#);
    merge(&mut value, &json(r#"{"a":1}"#));
    assert_eq!(value, json(r#"{"e":null,"a":1}"#));
}

#[track_caller]
fn check_delta(desired: &str, reported: &str, expected: &str) {
    assert_eq!(delta(&json(desired), &json(reported)).to_json(), expected);
}

#[test]
fn deltas() {
    check_delta("{}", r#"{"a":1}"#, "{}");
    check_delta(r#"{"a":1}"#, r#"{"a":1,"b":2}"#, "{}");
    check_delta(r#"{"a":1}"#, r#"{"a":1.0}"#, r#"{"a":1}"#);
    check_delta(r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"b":1}}"#, r#"{"a":{"c":2}}"#);
    check_delta(r#"{"a":{"b":1}}"#, r#"{"a":7}"#, r#"{"a":{"b":1}}"#);
    check_delta(r#"{"a":{}}"#, "{}", r#"{"a":{}}"#);
    check_delta(r#"{"a":{}}"#, r#"{"a":{"b":1}}"#, "{}");
    check_delta(r#"{"a":[1,2]}"#, r#"{"a":[1]}"#, r#"{"a":[1,2]}"#);
}
