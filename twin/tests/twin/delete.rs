//! Deletion: content goes, what protects against repetition stays (safety rule 16).

use pollux_twin::change::Section;
use pollux_twin::input::Request;
use pollux_twin::{Life, Value};

use crate::common::{Bench, check, command_request, patch_request};

const DELETE: Request = Request::Delete { expected: None };

/// A twin with something in every corner.
fn full() -> Bench {
    let mut bench = Bench::connected();
    bench.report(1, r#"{"a":1}"#);
    bench.patch(Section::Desired, r#"{"b":1}"#);
    bench.call(Some("k"), patch_request(Section::Tags, r#"{"c":1}"#, None));
    bench.call(None, command_request("blink", false, true));
    bench
}

#[test]
fn content_goes_and_the_session_ends() {
    let mut bench = full();
    check(
        bench.call(None, DELETE),
        &[
            "change moved 1 Unknown",
            "answer command 1 Unknown",
            r#"change Deleted { by: "tests" }"#,
            "device 1: bye Deleted",
            "answer deleted 4",
        ],
    );
    let view = bench.view();
    assert_eq!((view.life, view.version, view.presence.session), (Life::Deleted, 4, None));
    assert!(view.commands.is_empty() && view.telemetry.is_empty());
    assert!([&view.tags, &view.desired, &view.reported].iter().all(|section| {
        section.version == 2 && section.value == Value::object() && section.times.is_empty()
    }));
    check(bench.call(None, Request::Get), &["answer NotFound"]);
    check(bench.call(None, DELETE), &["answer NotFound"]);
    check(bench.call(None, command_request("blink", true, false)), &["answer NotFound"]);
    check(bench.report(2, "{}"), &["dropped SessionOver"]);
}

#[test]
fn what_protects_against_repetition_stays() {
    let mut bench = full();
    bench.call(None, DELETE);
    check(
        bench.call(Some("k"), patch_request(Section::Tags, r#"{"c":1}"#, None)),
        &["answer written Tags 1"],
    );
    check(
        bench.hello(7),
        &[
            "change Connected { session: 2, incarnation: 7, node: 1 }",
            "device 2: welcome last 1 desired 2 {} reported 2",
        ],
    );
    check(bench.report(1, r#"{"a":1}"#), &["device 2: ack #1 2"]);
    check(
        bench.call(None, command_request("beep", false, false))[..1].to_vec(),
        &["change queued 2 beep"],
    );
}

#[test]
fn versions_go_on_when_it_comes_back() {
    let mut bench = full();
    bench.call(None, DELETE);
    // To a caller it is not there: it may expect nothing but that.
    check(
        bench.call(None, patch_request(Section::Desired, r#"{"b":2}"#, Some(1))),
        &["answer VersionMismatch { section: Some(Desired), expected: 1, actual: 0 }"],
    );
    check(
        bench.call(None, patch_request(Section::Desired, r#"{"b":2}"#, Some(0))),
        &[r#"change Desired patched {"b":2} by tests"#, "answer written Desired 3"],
    );
    assert_eq!(bench.view().version, 5);
}

#[test]
fn the_expected_version_is_the_whole_twins() {
    let mut bench = full();
    check(
        bench.call(None, Request::Delete { expected: Some(2) }),
        &["answer VersionMismatch { section: None, expected: 2, actual: 3 }"],
    );
    let lines = bench.call(None, Request::Delete { expected: Some(3) });
    assert_eq!(lines.last().map(String::as_str), Some("answer deleted 4"));
}
