//! Services write tags and desired: versions, expectations, what the device is told.

use pollux_twin::change::Section;
use pollux_twin::input::Request;
use pollux_twin::{Life, Value};

use crate::common::{Bench, check, json, patch_request};

#[test]
fn desired_is_written_and_told() {
    let mut bench = Bench::connected();
    check(
        bench.patch(Section::Desired, r#"{"a":1,"b":2}"#),
        &[
            r#"change Desired patched {"a":1,"b":2} by tests"#,
            "answer written Desired 1",
            r#"device 1: desired 1 {"a":1,"b":2}"#,
        ],
    );
    check(bench.patch(Section::Desired, r#"{"a":1}"#), &["answer written Desired 1"]);
    assert_eq!(bench.view().delta, json(r#"{"a":1,"b":2}"#));
    bench.report(1, r#"{"a":1}"#);
    assert_eq!(bench.view().delta, json(r#"{"b":2}"#));
}

#[test]
fn tags_are_not_told() {
    let mut bench = Bench::connected();
    check(
        bench.patch(Section::Tags, r#"{"site":"x"}"#),
        &[r#"change Tags patched {"site":"x"} by tests"#, "answer written Tags 1"],
    );
}

#[test]
fn reported_is_the_devices() {
    let lines = Bench::connected().patch(Section::Reported, "{}");
    assert!(lines[0].starts_with("answer Invalid"), "{lines:?}");
    assert_eq!(lines.len(), 1);
}

#[test]
fn a_patch_makes_an_absent_twin() {
    let mut bench = Bench::new();
    check(
        bench.patch(Section::Tags, "{}"),
        &["change Tags patched {} by tests", "answer written Tags 1"],
    );
    assert_eq!(bench.twin.life(), Life::Alive);
    check(bench.patch(Section::Tags, "{}"), &["answer written Tags 1"]);
}

#[test]
fn an_expected_version_must_be_there() {
    let mut bench = Bench::new();
    let mut patch =
        |patch, expected| bench.call(None, patch_request(Section::Desired, patch, Some(expected)));
    check(
        patch(r#"{"a":1}"#, 1),
        &["answer VersionMismatch { section: Some(Desired), expected: 1, actual: 0 }"],
    );
    check(
        patch(r#"{"a":1}"#, 0),
        &[r#"change Desired patched {"a":1} by tests"#, "answer written Desired 1"],
    );
    check(
        patch(r#"{"a":2}"#, 0),
        &["answer VersionMismatch { section: Some(Desired), expected: 0, actual: 1 }"],
    );
    check(
        patch(r#"{"a":2}"#, 1),
        &[r#"change Desired patched {"a":2} by tests"#, "answer written Desired 2"],
    );
}

#[test]
fn a_section_is_replaced_whole() {
    let mut bench = Bench::new();
    bench.patch(Section::Desired, r#"{"a":{"x":1,"y":2},"b":2}"#);
    bench.now = 2_000;
    let replace = |content| Request::Patch {
        section: Section::Desired,
        patch: json(content),
        whole: true,
        expected: None,
    };
    check(
        bench.call(None, replace(r#"{"a":{"x":1},"c":null}"#)),
        &[r#"change Desired replaced {"a":{"x":1},"c":null} by tests"#, "answer written Desired 2"],
    );
    let desired = bench.view().desired;
    assert_eq!(desired.value, json(r#"{"a":{"x":1}}"#));
    assert_eq!(desired.times[0].at.ms, 1_000, "what stays keeps its time");
    check(bench.call(None, replace(r#"{"a":{"x":1}}"#)), &["answer written Desired 2"]);
    bench.call(None, replace("{}"));
    assert_eq!(bench.view().desired.value, Value::object());
}

#[test]
fn a_section_is_an_object() {
    check(Bench::new().patch(Section::Desired, "[1]"), &["answer NotAnObject"]);
    check(Bench::new().patch(Section::Desired, "null"), &["answer NotAnObject"]);
}
