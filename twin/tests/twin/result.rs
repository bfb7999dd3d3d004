//! The device's word on a command.

use pollux_twin::Value;
use pollux_twin::input::FromDevice;

use crate::common::{Bench, check, command_request};

/// A device that was sent command 1.
fn sent() -> Bench {
    let mut bench = Bench::connected();
    bench.call(None, command_request("blink", false, true));
    bench
}

fn result(seq: u64, id: u64, result: Result<Value, &str>) -> FromDevice {
    FromDevice::CommandResult { seq, id, result: result.map_err(String::from) }
}

#[test]
fn a_failure_has_a_reason() {
    let mut bench = sent();
    check(
        bench.device(result(1, 1, Err("no lamp"))),
        &[
            r#"change moved 1 Failed { reason: "no lamp" } #1"#,
            r#"answer command 1 Failed { reason: "no lamp" }"#,
            "device 1: ack #1 0",
        ],
    );
}

#[test]
fn a_device_that_knows_nothing_of_it() {
    let mut bench = sent();
    check(
        bench.hello(7)[2..].to_vec(),
        &["device 2: welcome last 0 desired 0 {} reported 0", "device 2: ask 1"],
    );
    check(
        bench.device(FromDevice::CommandUnknown { seq: 1, id: 1 }),
        &["change moved 1 Unknown #1", "answer command 1 Unknown", "device 2: ack #1 0"],
    );
}

#[test]
fn an_answer_comes_once() {
    let mut bench = sent();
    bench.device(result(1, 1, Ok(Value::Null)));
    check(bench.device(result(1, 1, Ok(Value::Null))), &["device 1: ack #1 0"]);
    check(
        bench.device(result(2, 1, Ok(Value::Null))),
        &["change None #2 CommandOver", "device 1: ack #2 CommandOver"],
    );
    check(
        bench.device(FromDevice::CommandUnknown { seq: 3, id: 1 }),
        &["change None #3 CommandOver", "device 1: ack #3 CommandOver"],
    );
}

#[test]
fn an_answer_to_nothing_is_refused() {
    let mut bench = sent();
    check(
        bench.device(result(1, 9, Ok(Value::Null))),
        &["change None #1 UnknownCommand", "device 1: ack #1 UnknownCommand"],
    );
    let large = Value::from("x".repeat(16 * 1024));
    check(
        bench.device(result(2, 1, Ok(large))),
        &[
            "change None #2 TooLarge { bytes: 16386, max: 16384 }",
            "device 1: ack #2 TooLarge { bytes: 16386, max: 16384 }",
        ],
    );
}
