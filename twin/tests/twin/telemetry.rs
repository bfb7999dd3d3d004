//! Telemetry: numbered values are logged, datagrams lie over them until the actor goes.

use pollux_twin::image::{pack, unpack};
use pollux_twin::input::FromDevice;
use pollux_twin::{Time, Value};

use crate::common::{Bench, check, json};

fn values(seq: Option<u64>, values: &str) -> FromDevice {
    let values = json(values);
    let values = values.as_object().unwrap().clone().into_iter().collect();
    FromDevice::Telemetry { seq, values, observed_at: Some(Time::from_ms(5)) }
}

fn shown(bench: &Bench) -> String {
    let views = bench.view().telemetry;
    let line = |view: &pollux_twin::twin::TelemetryView| {
        format!("{}={}{} ", view.name, view.value, if view.volatile.is_some() { "~" } else { "" })
    };
    views.iter().map(line).collect()
}

#[test]
fn numbered_values_are_logged_and_datagrams_lie_over_them() {
    let mut bench = Bench::connected();
    check(
        bench.device(values(Some(1), r#"{"t":20.5,"p":[1,2]}"#)),
        &[
            r#"change Telemetry { values: [("p", Array([Int(1), Int(2)])), ("t", Float(20.5))], observed_at: Some(Time { ms: 5 }) } #1"#,
            "device 1: ack #1 0",
        ],
    );
    check(bench.device(values(None, r#"{"t":21,"u":1}"#)), &[]);
    assert_eq!(shown(&bench), "p=[1,2] t=21~ u=1~ ");
    let sessions: Vec<_> = bench.view().telemetry.iter().map(|view| view.volatile).collect();
    assert_eq!(sessions, [None, Some(1), Some(1)], "with the session that they came in");
    // A logged value is newer than the datagram before it.
    bench.device(values(Some(2), r#"{"t":22}"#));
    assert_eq!(shown(&bench), "p=[1,2] t=22 u=1~ ");
    assert_eq!(bench.view().version, 0, "telemetry is no part of the document");
    bench.twin = unpack(&pack(&bench.twin, 1)).unwrap().0;
    assert_eq!(shown(&bench), "p=[1,2] t=22 ");
}

#[test]
fn datagrams_are_forgotten_on_demand() {
    let mut bench = Bench::connected();
    bench.device(values(None, r#"{"t":21}"#));
    bench.twin.reset_volatile();
    assert_eq!(shown(&bench), "");
}

#[test]
fn bad_values_are_refused() {
    let mut bench = Bench::connected();
    let lines = bench.device(values(None, r#"{"t":null}"#));
    assert!(lines[0].starts_with("dropped Invalid"), "{lines:?}");
    check(bench.device(values(None, r#"{"":1}"#)), &[r#"dropped BadKey { key: "" }"#]);
    let long = Value::from("x".repeat(1023));
    check(
        bench.device(values(None, &format!(r#"{{"t":{long}}}"#))),
        &["dropped TooLarge { bytes: 1025, max: 1024 }"],
    );
    check(
        bench.device(values(Some(1), r#"{"":1}"#)),
        &[r#"change None #1 BadKey { key: "" }"#, r#"device 1: ack #1 BadKey { key: "" }"#],
    );
}

#[test]
fn names_are_bounded_together() {
    let mut bench = Bench::connected();
    let many = |from: u32, to: u32| {
        let values = (from..to).map(|i| (format!("n{i}"), Value::Int(1))).collect();
        FromDevice::Telemetry { seq: None, values, observed_at: None }
    };
    check(bench.device(many(0, 256)), &[]);
    check(bench.device(many(0, 256)), &[]);
    let over = r#"TooMany { what: "telemetry names", max: 256 }"#;
    check(bench.device(many(256, 257)), &[&format!("dropped {over}")]);
    check(
        bench.device(values(Some(1), r#"{"x":1}"#)),
        &[&format!("change None #1 {over}"), &format!("device 1: ack #1 {over}")],
    );
}
