//! Commands: pushed at most once, queued for a device that is away, withdrawn, expired.

use pollux_twin::input::{FromDevice, Request};
use pollux_twin::{Input, Time, Value};

use crate::common::{Bench, check, command_request};

#[test]
fn a_connected_device_is_told_after_delivery_is_logged() {
    let mut bench = Bench::connected();
    check(
        bench.call(None, command_request("blink", false, false)),
        &[
            "change queued 1 blink",
            "change moved 1 Delivering { session: 1 }",
            "device 1: command 1 blink",
            "answer command 1 Delivering { session: 1 }",
        ],
    );
    check(
        bench.call(None, Request::GetCommand { id: 1 }),
        &["answer command 1 Delivering { session: 1 }"],
    );
}

#[test]
fn an_offline_device_finds_its_queue() {
    let mut bench = Bench::connected();
    bench.input(Input::Disconnected { session: 1 });
    check(bench.call(None, command_request("blink", false, false)), &["answer DeviceOffline"]);
    check(
        bench.call(None, command_request("blink", true, false)),
        &["change queued 1 blink", "answer command 1 Queued"],
    );
    check(
        bench.hello(7),
        &[
            "change Connected { session: 2, incarnation: 7, node: 1 }",
            "device 2: welcome last 0 desired 0 {} reported 0",
            "change moved 1 Delivering { session: 2 }",
            "device 2: command 1 blink",
        ],
    );
    // The session breaks: the device is asked, never told again.
    bench.input(Input::Disconnected { session: 2 });
    check(
        bench.hello(7),
        &[
            "change Connected { session: 3, incarnation: 7, node: 1 }",
            "device 3: welcome last 0 desired 0 {} reported 0",
            "device 3: ask 1",
        ],
    );
}

#[test]
fn a_waiting_call_is_answered_at_the_end() {
    let mut bench = Bench::connected();
    check(
        bench.call(None, command_request("blink", false, true)),
        &[
            "change queued 1 blink",
            "change moved 1 Delivering { session: 1 }",
            "device 1: command 1 blink",
        ],
    );
    assert!(bench.twin.is_busy());
    let result = FromDevice::CommandResult { seq: 1, id: 1, result: Ok(Value::Int(5)) };
    check(
        bench.device(result),
        &[
            "change moved 1 Done { answer: Int(5) } #1",
            "answer command 1 Done { answer: Int(5) }",
            "device 1: ack #1 0",
        ],
    );
    assert!(!bench.twin.is_busy());
}

#[test]
fn deadlines_end_commands() {
    let mut bench = Bench::connected();
    bench.call(None, command_request("blink", false, true));
    bench.input(Input::Disconnected { session: 1 });
    bench.now += 10;
    bench.call(None, command_request("beep", true, true));
    assert_eq!(bench.twin.next_deadline(), Some(Time::from_ms(1_100)));
    check(bench.deadline(1_099), &[]);
    check(bench.deadline(1_100), &["change moved 1 Unknown", "answer command 1 Unknown"]);
    assert_eq!(bench.twin.next_deadline(), Some(Time::from_ms(1_110)));
    check(bench.deadline(9_000), &["change moved 2 Expired", "answer command 2 Expired"]);
    assert_eq!(bench.twin.next_deadline(), None);
    check(bench.deadline(9_000), &[]);
}

#[test]
fn what_is_past_its_deadline_is_not_pushed() {
    let mut bench = Bench::connected();
    bench.input(Input::Disconnected { session: 1 });
    bench.call(None, command_request("blink", true, false));
    bench.now = 1_100;
    check(
        bench.hello(7),
        &[
            "change moved 1 Expired",
            "change Connected { session: 2, incarnation: 7, node: 1 }",
            "device 2: welcome last 0 desired 0 {} reported 0",
        ],
    );
}

#[test]
fn only_a_queued_command_is_withdrawn() {
    let mut bench = Bench::connected();
    let cancel = |id| Request::CancelCommand { id };
    check(bench.call(None, cancel(1)), &["answer UnknownCommand"]);
    bench.call(None, command_request("blink", false, false));
    let lines = bench.call(None, cancel(1));
    assert!(lines[0].contains("is being delivered"), "{lines:?}");
    bench.input(Input::Disconnected { session: 1 });
    bench.call(None, command_request("beep", true, true));
    check(
        bench.call(None, cancel(2)),
        &["change moved 2 Cancelled", "answer command 2 Cancelled", "answer command 2 Cancelled"],
    );
    check(bench.call(None, cancel(2)), &["answer CommandOver"]);
    check(Bench::new().call(None, cancel(2)), &["answer NotFound"]);
}

#[test]
fn live_and_finished_commands_are_bounded() {
    let mut bench = Bench::connected();
    for _ in 0..32 {
        bench.call(None, command_request("blink", false, false));
    }
    let over = r#"answer TooMany { what: "live commands", max: 32 }"#;
    check(bench.call(None, command_request("blink", false, false)), &[over]);
    bench.deadline(2_000);
    let ids: Vec<_> = bench.view().commands.iter().map(|command| command.id).collect();
    assert_eq!(ids, (17..=32).collect::<Vec<_>>(), "the last finished ones are kept");
    check(bench.call(None, Request::GetCommand { id: 1 }), &["answer UnknownCommand"]);
    check(bench.call(None, Request::GetCommand { id: 17 }), &["answer command 17 Unknown"]);
}

#[test]
fn senseless_commands_are_refused() {
    check(Bench::new().call(None, command_request("blink", true, false)), &["answer NotFound"]);
    let mut bench = Bench::connected();
    let command = |name: &str, payload, deadline_ms| Request::Command {
        name: name.into(),
        payload,
        deadline_ms,
        queue: true,
        wait: false,
    };
    let mut refused = |request, with: &str| {
        let lines = bench.call(None, request);
        assert!(lines.len() == 1 && lines[0].contains(with), "{lines:?}");
    };
    refused(command("", Value::Null, 1), "command name has 0 bytes");
    refused(command(&"x".repeat(257), Value::Null, 1), "command name has 257 bytes");
    refused(command("x", Value::Null, 0), "deadline of 0 ms");
    refused(command("x", Value::Null, 604_800_001), "deadline of 604800001 ms");
    let large = Value::from("x".repeat(16 * 1024));
    refused(command("x", large, 1), "TooLarge { bytes: 16386, max: 16384 }");
}
