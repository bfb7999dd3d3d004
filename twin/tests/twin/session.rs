//! Sessions: hello, take-over, the end, and a new owner's actor that never saw the hello.

use pollux_twin::Input;
use pollux_twin::change::Section;
use pollux_twin::image::{pack, unpack};
use pollux_twin::input::{FromDevice, Request};

use crate::common::{Bench, check, command_request};

#[test]
fn a_hello_makes_a_twin_and_a_session() {
    let mut bench = Bench::new();
    assert!(bench.twin.is_absent());
    check(
        bench.hello(7),
        &[
            "change Connected { session: 1, incarnation: 7, node: 1 }",
            "device 1: welcome last 0 desired 0 {} reported 0",
        ],
    );
    let presence = bench.view().presence;
    assert_eq!((presence.session, presence.node, presence.since.ms), (Some(1), 1, 1_000));
    assert!(bench.twin.wants_wake() && !bench.twin.is_absent());
}

#[test]
fn the_same_incarnation_goes_on_counting_another_begins_anew() {
    let mut bench = Bench::connected();
    bench.report(1, "[]");
    bench.patch(Section::Desired, r#"{"a":1}"#);
    check(
        bench.hello(7),
        &[
            "device 1: bye Superseded",
            "change Connected { session: 2, incarnation: 7, node: 1 }",
            r#"device 2: welcome last 1 desired 1 {"a":1} reported 0"#,
        ],
    );
    check(bench.report(1, "[]"), &["device 2: ack #1 NotAnObject"]);
    check(
        bench.hello(8),
        &[
            "device 2: bye TakenOver",
            "change Connected { session: 3, incarnation: 8, node: 1 }",
            r#"device 3: welcome last 0 desired 1 {"a":1} reported 0"#,
        ],
    );
    check(bench.report(1, "{}"), &["change None #1", "device 3: ack #1 0"]);
}

#[test]
fn the_first_incarnation_may_have_any_number() {
    check(
        Bench::new().hello(0),
        &[
            "change Connected { session: 1, incarnation: 0, node: 1 }",
            "device 1: welcome last 0 desired 0 {} reported 0",
        ],
    );
}

#[test]
fn only_the_current_session_ends() {
    let mut bench = Bench::connected();
    bench.hello(7);
    check(bench.input(Input::Disconnected { session: 1 }), &["dropped SessionOver"]);
    bench.now = 5_000;
    check(bench.input(Input::Disconnected { session: 2 }), &["change Disconnected { session: 2 }"]);
    check(bench.input(Input::Disconnected { session: 2 }), &["dropped SessionOver"]);
    check(bench.device(FromDevice::Get), &["dropped SessionOver"]);
    let presence = bench.view().presence;
    assert_eq!((presence.session, presence.since.ms), (None, 5_000));
    assert!(!bench.twin.wants_wake());
}

#[test]
fn a_device_may_ask_for_desired() {
    let mut bench = Bench::connected();
    check(bench.device(FromDevice::Get), &["device 1: desired 0 {}"]);
}

#[test]
fn an_acknowledged_desired_version_is_kept() {
    let mut bench = Bench::connected();
    bench.patch(Section::Desired, r#"{"a":1}"#);
    bench.patch(Section::Desired, r#"{"a":2}"#);
    let ack = |seq, version, refused: Option<&str>| FromDevice::DesiredAck {
        seq,
        version,
        refused: refused.map(String::from),
    };
    check(
        bench.device(ack(1, 2, Some("too hot"))),
        &[
            r#"change DesiredAcked { version: 2, refused: Some("too hot") } #1"#,
            "device 1: ack #1 0",
        ],
    );
    check(bench.device(ack(2, 1, None)), &["change None #2", "device 1: ack #2 0"]);
    let acked = bench.view().desired_acked.unwrap();
    assert_eq!((acked.version, acked.refused.as_deref()), (2, Some("too hot")));
    let lines = bench.device(ack(3, 3, None));
    assert!(lines[1].contains("acknowledge at most 2"), "{lines:?}");
    let lines = bench.device(ack(4, 2, Some("")));
    assert!(lines[1].contains("reason has 0 bytes"), "{lines:?}");
}

#[test]
fn a_session_that_an_earlier_actor_opened_is_told_anew_and_asked() {
    let mut bench = Bench::connected();
    bench.call(None, command_request("blink", false, false));
    bench.patch(Section::Desired, r#"{"a":1}"#);
    bench.twin = unpack(&pack(&bench.twin, 1)).unwrap().0;
    // Nobody knows whether the device is still there: nothing is pushed.
    check(
        bench.call(None, command_request("beep", true, false)),
        &["change queued 2 beep", "answer command 2 Queued"],
    );
    check(bench.call(None, command_request("beep", false, false)), &["answer DeviceOffline"]);
    check(
        bench.patch(Section::Desired, r#"{"a":2}"#),
        &[r#"change Desired patched {"a":2} by tests"#, "answer written Desired 2"],
    );
    check(
        bench.report(1, "{}"),
        &[
            r#"device 1: desired 2 {"a":2}"#,
            "device 1: ask 1",
            "change moved 2 Delivering { session: 1 }",
            "device 1: command 2 beep",
            "change None #1",
            "device 1: ack #1 0",
        ],
    );
}

/// Safety rule 18: what an earlier actor opened may be gone, and readers are told so until the device
/// is heard of or given up.
#[test]
fn a_session_not_heard_of_is_unknown_to_readers() {
    let mut bench = Bench::connected();
    let get = || Request::Get;
    check(bench.call(None, get()), &["answer twin version 0 reported {}"]);
    bench.twin = unpack(&pack(&bench.twin, 1)).unwrap().0;
    check(bench.call(None, get()), &["answer twin version 0 reported {} unknown"]);
    bench.report(1, "{}");
    check(bench.call(None, get()), &["answer twin version 0 reported {}"]);
    bench.twin = unpack(&pack(&bench.twin, 2)).unwrap().0;
    bench.input(Input::Disconnected { session: 1 });
    check(bench.call(None, get()), &["answer twin version 0 reported {}"]);
}
