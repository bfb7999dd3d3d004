//! The registry: who may come, by what, and who has to go.

use pollux_twin::change::Section;
use pollux_twin::image::{pack, unpack};
use pollux_twin::input::Request;
use pollux_twin::limits::Admission;
use pollux_twin::registration::{Proof, RegistryRequest, Shown};
use pollux_twin::{Life, Time, Value};

use crate::common::{Bench, check, json};

const TOKEN: [u8; 32] = [1; 32];
const CERTIFICATE: [u8; 32] = [2; 32];
const OTHER: [u8; 32] = [3; 32];

fn asked(bench: &mut Bench, request: RegistryRequest) -> Vec<String> {
    bench.call(None, Request::Registry(Box::new(request)))
}

fn registration(
    tags: Option<Value>,
    desired: Option<Value>,
    credentials: Vec<(String, Proof, Option<Time>)>,
) -> RegistryRequest {
    let (of_type, groups) = (None, Vec::new());
    RegistryRequest::Register { tags, desired, credentials, of_type, groups }
}

fn register(bench: &mut Bench, credentials: &[(&str, Proof, Option<u64>)]) -> Vec<String> {
    let credentials = credentials
        .iter()
        .map(|(name, proof, expires)| ((*name).to_owned(), *proof, expires.map(Time::from_ms)))
        .collect();
    asked(bench, registration(None, None, credentials))
}

fn disable(bench: &mut Bench, reason: &str) -> Vec<String> {
    asked(bench, RegistryRequest::Disable { reason: reason.into() })
}

fn strict() -> Bench {
    let mut bench = Bench::new();
    bench.limits.admission = Admission::Registered;
    bench
}

#[test]
fn who_is_not_registered_comes_only_where_proof_is_enough() {
    let mut bench = strict();
    check(bench.hello(7), &["device 0: refused NotRegistered"]);
    assert!(bench.twin.is_absent());
    check(register(&mut bench, &[]), &["change registered enabled []", "answer entry enabled []"]);
    assert_eq!(bench.hello(7).len(), 2, "connected and welcome");
    let mut open = Bench::new();
    assert_eq!(open.hello(7).len(), 2);
}

