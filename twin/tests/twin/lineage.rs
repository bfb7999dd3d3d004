//! The next life of a twin: nothing is given twice, and nothing that was kept is lost.

use pollux_twin::change::{CommandState, Section};
use pollux_twin::lineage::{LINEAGE_STRIDE, next_life};
use pollux_twin::{Twin, image};

use crate::common::{Bench, check, command_request, patch_request};

/// The twin as it goes on after its bytes were taken into the next life.
fn reborn(bench: &Bench) -> Bench {
    let image = image::pack(&bench.twin, 5);
    let next = next_life(&image, 1).unwrap();
    let (twin, index) = image::unpack(&next).unwrap();
    assert_eq!(index, 5, "where it changed last does not change");
    Bench { twin, now: bench.now, ..Bench::default() }
}

#[test]
fn numbers_jump_and_content_stays() {
    let mut bench = Bench::connected();
    bench.patch(Section::Desired, r#"{"a":1}"#);
    bench.patch(Section::Tags, r#"{"b":2}"#);
    bench.report(1, r#"{"c":3}"#);
    let (was, mut next) = (bench.view(), reborn(&bench));
    let is = next.view();
    assert_eq!(is.version, was.version + LINEAGE_STRIDE);
    for (is, was) in
        [(&is.tags, &was.tags), (&is.desired, &was.desired), (&is.reported, &was.reported)]
    {
        assert_eq!((is.version, &is.value), (was.version + LINEAGE_STRIDE, &was.value));
    }
    check(
        next.hello(7),
        &[
            "device 1000000001: bye Superseded",
            "change Connected { session: 1000000002, incarnation: 7, node: 1 }",
            "device 1000000002: welcome last 1 desired 1000000001 {\"a\":1} reported 1000000001",
        ],
    );
    // The device's numbers go on where they were, so what it sends again is known.
    check(next.report(1, r#"{"c":3}"#), &["device 1000000002: ack #1 1000000001"]);
}

#[test]
fn what_may_have_been_pushed_is_asked_about() {
    let mut bench = Bench::new();
    bench.patch(Section::Desired, r#"{"a":1}"#);
    bench.call(None, command_request("restart", true, false));
    assert_eq!(bench.twin.command(1).unwrap().state, CommandState::Queued);
    let mut next = reborn(&bench);
    let said = next.hello(7);
    assert!(said.iter().any(|line| line.ends_with(": ask 1")), "{said:?}");
    assert!(!said.iter().any(|line| line.contains("command 1 restart")), "{said:?}");
    next.call(None, command_request("restart", true, false));
    assert!(next.twin.command(LINEAGE_STRIDE + 2).is_some(), "ids jump");
}

#[test]
fn a_key_is_known_in_the_next_life() {
    let mut bench = Bench::new();
    let request = || patch_request(Section::Desired, r#"{"a":1}"#, None);
    check(bench.call(Some("k"), request())[1..].to_vec(), &["answer written Desired 1"]);
    // The answer is the one that was given.
    check(reborn(&bench).call(Some("k"), request()), &["answer written Desired 1"]);
}

#[test]
fn a_twin_that_nobody_spoke_of_begins_above_the_floor() {
    let twin = Twin::absent_above(LINEAGE_STRIDE);
    assert!(twin.is_absent());
    let mut bench = Bench { twin, now: 1_000, ..Bench::default() };
    let request = patch_request(Section::Desired, r#"{"a":1}"#, Some(0));
    let said = bench.call(None, request);
    assert_eq!(said.last().map(String::as_str), Some("answer written Desired 1000000001"));
    check(
        bench.hello(7)[..1].to_vec(),
        &["change Connected { session: 1000000001, incarnation: 7, node: 1 }"],
    );
}
