//! Reports: taken in order and once; a refusal uses its number up (safety rule 12).

use pollux_twin::Time;
use pollux_twin::input::FromDevice;

use crate::common::{Bench, check, json};

#[test]
fn a_report_is_changed_and_acknowledged() {
    let mut bench = Bench::connected();
    check(
        bench.report(1, r#"{"a":{"b":1},"c":null}"#),
        &[r#"change Reported patched {"a":{"b":1},"c":null} by device #1"#, "device 1: ack #1 1"],
    );
    assert_eq!(bench.view().reported.value, json(r#"{"a":{"b":1}}"#));
    assert_eq!((bench.view().version, bench.view().reported.by.as_str()), (1, "device"));
}

#[test]
fn a_report_without_news_is_only_marked() {
    let mut bench = Bench::connected();
    bench.report(1, r#"{"a":{"b":1}}"#);
    check(bench.report(2, r#"{"a":{"b":1}}"#), &["change None #2", "device 1: ack #2 1"]);
    check(bench.report(3, "{}"), &["change None #3", "device 1: ack #3 1"]);
}

#[test]
fn a_repeated_number_is_acknowledged_and_not_applied() {
    let mut bench = Bench::connected();
    bench.report(1, r#"{"a":1}"#);
    bench.report(2, r#"{"a":2}"#);
    check(bench.report(1, r#"{"a":1}"#), &["device 1: ack #1 2"]);
    check(bench.report(2, r#"{"a":2}"#), &["device 1: ack #2 2"]);
    assert_eq!(bench.view().reported.value, json(r#"{"a":2}"#));
}

#[test]
fn a_number_ahead_is_not_taken() {
    let mut bench = Bench::connected();
    check(bench.report(2, r#"{"a":1}"#), &["device 1: nack #2 OutOfOrder { expected: 1 }"]);
    check(bench.report(0, r#"{"a":1}"#), &["device 1: nack #0 OutOfOrder { expected: 1 }"]);
    check(
        bench.report(u64::MAX, "{}"),
        &["device 1: nack #18446744073709551615 OutOfOrder { expected: 1 }"],
    );
    assert!(bench.changes.len() == 1, "only the hello");
}

#[test]
fn a_refusal_uses_its_number_up_and_is_repeated() {
    let mut bench = Bench::connected();
    check(bench.report(1, "[1]"), &["change None #1 NotAnObject", "device 1: ack #1 NotAnObject"]);
    bench.report(2, r#"{"a":1}"#);
    check(bench.report(1, "[1]"), &["device 1: ack #1 NotAnObject"]);
    // As many answers are remembered as reports may be in flight.
    for seq in 3..=64 {
        bench.report(seq, "{}");
    }
    check(bench.report(1, "[1]"), &["device 1: ack #1 NotAnObject"]);
    bench.report(65, "{}");
    check(bench.report(1, "[1]"), &["device 1: ack #1 1"]);
}

#[test]
fn a_report_of_another_session_is_dropped() {
    let mut bench = Bench::connected();
    bench.hello(7);
    let old = pollux_twin::Input::Device {
        session: 1,
        message: FromDevice::Report { seq: 1, patch: json("{}"), observed_at: None },
    };
    check(bench.input(old), &["dropped SessionOver"]);
}

#[test]
fn leaves_carry_the_time_of_their_last_change() {
    let mut bench = Bench::connected();
    let mut report = |seq, now, observed_at: Option<u64>, patch| {
        bench.now = now;
        let observed_at = observed_at.map(Time::from_ms);
        bench.device(FromDevice::Report { seq, patch: json(patch), observed_at });
        let times = bench.view().reported.times;
        let line = |leaf: &pollux_twin::twin::LeafTime| {
            let observed = leaf.observed_at.map_or(String::new(), |at| format!("({})", at.ms));
            format!("{} {}{observed}", leaf.path, leaf.at.ms)
        };
        times.iter().map(line).collect::<Vec<_>>()
    };
    check(
        report(1, 2_000, Some(1_900), r#"{"a":{"b":1,"c":[1]},"x/y~":{}}"#),
        &["/a/b 2000(1900)", "/a/c 2000(1900)", "/x~1y~0 2000(1900)"],
    );
    check(
        report(2, 3_000, None, r#"{"a":{"b":1,"c":[2]}}"#),
        &["/a/b 2000(1900)", "/a/c 3000", "/x~1y~0 2000(1900)"],
    );
    check(
        report(3, 4_000, None, r#"{"a":{"b":null,"c":null}}"#),
        &["/a 4000", "/x~1y~0 2000(1900)"],
    );
}
