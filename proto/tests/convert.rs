//! Twins as messages and as JSON, and requests as calls of a twin.

use pollux_proto::convert::{self, Whose};
use pollux_proto::feed::Fit;
use pollux_proto::json_view::document;
use pollux_proto::v1;
use pollux_twin::change::Section;
use pollux_twin::input::{CallId, ConnectionId, FromDevice, Request};
use pollux_twin::output::Answer;
use pollux_twin::registration::Shown;
use pollux_twin::table::Versions;
use pollux_twin::{
    Change, Effect, Input, JsonLimits, Limits, Mark, Output, Rejection, Time, Twin, TwinKey, Value,
};

fn value(json: &str) -> Value {
    Value::from_json(json, &JsonLimits::default()).expect("the test's own json is right")
}

fn key() -> TwinKey {
    TwinKey::parse("pump-1").expect("the test's own id is right")
}

/// A twin to which something of every kind has happened.
fn lively_twin() -> Twin {
    let mut twin = Twin::absent();
    let mut ms = 1_000;
    let mut handle = |input| {
        ms += 10;
        twin.handle(Time::from_ms(ms), &Limits::default(), input).expect("a known session");
        while twin.poll_output().is_some() {}
    };
    let call =
        |request| Input::Call { call: CallId(1), caller: "shop".to_owned(), key: None, request };
    let patch = |section, json| {
        let (whole, expected) = (false, None);
        call(Request::Patch { section, patch: value(json), whole, expected })
    };
    let device = |message| Input::Device { session: 1, message };
    handle(patch(Section::Tags, r#"{"site":"Kraków \u0001","big":18446744073709551615}"#));
    handle(patch(Section::Desired, r#"{"speed":3.0,"mode":"on","odd/key~":[1,{"a":null}]}"#));
    handle(Input::Hello {
        connection: ConnectionId(1),
        incarnation: 9,
        node: 1,
        shown: Shown::Certificate(None),
    });
    handle(device(FromDevice::Report {
        seq: 1,
        patch: value(r#"{"speed":2.5,"n":-9223372036854775808}"#),
        observed_at: Some(Time::from_ms(77)),
    }));
    let values = vec![("rssi".to_owned(), Value::Int(-61))];
    handle(device(FromDevice::Telemetry { seq: Some(2), values, observed_at: None }));
    let values = vec![("vibration".to_owned(), Value::Float(0.25))];
    handle(device(FromDevice::Telemetry { seq: None, values, observed_at: None }));
    let refused = Some("too fast".to_owned());
    handle(device(FromDevice::DesiredAck { seq: 3, version: 1, refused }));
    for name in ["restart", "measure", "sleep"] {
        let (name, payload) = (name.to_owned(), value(r#"{"in_s":5}"#));
        let (deadline_ms, queue, wait) = (60_000, true, false);
        handle(call(Request::Command { name, payload, deadline_ms, queue, wait }));
    }
    handle(device(FromDevice::CommandResult { seq: 4, id: 1, result: Ok(value("[true]")) }));
    let result = Err("no room".to_owned());
    handle(device(FromDevice::CommandResult { seq: 5, id: 2, result }));
    twin
}

#[test]
fn a_twin_goes_into_a_message_and_back() {
    for twin in [Twin::absent(), lively_twin()] {
        let mut view = twin.view();
        view.life = pollux_twin::Life::Alive;
        let message = convert::twin_to_v1(&key(), &view);
        let (back_key, back) = convert::twin_from_v1(&message).unwrap();
        assert_eq!((&back_key, &back), (&key(), &view));
        assert_eq!(document(&back_key, &back), document(&key(), &view));
    }
}

#[test]
fn the_document_is_as_promised() {
    let text = document(&key(), &lively_twin().view()).to_json();
    let expected = include_str!("golden/document.json");
    let lines: String = expected.lines().map(str::trim_start).collect();
    assert_eq!(text, lines);
}

/// Safety rule 18: a session that nobody heard of since its shard was opened is not told as there.
#[test]
fn an_unknown_session_is_not_connected() {
    let mut view = lively_twin().view();
    view.life = pollux_twin::Life::Alive;
    view.presence.unknown = true;
    let message = convert::twin_to_v1(&key(), &view);
    let presence = message.presence.unwrap();
    assert!(!presence.connected && presence.unknown && presence.session == 1);
    assert_eq!(convert::twin_from_v1(&message).unwrap().1, view);
    let text = document(&key(), &view).to_json();
    assert!(text.contains(r#""presence":{"connected":false,"#), "{text}");
    assert!(text.contains(r#""since_ms":1030,"unknown":true}"#), "{text}");
}

#[test]
fn a_summary_shows_name_version_and_presence() {
    let view = lively_twin().view();
    let summary = convert::summary(&key(), &view);
    assert_eq!(summary.device, "pump-1");
    assert_eq!(summary.version, view.version);
    assert!(summary.presence.unwrap().connected);
    assert_eq!(summary.tags, None);
    assert!(convert::twin_from_v1(&summary).is_ok());
}

fn patch(merge: &str) -> v1::PatchTwinRequest {
    v1::PatchTwinRequest {
        tenant: String::new(),
        device: "pump-1".to_owned(),
        section: v1::Section::Desired.into(),
        change: Some(v1::patch_twin_request::Change::MergeJson(merge.to_owned())),
        expected_version: Some(0),
        idempotency_key: "k".to_owned(),
    }
}

#[test]
fn a_patch_becomes_a_call() {
    let call = convert::patch(patch(r#"{"a":1}"#), &JsonLimits::default()).unwrap();
    assert_eq!(call.key.as_str(), "default/pump-1");
    assert_eq!(call.idempotency_key.as_deref(), Some("k"));
    assert_eq!(
        call.request,
        Request::Patch {
            section: Section::Desired,
            patch: value(r#"{"a":1}"#),
            whole: false,
            expected: Some(0),
        }
    );
}

#[test]
fn bad_patches_are_refused_with_what_would_be_right() {
    let refusal = |change: &dyn Fn(&mut v1::PatchTwinRequest)| {
        let mut request = patch("{}");
        change(&mut request);
        let rejection = convert::patch(request, &JsonLimits::default()).unwrap_err();
        pollux_proto::status::message(&rejection)
    };
    let change = |json: &str| Some(v1::patch_twin_request::Change::WholeJson(json.to_owned()));
    let cases = [
        (refusal(&|r| r.section = 0), "section: none given; use tags or desired"),
        (refusal(&|r| r.section = 77), "section: none given; use tags or desired"),
        (
            refusal(&|r| r.section = v1::Section::Reported.into()),
            "section: reported is written by the device; use tags or desired",
        ),
        (refusal(&|r| r.change = None), "change: none given; set merge_json or whole_json"),
        (refusal(&|r| r.device = String::new()), "device: id is empty; it takes 1 to 256 bytes"),
        (
            refusal(&|r| r.tenant = "a/b".to_owned()),
            "tenant: id has a character at byte 1 that is not allowed; \
             use printable ASCII without spaces and without / + # $",
        ),
        (
            refusal(&|r| r.change = change(r#"{"a":1,"a":2}"#)),
            "whole_json: read json at byte 7: key occurs twice in one object",
        ),
        (
            refusal(&|r| r.change = change(&"[".repeat(10_000))),
            "value nests too deep; at most 16 levels are allowed",
        ),
        (
            refusal(&|r| r.change = change(&" ".repeat(200_000))),
            "the section or value would have 200000 bytes as JSON; at most 131072 are allowed",
        ),
    ];
    for (got, expected) in cases {
        assert_eq!(got, expected);
    }
}

#[test]
fn commands_have_sensible_defaults() {
    let request = v1::SendCommandRequest {
        device: "pump-1".to_owned(),
        name: "restart".to_owned(),
        ..v1::SendCommandRequest::default()
    };
    let call = convert::send_command(request, &JsonLimits::default()).unwrap();
    assert_eq!(call.idempotency_key, None);
    assert_eq!(
        call.request,
        Request::Command {
            name: "restart".to_owned(),
            payload: Value::Null,
            deadline_ms: 60_000,
            queue: false,
            wait: false,
        }
    );
}

#[test]
fn pages_go_on_where_the_last_one_ended() {
    let request = v1::ListTwinsRequest {
        prefix: "pump-".to_owned(),
        page_size: 100_000,
        page_token: convert::Page::token_after(&key()),
        ..v1::ListTwinsRequest::default()
    };
    let page = convert::list(&request).unwrap();
    assert_eq!(page.after, Some(key()));
    assert_eq!(page.size, 1_000);
    let wrong = v1::ListTwinsRequest { page_token: "a b".to_owned(), ..request };
    assert!(matches!(convert::list(&wrong), Err(Rejection::Invalid { .. })));
}

#[test]
fn a_watch_knows_its_twins() {
    let of = |whose| v1::WatchRequest { whose, ..v1::WatchRequest::default() };
    let prefix = |text: &str| Some(v1::watch_request::Whose::Prefix(text.to_owned()));
    let device = |text: &str| Some(v1::watch_request::Whose::Device(text.to_owned()));
    for (whose, includes) in [
        (None, true),
        (prefix(""), true),
        (prefix("pump"), true),
        (prefix("valve"), false),
        (device("pump-1"), true),
        (device("pump"), false),
    ] {
        let watch = convert::watch(&of(whose)).unwrap();
        assert_eq!(watch.whose.includes(&key()), includes, "{watch:?}");
    }
    let whole =
        Whose::Fleet { tenant: pollux_twin::TenantId::parse("x").unwrap(), prefix: String::new() };
    assert!(!whole.includes(&key()), "another tenant's");
    let lost = v1::WatchRequest { position: "junk".to_owned(), ..of(None) };
    assert!(matches!(convert::watch(&lost), Err(Rejection::Invalid { .. })));
}

#[test]
fn changes_become_events_and_marks_do_not() {
    let change = |effect| Change { at: Time::from_ms(5), mark: Mark::None, effect };
    let versions = Versions { twin: 9, section: 4 };
    assert_eq!(convert::changed(&key(), versions, &change(Effect::None), None), None);
    let patched = change(Effect::Patched {
        section: Section::Reported,
        patch: value(r#"{"a":null}"#),
        whole: false,
        observed_at: None,
        by: "device".to_owned(),
    });
    let event = convert::changed(&key(), versions, &patched, None).unwrap();
    assert_eq!((event.version, event.at_ms), (9, 5));
    let Some(v1::changed::What::Patched(patched)) = event.what else { panic!("not a patch") };
    assert_eq!(patched.version, 4);
    assert_eq!(patched.section(), v1::Section::Reported);
    let json = v1::section_patched::Change::MergeJson(r#"{"a":null}"#.to_owned());
    assert_eq!(patched.change, Some(json));
}

#[test]
fn who_follows_a_filter_is_told_even_of_changes_that_say_nothing_else() {
    let heard = Change { at: Time::from_ms(5), mark: Mark::None, effect: Effect::None };
    let versions = Versions { twin: 9, section: 0 };
    let told = |fit: Fit| convert::changed(&key(), versions, &heard, Some(&fit));
    assert_eq!(told(Fit::Stayed), None);
    let left = told(Fit::Left).unwrap();
    assert_eq!((left.r#match(), left.what, left.twin), (v1::Match::Left, None, None));
    let entered = told(Fit::Entered(Box::new(lively_twin().view()))).unwrap();
    assert_eq!(entered.r#match(), v1::Match::Entered);
    assert_eq!(entered.twin.unwrap().device, key().device());
    assert_eq!(told(Fit::Undecided).unwrap().r#match(), v1::Match::Undecided);
}

#[test]
fn answers_go_to_the_calls_they_are_for() {
    let answer = Answer::Written { section: Section::Tags, version: 3 };
    assert_eq!(convert::deleted(answer.clone()), Err(answer.clone()));
    assert_eq!(convert::written(answer).unwrap().version, 3);
    let mut twin = lively_twin();
    let get = Request::GetCommand { id: 1 };
    let input = Input::Call { call: CallId(2), caller: "shop".to_owned(), key: None, request: get };
    twin.handle(Time::from_ms(9_000), &Limits::default(), input).unwrap();
    let Some(Output::Answer { result: Ok(answer), .. }) = twin.poll_output() else {
        panic!("not an answer")
    };
    let message = convert::sent(answer).unwrap();
    assert_eq!(message.answer_json(), "[true]");
    assert_eq!(convert::command_to_v1(&convert::command_from_v1(&message).unwrap()), message);
}
