//! Bringing a deleted twin back: what it held is written again, and what came since stays.

use std::num::NonZeroU64;

use pollux_twin::change::Section;
use pollux_twin::image::{Glance, pack, unpack};
use pollux_twin::input::Request;
use pollux_twin::limits::RESTORABLE_MS;
use pollux_twin::registration::{Proof, RegistryRequest};
use pollux_twin::{Life, Time};

use crate::common::{Bench, check, json};

fn asked(bench: &mut Bench, request: RegistryRequest) -> Vec<String> {
    bench.call(None, Request::Registry(Box::new(request)))
}

fn delete(bench: &mut Bench) -> Vec<String> {
    asked(bench, RegistryRequest::Delete { expected: None })
}

fn restore(bench: &mut Bench) -> Vec<String> {
    asked(bench, RegistryRequest::Restore)
}

fn give(bench: &mut Bench, name: &str) {
    let name = name.into();
    asked(bench, RegistryRequest::Give { name, proof: Proof::Token([1; 32]), expires: None });
}

/// A registered twin with something in every section.
fn full() -> Bench {
    let mut bench = Bench::connected();
    bench.report(1, r#"{"a":1}"#);
    bench.patch(Section::Desired, r#"{"b":1}"#);
    bench.patch(Section::Tags, r#"{"c":{"d":1}}"#);
    give(&mut bench, "t");
    asked(&mut bench, RegistryRequest::Join { group: "north".into() });
    bench
}

#[test]
fn all_comes_back_and_versions_go_on() {
    let mut bench = full();
    check(
        delete(&mut bench),
        &[
            "change Buried { until: Time { ms: 604801000 } }",
            r#"change Deleted { by: "tests" }"#,
            "device 1: bye Deleted",
            "answer deleted 6",
        ],
    );
    let entry_before = full().twin.registration().cloned();
    check(
        restore(&mut bench),
        &[
            r#"change registered unregistered ["t"]"#,
            r#"change Tags patched {"c":{"d":1}} by tests"#,
            r#"change Desired patched {"b":1} by tests"#,
            r#"change Reported patched {"a":1} by tests"#,
            "change Forgotten",
            r#"answer entry unregistered ["t"]"#,
        ],
    );
    let view = bench.view();
    assert_eq!((view.life, view.version), (Life::Alive, 10));
    assert_eq!((&view.tags.value, view.tags.version), (&json(r#"{"c":{"d":1}}"#), 3));
    assert_eq!((&view.reported.value, view.reported.version), (&json(r#"{"a":1}"#), 3));
    assert_eq!(bench.twin.registration().cloned(), entry_before);
    check(restore(&mut bench), &["answer NotFound"]);
}

#[test]
fn what_came_since_stays() {
    let mut bench = full();
    delete(&mut bench);
    bench.hello(8);
    bench.report(1, r#"{"new":1}"#);
    give(&mut bench, "since");
    check(
        restore(&mut bench),
        &[
            r#"change registered unregistered ["since"]"#,
            r#"change Tags patched {"c":{"d":1}} by tests"#,
            r#"change Desired patched {"b":1} by tests"#,
            "change Forgotten",
            r#"device 2: desired 3 {"b":1}"#,
            r#"answer entry unregistered ["since"]"#,
        ],
    );
    assert_eq!(bench.view().reported.value, json(r#"{"new":1}"#));
    assert_eq!(bench.twin.registration().expect("it has one").groups, ["north"]);
}

#[test]
fn who_was_kept_out_since_stays_out() {
    let mut bench = full();
    delete(&mut bench);
    bench.patch(Section::Tags, r#"{"again":1}"#);
    asked(&mut bench, RegistryRequest::Disable { reason: "stolen".into() });
    let lines = restore(&mut bench);
    assert_eq!(lines.last().unwrap(), "answer entry disabled []");
    check(bench.hello(9), &[r#"device 0: refused Disabled { reason: "stolen" }"#]);
}

#[test]
fn it_is_kept_for_a_while() {
    let mut bench = full();
    check(restore(&mut bench), &["answer NotFound"]);
    delete(&mut bench);
    let until = bench.now + RESTORABLE_MS;
    assert_eq!(bench.twin.next_deadline(), Some(Time::from_ms(until)));
    assert!(!bench.twin.wants_wake(), "nothing keeps it in memory");
    check(bench.deadline(until - 1), &[]);
    let mut late = bench.clone();
    late.now = until;
    check(restore(&mut late), &["answer NotFound"]);
    check(bench.deadline(until), &["change Forgotten"]);
    check(restore(&mut bench), &["answer NotFound"]);
    assert_eq!(bench.twin.next_deadline(), None);
}

#[test]
fn nothing_is_kept_where_nobody_wants_it() {
    let mut bench = full();
    bench.limits.restorable_ms = None;
    let lines = delete(&mut bench);
    assert_eq!(lines[0], r#"change Deleted { by: "tests" }"#);
    check(restore(&mut bench), &["answer NotFound"]);
    bench.limits.restorable_ms = NonZeroU64::new(1);
    bench.hello(8);
    check(
        bench.call(None, Request::Delete { expected: None })[..1].to_vec(),
        &[r#"change Deleted { by: "tests" }"#],
    );
}

#[test]
fn a_repeated_call_does_it_once() {
    let mut bench = full();
    let request = |request| Request::Registry(Box::new(request));
    let delete = || request(RegistryRequest::Delete { expected: None });
    bench.call(Some("d"), delete());
    let version = bench.view().version;
    check(bench.call(Some("d"), delete()), &[&format!("answer deleted {version}")]);
    let restore = || request(RegistryRequest::Restore);
    assert_eq!(bench.call(Some("r"), restore()).len(), 6);
    let version = bench.view().version;
    assert_eq!(bench.call(Some("r"), restore()).len(), 1);
    assert_eq!(bench.view().version, version);
}

#[test]
fn an_image_has_what_was_buried() {
    let mut bench = full();
    delete(&mut bench);
    let image = pack(&bench.twin, 9);
    let until = bench.twin.restorable_until();
    assert_eq!(Glance::of(&image).unwrap().restorable_until(), until);
    let (mut twin, _) = unpack(&image).unwrap();
    assert_eq!(twin.restorable_until(), until);
    core::mem::swap(&mut bench.twin, &mut twin);
    assert_eq!(restore(&mut bench).len(), 6);
}

/// The bytes of a twin that can be brought back are as they were written.
#[test]
fn an_older_image_is_read() {
    let mut bench = full();
    delete(&mut bench);
    let image = pack(&bench.twin, 9);
    let text: String = image.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(text, include_str!("image_buried.hex").trim());
}
