//! Devices with a type: what is written is as the type has it, by a version that only rises; and groups.

use pollux_twin::Time;
use pollux_twin::change::{Effect, Section};
use pollux_twin::image::{pack, unpack};
use pollux_twin::input::{FromDevice, Request};
use pollux_twin::registration::{OfType, Proof, RegistryRequest, Shown};
use pollux_twin::rejection::{Rejection, Violation};
use pollux_twin::types::{DeviceType, Part};
use proptest::prelude::*;

use crate::any::{Step, step};
use crate::common::{Bench, check, command_request, json};
use crate::kinds::{Kinds, Version};
use crate::laws::Run;

const VIOLATED: &str = r#"SchemaViolated(Violation { of_type: "x", version: 1, part: "reported", at: "/c", wrong: "nobody wants it" })"#;

fn register(of_type: &str, version: u64, groups: &[&str]) -> Request {
    Request::Registry(Box::new(RegistryRequest::Register {
        tags: None,
        desired: None,
        credentials: Vec::new(),
        of_type: Some(OfType { name: of_type.into(), version }),
        groups: groups.iter().map(|name| (*name).to_owned()).collect(),
    }))
}

/// A device of type `x`, connected.
fn typed() -> Bench {
    let mut bench = Bench { kinds: Kinds(1), ..Bench::new() };
    assert_eq!(bench.call(None, register("x", 1, &[])).len(), 2);
    bench.hello(7);
    bench
}

fn version(bench: &Bench) -> u64 {
    bench.twin.registration().and_then(|entry| entry.of_type.as_ref()).map_or(0, |of| of.version)
}

