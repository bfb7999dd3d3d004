//! Reports: dedup by number, refusals that use their number up, times per leaf.

use crate::common::{Bench, check};

#[test]
fn a_report_is_changed_and_acknowledged() {
    let mut bench = Bench::connected();
    check(
        bench.report(1, r#"{"a":{"b":1}}"#),
        &[r#"change Reported patched {"a":{"b":1}} by device #1"#, "device 1: ack #1 1"],
    );
    check(bench.report(2, r#"{"a":{"b":1}}"#), &["change None #2", "device 1: ack #2 1"]);
    check(bench.report(2, r#"{"a":{"b":2}}"#), &["device 1: ack #2 1"]);
    check(bench.report(4, r#"{"a":{"b":2}}"#), &["device 1: nack #4 OutOfOrder { expected: 3 }"]);
    let (image, index) = (pollux_twin::image::pack(&bench.twin, 5), 5);
    let (twin, found) = pollux_twin::image::unpack(&image).unwrap();
    assert_eq!((twin.view(), found), (bench.view(), index));
}
