//! Idempotency keys: the same call twice has one effect and one answer (safety rule 15).

use pollux_twin::Input;
use pollux_twin::change::Section;
use pollux_twin::input::{CallId, CallKey, Request};

use crate::common::{Bench, check, command_request, patch_request};

#[test]
fn a_repeated_call_is_answered_as_before() {
    let mut bench = Bench::new();
    let patch = |patch| patch_request(Section::Desired, patch, None);
    check(
        bench.call(Some("k"), patch(r#"{"a":1}"#)),
        &[r#"change Desired patched {"a":1} by tests key Ok(1)"#, "answer written Desired 1"],
    );
    bench.call(None, patch(r#"{"a":2}"#));
    check(bench.call(Some("k"), patch(r#"{"a":1}"#)), &["answer written Desired 1"]);
    check(bench.call(Some("k"), patch(r#"{"a":3}"#)), &["answer KeyReused"]);
    // The same key of another caller is another key.
    let other = Input::Call {
        call: CallId(1),
        caller: "other".into(),
        key: Some(CallKey::Own("k".into())),
        request: patch(r#"{"a":3}"#),
    };
    assert_eq!(bench.input(other).len(), 2);
    // Without news, the key alone is logged.
    check(
        bench.call(Some("l"), patch("{}")),
        &["change None key Ok(3)", "answer written Desired 3"],
    );
}

#[test]
fn a_refusal_is_remembered_unless_there_is_no_twin() {
    let mut bench = Bench::new();
    check(bench.call(Some("k"), Request::Delete { expected: None }), &["answer NotFound"]);
    assert!(bench.twin.is_absent());
    bench.patch(Section::Tags, "{}");
    let patch = || patch_request(Section::Desired, r#"{"a":1}"#, Some(5));
    let refused = "VersionMismatch { section: Some(Desired), expected: 5, actual: 0 }";
    check(
        bench.call(Some("l"), patch()),
        &[&format!("change None key Err({refused})"), &format!("answer {refused}")],
    );
    check(bench.call(Some("l"), patch()), &[&format!("answer {refused}")]);
}

#[test]
fn a_repeated_command_is_looked_up() {
    let mut bench = Bench::connected();
    let send = |wait| command_request("blink", false, wait);
    check(bench.call(Some("k"), send(true))[..1].to_vec(), &["change queued 1 blink key Ok(1)"]);
    check(bench.call(Some("k"), send(true)), &[]);
    check(bench.call(Some("k"), send(false)), &["answer KeyReused"]);
    check(
        bench.deadline(1_100),
        &["change moved 1 Unknown", "answer command 1 Unknown", "answer command 1 Unknown"],
    );
    check(bench.call(Some("k"), send(true)), &["answer command 1 Unknown"]);
}

#[test]
fn calls_that_wait_are_bounded_and_may_be_forgotten() {
    let mut bench = Bench::connected();
    let send = || command_request("blink", false, true);
    bench.call(Some("k"), send());
    for _ in 1..256 {
        check(bench.call(Some("k"), send()), &[]);
    }
    let over = "answer Overloaded { retry_after_ms: 1000 }";
    check(bench.call(Some("k"), send()), &[over]);
    check(bench.call(Some("l"), send()), &[over]);
    bench.twin.forget_call(CallId(9));
    assert!(!bench.twin.is_busy());
    check(bench.deadline(1_100), &["change moved 1 Unknown"]);
}

#[test]
fn a_repeated_deletion_and_cancellation() {
    let mut bench = Bench::connected();
    bench.input(Input::Disconnected { session: 1 });
    bench.call(None, command_request("blink", true, false));
    let cancel = || Request::CancelCommand { id: 1 };
    check(
        bench.call(Some("c"), cancel()),
        &["change moved 1 Cancelled key Ok(1)", "answer command 1 Cancelled"],
    );
    check(bench.call(Some("c"), cancel()), &["answer command 1 Cancelled"]);
    let delete = || Request::Delete { expected: None };
    check(
        bench.call(Some("d"), delete()),
        &[r#"change Deleted { by: "tests" } key Ok(1)"#, "answer deleted 1"],
    );
    bench.hello(7);
    check(bench.call(Some("d"), delete()), &["answer deleted 1"]);
    assert_eq!(bench.twin.life(), pollux_twin::Life::Alive);
}

#[test]
fn keys_are_forgotten_after_their_window_and_bounded_within() {
    let mut bench = Bench::new();
    bench.patch(Section::Tags, "{}");
    let patch = || patch_request(Section::Tags, "{}", None);
    for i in 0..512 {
        bench.now += 1;
        bench.call(Some(&format!("k{i}")), patch());
    }
    // The first came at 1001 and goes 300 s later.
    check(bench.call(Some("one more"), patch()), &["answer Overloaded { retry_after_ms: 299489 }"]);
    check(bench.call(None, patch()), &["answer written Tags 1"]);
    check(bench.call(Some("k0"), patch()), &["answer written Tags 1"]);
    bench.now = 1_001 + 300_000;
    check(bench.call(Some("k0"), patch()), &["change None key Ok(1)", "answer written Tags 1"]);
}

#[test]
fn keys_and_callers_are_texts_of_some_length() {
    let mut bench = Bench::new();
    let get = || Request::Get;
    for key in [String::new(), "x".repeat(129)] {
        let lines = bench.call(Some(&key), get());
        assert!(lines[0].contains("it takes 1 to 128"), "{lines:?}");
    }
    let call = Input::Call { call: CallId(1), caller: String::new(), key: None, request: get() };
    let lines = bench.input(call);
    assert!(lines[0].contains("caller has 0 bytes"), "{lines:?}");
}

fn tag(patch: &str) -> Request {
    patch_request(Section::Tags, patch, None)
}

#[test]
fn an_attempt_that_is_repeated_has_one_effect() {
    let mut bench = Bench::new();
    check(
        bench.attempt(1, None, tag(r#"{"a":1}"#)),
        &[r#"change Tags patched {"a":1} by tests entry key Ok(1)"#, "answer written Tags 1"],
    );
    bench.attempt(2, None, tag(r#"{"a":2}"#));
    check(bench.attempt(1, Some(1_000), tag(r#"{"a":1}"#)), &["answer written Tags 1"]);
    // What had no effect needs no mark: it may be decided again.
    check(bench.attempt(3, None, tag("{}")), &["answer written Tags 2"]);
    let mismatch = "VersionMismatch { section: Some(Tags), expected: 9, actual: 2 }";
    let late = patch_request(Section::Tags, r#"{"a":3}"#, Some(9));
    check(bench.attempt(4, None, late), &[&format!("answer {mismatch}")]);
}

#[test]
fn an_attempt_that_may_be_forgotten_is_not_made_again() {
    let mut bench = Bench::new();
    for id in 1..=16 {
        bench.now += 1;
        bench.attempt(id, None, tag(&format!(r#"{{"n":{id}}}"#)));
    }
    check(bench.attempt(1, Some(1_000), tag(r#"{"n":1}"#)), &["answer written Tags 1"]);
    bench.attempt(17, None, tag(r#"{"n":17}"#));
    check(bench.attempt(1, Some(1_000), tag(r#"{"n":1}"#)), &["answer Unknown"]);
    check(bench.attempt(2, Some(1_000), tag(r#"{"n":2}"#)), &["answer written Tags 2"]);
    assert_eq!(bench.view().version, 17);
    // The second, the oldest there, is of 1002: one that was not made before 1003 is not forgotten.
    check(bench.attempt(99, Some(1_002), tag("{}")), &["answer Unknown"]);
    check(
        bench.attempt(99, Some(1_003), tag("{}")),
        &["change None key Ok(17)", "answer written Tags 17"],
    );
    // Keys of callers take no room of these, nor these of callers'.
    check(bench.call(Some("k"), tag("{}")), &["change None key Ok(17)", "answer written Tags 17"]);
    // The second came at 1002; once its time is over, nothing younger is forgotten.
    bench.now = 1_002 + 300_000;
    check(
        bench.attempt(18, Some(1_000), tag(r#"{"n":18}"#)),
        &[r#"change Tags patched {"n":18} by tests key Ok(18)"#, "answer written Tags 18"],
    );
}

#[test]
fn an_attempt_that_comes_after_its_repetition_is_recognised_however_many_came_between() {
    let mut bench = Bench::new();
    bench.attempt(1, Some(1_000), tag(r#"{"n":1}"#));
    for id in 2..=40 {
        bench.attempt(id, None, tag(&format!(r#"{{"n":{id}}}"#)));
    }
    check(bench.attempt(1, None, tag(r#"{"n":1}"#)), &["answer written Tags 1"]);
    assert_eq!(bench.view().version, 40);
}

#[test]
fn keys_that_nodes_made_are_in_the_image() {
    let mut bench = Bench::new();
    bench.attempt(1, None, tag(r#"{"n":1}"#));
    let image = pollux_twin::image::pack(&bench.twin, 3);
    assert_eq!(image[0], 2);
    (bench.twin, _) = pollux_twin::image::unpack(&image).unwrap();
    check(bench.attempt(1, Some(1_000), tag(r#"{"n":1}"#)), &["answer written Tags 1"]);
}