#[test]
fn a_report_that_breaks_the_type_uses_its_number_up_and_changes_nothing() {
    let mut bench = typed();
    bench.report(1, r#"{"a":1}"#);
    let before = bench.twin.section(Section::Reported);
    check(
        bench.report(2, r#"{"b":2,"c":3}"#),
        &[&format!("change None #2 {VIOLATED}"), &format!("device 1: ack #2 {VIOLATED}")],
    );
    assert_eq!(bench.twin.section(Section::Reported), before);
    // Sent again, it is answered again; what would change nothing is not looked at.
    check(bench.report(2, r#"{"b":2,"c":3}"#), &[&format!("device 1: ack #2 {VIOLATED}")]);
    check(bench.report(3, "{}"), &["change None #3", "device 1: ack #3 1"]);
}

#[test]
fn services_and_telemetry_are_looked_at_alike() {
    let mut bench = typed();
    let refused = |lines: Vec<String>, part: &str| {
        let said = lines.last().expect("an answer");
        let violated = said.contains("SchemaViolated") && said.contains(part);
        assert!(violated && bench_of(said), "{lines:?}");
    };
    refused(bench.patch(Section::Desired, r#"{"c":1}"#), "desired");
    assert_eq!(bench.patch(Section::Tags, r#"{"c":1}"#).len(), 2, "tags are nobody's type");
    let telemetry = |seq| FromDevice::Telemetry {
        seq,
        values: vec![("c".into(), json("1"))],
        observed_at: None,
    };
    refused(bench.device(telemetry(Some(1))), "telemetry");
    refused(bench.device(telemetry(None)), "telemetry");
    refused(bench.call(None, command_request("restart", true, false)), "command restart");
    assert!(bench.call(None, command_request("blink", true, false)).len() > 1);
    let desired = Some(json(r#"{"c":1}"#));
    let again = RegistryRequest::Register {
        tags: None,
        desired,
        credentials: Vec::new(),
        of_type: None,
        groups: Vec::new(),
    };
    refused(bench.call(None, Request::Registry(Box::new(again))), "desired");
}

fn bench_of(said: &str) -> bool {
    said.contains(r#"of_type: "x", version: 1"#)
}

#[test]
fn a_newer_version_counts_from_the_first_change_on_and_an_older_one_never_again() {
    let mut bench = typed();
    bench.kinds = Kinds(2);
    check(
        bench.report(1, r#"{"c":3}"#),
        &[
            "change registered enabled []",
            r#"change Reported patched {"c":3} by device #1"#,
            "device 1: ack #1 1",
        ],
    );
    assert_eq!(version(&bench), 2);
    // A node that did not hear of it: nothing is consumed, and nothing remembered.
    bench.kinds = Kinds(1);
    let overloaded = "Overloaded { retry_after_ms: 200 }";
    check(bench.report(2, r#"{"a":1}"#), &[&format!("device 1: nack #2 {overloaded}")]);
    let patch = crate::common::patch_request(Section::Desired, r#"{"a":1}"#, None);
    check(bench.call(Some("k"), patch.clone()), &[&format!("answer {overloaded}")]);
    check(bench.call(Some("l"), register("x", 9, &[])), &[&format!("answer {overloaded}")]);
    bench.kinds = Kinds(3);
    assert_eq!(
        bench.call(Some("k"), patch).last().map(String::as_str),
        Some("device 1: desired 1 {\"a\":1}")
    );
    assert_eq!(version(&bench), 3);
    // What is there does not fit it, so what is written must mend it.
    assert!(bench.report(2, r#"{"a":1}"#)[0].contains("SchemaViolated"));
    assert_eq!(bench.report(3, r#"{"c":null}"#).len(), 2);
}

#[test]
fn a_type_has_to_be_there_to_be_given_and_asks_nothing_once_it_is_gone() {
    let mut bench = Bench { kinds: Kinds(1), ..Bench::new() };
    for name in ["y", "z"] {
        let said = format!(r#"answer UnknownType {{ name: "{name}" }}"#);
        check(bench.call(None, register(name, 0, &[])), &[&said]);
    }
    assert!(bench.twin.is_absent());
    bench.call(None, register("x", 1, &[]));
    bench.call(None, register("", 0, &[]));
    assert_eq!(bench.twin.registration().and_then(|entry| entry.of_type.clone()), None);
    bench.hello(7);
    assert_eq!(bench.report(1, r#"{"c":3}"#).len(), 2);
}

#[test]
fn the_next_life_of_a_cluster_may_know_no_types() {
    let mut bench = typed();
    bench.twin.next_life(1_000);
    assert_eq!(version(&bench), 0);
    bench.kinds = Kinds(0);
    bench.hello(8);
    assert_eq!(bench.report(1, r#"{"c":3}"#).len(), 2, "there is no such type, and none was meant");
}

#[test]
fn groups_are_few_named_and_in_the_image() {
    let mut bench = Bench { kinds: Kinds(1), ..Bench::new() };
    let mut moved = |request| bench.call(None, Request::Registry(Box::new(request)));
    let join = |group: &str| RegistryRequest::Join { group: group.into() };
    check(moved(join("north")), &["answer NotFound"]);
    bench.call(None, register("x", 1, &["north", "old", "north"]));
    let mut moved = |request| bench.call(None, Request::Registry(Box::new(request)));
    moved(RegistryRequest::Leave { group: "old".into() });
    moved(join("a"));
    check(moved(join("a")), &["answer entry enabled []"]);
    for n in 0..14 {
        moved(join(&format!("g{n}")));
    }
    check(
        moved(join("one more")),
        &[r#"answer TooMany { what: "groups of one device", max: 16 }"#],
    );
    let said = moved(join(""));
    assert!(said[0].contains("name of the group has 0 bytes"), "{said:?}");
    let entry = bench.twin.registration().expect("it is registered");
    assert_eq!((entry.groups.len(), &*entry.groups[0], &*entry.groups[15]), (16, "a", "north"));
    let image = pack(&bench.twin, 1);
    assert_eq!(unpack(&image).unwrap().0.registration(), Some(entry));
    crate::glance::check(&image);
    // With the twin goes what it was.
    bench.call(None, Request::Delete { expected: None });
    assert_eq!(bench.twin.registration(), None);
}

fn enrolling(by: &str, at: u64, digest: u8, unmet: bool) -> Request {
    Request::Registry(Box::new(RegistryRequest::Enrol {
        enrolment: by.into(),
        unmet,
        at: Time::from_ms(at),
        proof: Proof::Token([digest; 32]),
        expires: None,
        tags: Some(json(r#"{"site":"north"}"#)),
        of_type: Some(OfType { name: "x".into(), version: 0 }),
        groups: vec!["new".into()],
    }))
}

fn refused(why: &str) -> String {
    format!(r#"answer NotEnrolled {{ why: "{why}" }}"#)
}

#[test]
fn one_of_a_batch_does_not_become_a_device_that_has_had_a_session() {
    let mut bench = Bench { kinds: Kinds(1), ..Bench::new() };
    // The answer may have been lost: until it comes by one of them, each counts.
    for (at, digest) in [(50, 1), (51, 2)] {
        let lines = bench.call(None, enrolling("spring", at, digest, true));
        assert!(lines.iter().any(|line| line.starts_with("answer entry enabled")), "{lines:?}");
    }
    assert_eq!(bench.shows(7, Shown::Token([2; 32])).len(), 2, "connected and welcome");
    let entry = bench.twin.registration().cloned();
    // Asked before it came, decided after.
    check(bench.call(None, enrolling("spring", 52, 3, true)), &[&refused("taken")]);
    assert_eq!(bench.twin.registration().cloned(), entry);
    assert!(bench.twin.session().is_some());
    // Nor when it is away, nor where it is as it was written.
    let Some(session) = bench.twin.session() else { unreachable!() };
    bench.twin = unpack(&pack(&bench.twin, 1)).unwrap().0;
    assert_eq!(bench.twin.session(), Some(session));
    check(bench.call(None, enrolling("spring", 53, 3, true)), &[&refused("taken")]);
    // Who has shown the device's own key may.
    let lines = bench.call(None, enrolling("spring", 54, 3, false));
    assert!(lines.iter().any(|line| line.starts_with("answer entry enabled")), "{lines:?}");
}

#[test]
fn an_enrolment_brings_who_is_not_there_and_each_proof_counts_once() {
    let enrol = |bench: &mut Bench, by: &str, at: u64, digest: u8| {
        bench.call(None, enrolling(by, at, digest, false))
    };
    let mut bench = Bench { kinds: Kinds(1), ..Bench::new() };
    check(
        enrol(&mut bench, "spring", 50, 1),
        &[
            r#"change registered enabled ["enrolled-token"]"#,
            r#"change Tags patched {"site":"north"} by tests"#,
            r#"answer entry enabled ["enrolled-token"]"#,
        ],
    );
    let entry = bench.twin.registration().expect("it is there").clone();
    assert_eq!((entry.groups.clone(), version(&bench)), (vec!["new".to_owned()], 1));
    assert_eq!(bench.shows(7, Shown::Token([1; 32])).len(), 2, "connected and welcome");
    for at in [49, 50] {
        check(enrol(&mut bench, "spring", at, 2), &[&refused("replayed")]);
    }
    check(enrol(&mut bench, "autumn", 90, 2), &[&refused("taken")]);
    assert_eq!(bench.twin.registration(), Some(&entry));
    // The next proof gives another credential for the one before, whose session ends.
    let lines = enrol(&mut bench, "spring", 51, 2);
    assert!(lines.iter().any(|line| line.contains("bye Refused(BadCredential")), "{lines:?}");
    bench
        .call(None, Request::Registry(Box::new(RegistryRequest::Disable { reason: "odd".into() })));
    check(enrol(&mut bench, "spring", 60, 3), &[r#"answer Disabled { reason: "odd" }"#]);
    // Who is there by anything else is nobody's to take.
    for mut other in [Bench::connected(), typed()] {
        check(enrol(&mut other, "spring", 60, 3), &[&refused("taken")]);
    }
}

#[test]
fn a_rejection_stays_small() {
    let violated = Rejection::SchemaViolated(Box::new(Violation {
        of_type: "x".into(),
        version: 1,
        part: "desired".into(),
        at: String::new(),
        wrong: String::new(),
    }));
    let size = size_of_val(&violated);
    assert!(size <= 64, "marks are many: {size} bytes");
}

proptest! {
    #[test]
    fn what_is_written_was_checked_by_a_version_that_only_rises(
        steps in prop::collection::vec(step(), 0..60)
    ) {
        let mut run = Run::new();
        let mut last = None;
        for step in steps {
            if let Step::Wait(_) = step {
                run.step(step);
                continue;
            }
            let outputs = run.step(step);
            let mut replica = run.before.clone();
            for change in outputs.iter().filter_map(|output| match output {
                pollux_twin::Output::Change(change) => Some(change),
                _ => None,
            }) {
                replica.apply(change).expect("it was applied");
                let counts = replica.registration().and_then(|entry| entry.of_type.clone());
                if let (Some(before), Some(now)) = (&last, &counts) {
                    let OfType { name, version } = before;
                    prop_assert!(*name != now.name || *version <= now.version);
                }
                last = counts;
                let (Some(of), Effect::Patched { section, .. }) = (&last, &change.effect) else { continue };
                let part = match section {
                    Section::Tags => continue,
                    Section::Desired => Part::Desired,
                    Section::Reported => Part::Reported,
                };
                let checker = Version(of.version);
                if of.name == "x" && checker.asks(part) {
                    prop_assert_eq!(checker.check(part, &replica.section(*section)), Ok(()));
                }
            }
            prop_assert!(last.as_ref().is_none_or(|of| of.version <= Kinds::at(run.now).0.max(2)));
        }
    }
}
