//! What of a twin who may call it depends on, and what becomes of callers that may not.

use pollux_twin::change::Section;
use pollux_twin::image::Glance;
use pollux_twin::input::{CallId, CallKey, Request};
use pollux_twin::registration::RegistryRequest;
use pollux_twin::{Rejection, Time};

use crate::common::{Bench, json, line, patch_request};

/// Tags and groups, as filters are asked of them.
fn facts(bench: &Bench, request: &Request) -> Vec<String> {
    let told = |image: &std::sync::Arc<[u8]>| {
        let glance = Glance::of(image).unwrap();
        let tags = glance.section(Section::Tags).unwrap().content.to_value().to_json();
        let others =
            [Section::Desired, Section::Reported].map(|which| glance.section(which).unwrap());
        assert!(others.iter().all(|section| section.content.is_empty()), "nothing else is there");
        format!("{tags} {:?}", glance.groups().collect::<Vec<_>>())
    };
    bench.twin.facts(request).iter().map(told).collect()
}

fn registry(request: RegistryRequest) -> Request {
    Request::Registry(Box::new(request))
}

fn register(tags: Option<&str>, groups: &[&str]) -> Request {
    registry(RegistryRequest::Register {
        tags: tags.map(json),
        desired: None,
        credentials: Vec::new(),
        of_type: None,
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    })
}

#[test]
fn a_twin_is_what_it_is_before_a_call() {
    let mut bench = Bench::connected();
    bench.report(1, r#"{"a":1}"#);
    bench.patch(Section::Tags, r#"{"site":"berlin","x":null}"#);
    bench.patch(Section::Desired, r#"{"b":1}"#);
    bench.call(None, registry(RegistryRequest::Join { group: "north".into() }));
    let is = [r#"{"site":"berlin"} ["north"]"#];
    for request in [
        Request::Get,
        patch_request(Section::Tags, r#"{"site":"paris"}"#, None),
        register(Some(r#"{"site":"paris"}"#), &["south"]),
        registry(RegistryRequest::Leave { group: "north".into() }),
        registry(RegistryRequest::Restore),
    ] {
        assert_eq!(facts(&bench, &request), is, "{request:?}");
    }
    bench.twin.rest();
    assert_eq!(facts(&bench, &Request::Get), is);
    assert!(bench.twin.is_resting(), "looking does not wake it");
}

#[test]
fn one_that_is_not_there_is_what_the_call_makes_of_it() {
    let mut bench = Bench::new();
    for (request, becomes) in [
        (Request::Get, "{} []"),
        (patch_request(Section::Desired, r#"{"site":"berlin"}"#, None), "{} []"),
        (
            patch_request(Section::Tags, r#"{"site":"berlin","x":null}"#, None),
            r#"{"site":"berlin"} []"#,
        ),
        (register(None, &["north"]), r#"{} ["north"]"#),
        (register(Some(r#"{"site":"berlin"}"#), &[]), r#"{"site":"berlin"} []"#),
        (registry(RegistryRequest::Join { group: "north".into() }), "{} []"),
        (registry(RegistryRequest::Restore), "{} []"),
    ] {
        assert_eq!(facts(&bench, &request), [becomes], "{request:?}");
    }
    assert!(bench.twin.is_absent(), "looking makes none");
    // What was deleted is not there, and is what it was where it is brought back.
    bench.patch(Section::Tags, r#"{"site":"berlin"}"#);
    bench.call(None, registry(RegistryRequest::Join { group: "north".into() }));
    bench.call(None, registry(RegistryRequest::Delete { expected: None }));
    assert_eq!(facts(&bench, &Request::Get), ["{} []"]);
    let was = r#"{"site":"berlin"} ["north"]"#;
    assert_eq!(facts(&bench, &registry(RegistryRequest::Restore)), [was]);
    // Who made another one since has to be allowed both.
    bench.patch(Section::Tags, r#"{"site":"paris"}"#);
    let both = [r#"{"site":"paris"} []"#, was];
    assert_eq!(facts(&bench, &registry(RegistryRequest::Restore)), both);
}

/// What a twin says to a call that is turned down.
fn turned_down(bench: &mut Bench, key: Option<&CallKey>, request: &Request) -> Vec<String> {
    let refused = Rejection::Forbidden { action: "twin:write".into(), on: "acme/a".into() };
    bench.twin.turn_down(Time::from_ms(1_000), CallId(7), ("tests", key), request, refused);
    std::iter::from_fn(|| bench.twin.poll_output()).map(|output| line(&output)).collect()
}

#[test]
fn who_may_not_is_told_so_and_leaves_nothing() {
    let mut bench = Bench::new();
    bench.patch(Section::Tags, r#"{"a":1}"#);
    let before = bench.view();
    let write = patch_request(Section::Tags, r#"{"a":2}"#, None);
    let own = CallKey::Own("k".into());
    for key in [None, Some(&own)] {
        let said = turned_down(&mut bench, key, &write);
        assert_eq!(said.len(), 1, "nothing but the answer: {said:?}");
        assert!(said[0].contains("orbidden"), "{said:?}");
        assert!(bench.twin.is_new(Time::from_ms(1_000), "tests", key, &write), "not remembered");
    }
    assert_eq!(bench.view(), before);
    // Nothing was said of the key: it may be used once it is allowed.
    bench.call(Some("k"), write.clone());
    assert!(!bench.twin.is_new(Time::from_ms(1_000), "tests", Some(&own), &write));
}

#[test]
fn a_read_is_never_a_repetition() {
    let mut bench = Bench::new();
    bench.call(Some("k"), patch_request(Section::Tags, r#"{"a":1}"#, None));
    let key = CallKey::Own("k".into());
    let now = Time::from_ms(1_000);
    for read in [Request::Get, Request::GetCommand { id: 1 }, registry(RegistryRequest::Get)] {
        assert!(bench.twin.is_new(now, "tests", Some(&key), &read), "{read:?}");
    }
}

#[test]
fn an_attempt_that_may_still_come_finds_that_it_was_refused() {
    let mut bench = Bench::new();
    bench.patch(Section::Tags, r#"{"a":1}"#);
    let write = patch_request(Section::Tags, r#"{"a":2}"#, None);
    let now = Time::from_ms(1_000);
    let again = CallKey::Entry { id: 9, again: Some(now) };
    turned_down(&mut bench, Some(&again), &write);
    let first = CallKey::Entry { id: 9, again: None };
    assert!(!bench.twin.is_new(now, "tests", Some(&first), &write));
    assert_eq!(bench.view().tags.value.to_json(), r#"{"a":1}"#);
}