#[test]
fn registering_again_changes_nothing_and_keeps_what_it_does_not_name() {
    let mut bench = Bench::new();
    let token = ("t", Proof::Token(TOKEN), None);
    register(&mut bench, &[token]);
    let before = bench.twin.version();
    check(register(&mut bench, &[token]), &[r#"answer entry enabled ["t"]"#]);
    check(register(&mut bench, &[]), &[r#"answer entry enabled ["t"]"#]);
    assert_eq!(bench.twin.version(), before);
    disable(&mut bench, "");
    check(register(&mut bench, &[]), &[r#"answer entry disabled ["t"]"#]);
}

#[test]
fn a_device_is_registered_with_what_it_should_be() {
    let mut bench = Bench::connected();
    let (tags, desired) = (json(r#"{"site":"north"}"#), json(r#"{"interval":5}"#));
    let request = registration(Some(tags), Some(desired), Vec::new());
    check(
        asked(&mut bench, request),
        &[
            "change registered enabled []",
            r#"change Tags patched {"site":"north"} by tests"#,
            r#"change Desired patched {"interval":5} by tests"#,
            r#"device 1: desired 1 {"interval":5}"#,
            "answer entry enabled []",
        ],
    );
    let view = bench.view();
    assert_eq!((view.tags.by.as_str(), view.tags.version), ("tests", 1));
    assert_eq!(bench.twin.section(Section::Tags), json(r#"{"site":"north"}"#));
    let bad = registration(Some(json("[]")), None, Vec::new());
    check(asked(&mut bench, bad), &["answer NotAnObject"]);
}

#[test]
fn who_is_disabled_goes_and_does_not_come_back_until_enabled() {
    let mut bench = Bench::connected();
    check(
        disable(&mut bench, "stolen"),
        &[
            "change registered disabled []",
            "change Disconnected { session: 1 }",
            r#"device 1: bye Refused(Disabled { reason: "stolen" })"#,
            "answer entry disabled []",
        ],
    );
    check(bench.hello(7), &[r#"device 0: refused Disabled { reason: "stolen" }"#]);
    check(bench.report(1, "{}"), &["dropped SessionOver"]);
    // Deletion opens no way back in.
    bench.call(None, Request::Delete { expected: None });
    assert_eq!(bench.view().life, Life::Deleted);
    check(bench.hello(7), &[r#"device 0: refused Disabled { reason: "stolen" }"#]);
    asked(&mut bench, RegistryRequest::Enable);
    assert_eq!(bench.hello(7).len(), 2);
}

#[test]
fn a_token_counts_while_it_is_there_and_not_expired() {
    let mut bench = Bench::new();
    check(
        bench.shows(7, Shown::Token(TOKEN)),
        &["device 0: refused BadCredential { expired: None }"],
    );
    register(&mut bench, &[("t", Proof::Token(TOKEN), Some(2_000))]);
    check(
        bench.shows(7, Shown::Token(OTHER)),
        &["device 0: refused BadCredential { expired: None }"],
    );
    assert_eq!(bench.shows(7, Shown::Token(TOKEN)).len(), 2);
    bench.now = 2_000;
    check(
        bench.shows(8, Shown::Token(TOKEN)),
        &[r#"device 0: refused BadCredential { expired: Some("t") }"#],
    );
}

#[test]
fn a_pinned_certificate_shuts_out_all_others() {
    let mut bench = Bench::new();
    let certificate = |digest| Shown::Certificate(Some(digest));
    assert_eq!(bench.shows(7, certificate(OTHER)).len(), 2);
    let lines = register(&mut bench, &[("c", Proof::Certificate(CERTIFICATE), None)]);
    let bye = "device 1: bye Refused(BadCredential { expired: None })";
    assert!(lines.iter().any(|line| line == bye), "{lines:?}");
    for shown in [certificate(OTHER), Shown::Certificate(None)] {
        check(bench.shows(8, shown), &["device 0: refused BadCredential { expired: None }"]);
    }
    assert_eq!(bench.shows(8, certificate(CERTIFICATE)).len(), 2);
}

#[test]
fn a_revoked_pin_lets_nobody_in_and_a_deletion_does_not_unpin() {
    let certificate = |digest| Shown::Certificate(Some(digest));
    let revoke = || RegistryRequest::Revoke { name: "c".into() };
    let mut bench = Bench::new();
    register(&mut bench, &[("c", Proof::Certificate(CERTIFICATE), None)]);
    bench.shows(7, certificate(CERTIFICATE));
    let token =
        RegistryRequest::Give { name: "c".into(), proof: Proof::Token(TOKEN), expires: None };
    let lines = asked(&mut bench, token);
    assert!(lines.len() == 1 && lines[0].contains("give the token another name"), "{lines:?}");
    check(
        asked(&mut bench, revoke()),
        &[
            r#"change registered enabled ["c"]"#,
            "change Disconnected { session: 1 }",
            r#"device 1: bye Refused(BadCredential { expired: Some("c") })"#,
            r#"answer entry enabled ["c"]"#,
        ],
    );
    bench.call(None, Request::Delete { expected: None });
    for digest in [CERTIFICATE, OTHER] {
        let lines = bench.shows(8, certificate(digest));
        assert!(lines.len() == 1 && lines[0].contains("refused BadCredential"), "{lines:?}");
    }
    // Whoever means it says it once more.
    asked(&mut bench, revoke());
    assert_eq!(bench.shows(8, certificate(OTHER)).len(), 2);
}

#[test]
fn who_came_by_a_credential_goes_with_it_and_by_another_stays() {
    let two = [("a", Proof::Token(TOKEN), None), ("b", Proof::Token(OTHER), None)];
    let revoke = |name: &str| RegistryRequest::Revoke { name: name.into() };
    let mut bench = Bench::new();
    register(&mut bench, &two);
    bench.shows(7, Shown::Token(TOKEN));
    check(
        asked(&mut bench, revoke("b")),
        &[r#"change registered enabled ["a"]"#, r#"answer entry enabled ["a"]"#],
    );
    check(
        asked(&mut bench, revoke("a")),
        &[
            "change registered enabled []",
            "change Disconnected { session: 1 }",
            "device 1: bye Refused(BadCredential { expired: None })",
            "answer entry enabled []",
        ],
    );
    check(asked(&mut bench, revoke("a")), &[r#"answer UnknownCredential { name: "a" }"#]);
    // A session that another actor opened: what it was opened with is not known.
    register(&mut bench, &two);
    bench.shows(7, Shown::Token(TOKEN));
    let (twin, _) = unpack(&pack(&bench.twin, 1)).unwrap();
    bench.twin = twin;
    assert!(bench.twin.session().is_some());
    asked(&mut bench, RegistryRequest::Enable);
    register(&mut bench, &[]);
    assert!(bench.twin.session().is_some(), "nobody is kept out by that");
    check(
        asked(&mut bench, revoke("b")),
        &[
            r#"change registered enabled ["a"]"#,
            "change Disconnected { session: 2 }",
            "device 2: bye ProveAgain",
            r#"answer entry enabled ["a"]"#,
        ],
    );
}

#[test]
fn a_session_ends_with_the_credential_that_opened_it() {
    let give = |digest, expires: Option<u64>| RegistryRequest::Give {
        name: "t".into(),
        proof: Proof::Token(digest),
        expires: expires.map(Time::from_ms),
    };
    let mut bench = Bench::new();
    register(&mut bench, &[("t", Proof::Token(TOKEN), Some(2_000))]);
    assert_eq!(bench.twin.next_deadline(), None, "nobody came by it");
    bench.shows(7, Shown::Token(TOKEN));
    assert_eq!(bench.twin.next_deadline(), Some(Time::from_ms(2_000)));
    // One that is good for longer meanwhile, or for ever, holds the session.
    asked(&mut bench, give(TOKEN, Some(3_000)));
    check(bench.deadline(2_000), &[]);
    assert_eq!(bench.twin.next_deadline(), Some(Time::from_ms(3_000)));
    asked(&mut bench, give(TOKEN, None));
    assert_eq!(bench.twin.next_deadline(), None);
    asked(&mut bench, give(TOKEN, Some(4_000)));
    check(bench.deadline(3_999), &[]);
    bench.twin.rest();
    check(
        bench.deadline(4_000),
        &[
            "change Disconnected { session: 1 }",
            r#"device 1: bye Refused(BadCredential { expired: Some("t") })"#,
        ],
    );
    check(bench.deadline(4_000), &[]);
    assert_eq!((bench.twin.session(), bench.twin.next_deadline()), (None, None));
    check(
        bench.shows(7, Shown::Token(TOKEN)),
        &[r#"device 0: refused BadCredential { expired: Some("t") }"#],
    );
}

#[test]
fn only_who_came_by_what_expires_goes() {
    let certificate = |digest| Shown::Certificate(Some(digest));
    let mut bench = Bench::new();
    register(&mut bench, &[("t", Proof::Token(TOKEN), Some(2_000))]);
    bench.shows(7, certificate(CERTIFICATE));
    assert_eq!(bench.twin.next_deadline(), None, "by a certificate that needs no other credential");
    register(&mut bench, &[("c", Proof::Certificate(CERTIFICATE), Some(3_000))]);
    check(bench.deadline(2_000), &[]);
    check(
        bench.deadline(3_000),
        &[
            "change Disconnected { session: 1 }",
            r#"device 1: bye Refused(BadCredential { expired: Some("c") })"#,
        ],
    );
}

#[test]
fn who_came_to_another_actor_proves_itself_again_when_something_expires() {
    let mut bench = Bench::new();
    let two = [("a", Proof::Token(TOKEN), Some(2_000)), ("b", Proof::Token(OTHER), Some(3_000))];
    register(&mut bench, &two);
    bench.now = 2_500;
    bench.shows(7, Shown::Token(OTHER));
    let (twin, _) = unpack(&pack(&bench.twin, 1)).unwrap();
    bench.twin = twin;
    assert_eq!(bench.twin.next_deadline(), None, "nothing was heard of it");
    bench.report(1, "{}");
    assert_eq!(bench.twin.next_deadline(), Some(Time::from_ms(3_000)), "not by one that expired");
    check(
        bench.deadline(3_000),
        &["change Disconnected { session: 1 }", "device 1: bye ProveAgain"],
    );
}

#[test]
fn what_makes_no_sense_is_refused_and_a_misspelt_name_makes_no_device() {
    let mut bench = Bench::new();
    let give = |name: &str, expires| RegistryRequest::Give {
        name: name.into(),
        proof: Proof::Token(TOKEN),
        expires: Some(Time::from_ms(expires)),
    };
    let reason = || "x".to_owned();
    for request in [
        give("t", 5_000),
        RegistryRequest::Get,
        RegistryRequest::Enable,
        RegistryRequest::Disable { reason: reason() },
        RegistryRequest::Revoke { name: reason() },
    ] {
        check(asked(&mut bench, request), &["answer NotFound"]);
    }
    assert!(bench.twin.is_absent());
    register(&mut bench, &[]);
    for (request, said) in [
        (give("t", 1_000), "expired at 1000 ms"),
        (give("", 5_000), "name of the credential has 0 bytes"),
        (RegistryRequest::Disable { reason: "x".repeat(257) }, "reason has 257 bytes"),
    ] {
        let lines = asked(&mut bench, request);
        assert!(lines.len() == 1 && lines[0].contains(said), "{lines:?}");
    }
    for n in 0..8 {
        asked(&mut bench, give(&format!("t{n}"), 5_000));
    }
    check(
        asked(&mut bench, give("one more", 5_000)),
        &[r#"answer TooMany { what: "credentials", max: 8 }"#],
    );
}

#[test]
fn a_repeated_call_is_answered_and_not_carried_out_again() {
    let mut bench = Bench::connected();
    let request = || Request::Registry(Box::new(RegistryRequest::Disable { reason: "x".into() }));
    bench.call(None, Request::Registry(Box::new(RegistryRequest::Enable)));
    assert_eq!(bench.call(Some("k"), request()).len(), 4);
    bench.call(None, Request::Registry(Box::new(RegistryRequest::Enable)));
    check(bench.call(Some("k"), request()), &["answer entry enabled []"]);
    let other = Request::Registry(Box::new(RegistryRequest::Enable));
    check(bench.call(Some("k"), other), &["answer KeyReused"]);
}

#[test]
fn the_entry_is_in_the_image() {
    let mut bench = Bench::connected();
    register(&mut bench, &[("t", Proof::Token(TOKEN), Some(9_000))]);
    let image = pack(&bench.twin, 77);
    assert_eq!(image[0], 3);
    let (twin, _) = unpack(&image).unwrap();
    assert_eq!(twin.registration(), bench.twin.registration());
    assert_eq!(pack(&twin, 77), image);
    crate::glance::check(&image);
    let text: String = image.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(text, include_str!("image_registered.hex").trim());
}
