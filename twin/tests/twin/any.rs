//! Any input that a driver could hand to a twin, small enough that inputs meet each other.

use pollux_twin::change::Section;
use pollux_twin::input::{CallId, CallKey, ConnectionId, FromDevice, Input, Request};
use pollux_twin::registration::{OfType, Proof, RegistryRequest, Shown};
use pollux_twin::value::Object;
use pollux_twin::{Time, Value};
use proptest::prelude::*;

pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-3i64..4).prop_map(Value::Int),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::Float),
        "\\PC{0,3}".prop_map(Value::String),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::btree_map("[a-c]", inner, 0..3).prop_map(Value::Object),
        ]
    })
}

pub(crate) fn object() -> impl Strategy<Value = Object> {
    prop::collection::btree_map("[a-c]", value(), 0..4)
}

fn patch() -> impl Strategy<Value = Value> {
    // Mostly objects, as a section must be one.
    prop_oneof![9 => object().prop_map(Value::Object), 1 => value()]
}

fn observed() -> impl Strategy<Value = Option<Time>> {
    prop::option::of((0..5000u64).prop_map(Time::from_ms))
}

fn message() -> impl Strategy<Value = FromDevice> {
    let seq = || 0..8u64;
    let id = || 0..4u64;
    let reason = || prop_oneof!["[a-z]{1,3}", Just(String::new())];
    prop_oneof![
        4 => (seq(), patch(), observed()).prop_map(|(seq, patch, observed_at)| {
            FromDevice::Report { seq, patch, observed_at }
        }),
        2 => (
            prop::option::of(seq()),
            prop::collection::vec(("[a-c]{0,1}", value()), 0..3),
            observed(),
        )
            .prop_map(|(seq, values, observed_at)| {
                FromDevice::Telemetry { seq, values, observed_at }
            }),
        1 => (seq(), 0..4u64, prop::option::of(reason()))
            .prop_map(|(seq, version, refused)| FromDevice::DesiredAck { seq, version, refused }),
        2 => (seq(), id(), value(), reason(), any::<bool>()).prop_map(
            |(seq, id, answer, reason, done)| FromDevice::CommandResult {
                seq,
                id,
                result: if done { Ok(answer) } else { Err(reason) },
            }
        ),
        1 => (seq(), id()).prop_map(|(seq, id)| FromDevice::CommandUnknown { seq, id }),
        1 => Just(FromDevice::Get),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let section = prop_oneof![Just(Section::Tags), Just(Section::Desired), Just(Section::Reported)];
    let expected = || prop::option::weighted(0.3, 0..5u64);
    prop_oneof![
        1 => Just(Request::Get),
        4 => (section, patch(), any::<bool>(), expected()).prop_map(
            |(section, patch, whole, expected)| Request::Patch { section, patch, whole, expected }
        ),
        1 => expected().prop_map(|expected| Request::Delete { expected }),
        3 => ("[a-z]{0,2}", value(), 0..400u64, any::<bool>(), any::<bool>()).prop_map(
            |(name, payload, deadline_ms, queue, wait)| {
                Request::Command { name, payload, deadline_ms, queue, wait }
            }
        ),
        1 => (0..4u64).prop_map(|id| Request::CancelCommand { id }),
        1 => (0..4u64).prop_map(|id| Request::GetCommand { id }),
        2 => registry().prop_map(|request| Request::Registry(Box::new(request))),
    ]
}

fn proof() -> impl Strategy<Value = Proof> {
    (0..3u8, any::<bool>()).prop_map(|(digest, token)| match token {
        true => Proof::Token([digest; 32]),
        false => Proof::Certificate([digest; 32]),
    })
}

fn shown() -> impl Strategy<Value = Shown> {
    prop_oneof![
        3 => Just(Shown::Certificate(None)),
        1 => (0..3u8).prop_map(|digest| Shown::Certificate(Some([digest; 32]))),
        1 => (0..3u8).prop_map(|digest| Shown::Token([digest; 32])),
    ]
}

fn registry() -> impl Strategy<Value = RegistryRequest> {
    let expires = || prop::option::of((900..1_400u64).prop_map(Time::from_ms));
    let credential = move || ("[cd]", proof(), expires());
    let patch = || prop::option::weighted(0.3, patch());
    prop_oneof![
        1 => Just(RegistryRequest::Get),
        3 => (patch(), patch(), prop::collection::vec(credential(), 0..3), of_type(), groups()).prop_map(
            |(tags, desired, credentials, of_type, groups)| {
                RegistryRequest::Register { tags, desired, credentials, of_type, groups }
            }
        ),
        1 => "[r]{0,1}".prop_map(|reason| RegistryRequest::Disable { reason }),
        2 => Just(RegistryRequest::Enable),
        1 => credential()
            .prop_map(|(name, proof, expires)| RegistryRequest::Give { name, proof, expires }),
        1 => "[cd]".prop_map(|name| RegistryRequest::Revoke { name }),
        1 => ("[e]", 0..9u64, proof(), of_type(), any::<bool>()).prop_map(
            |(enrolment, at, proof, of_type, unmet)| {
                let at = Time::from_ms(at);
                let (expires, tags, groups) = (None, None, Vec::new());
                RegistryRequest::Enrol {
                    enrolment,
                    unmet,
                    at,
                    proof,
                    expires,
                    tags,
                    of_type,
                    groups,
                }
            }
        ),
        1 => prop::option::weighted(0.3, 0..5u64)
            .prop_map(|expected| RegistryRequest::Delete { expected }),
        1 => Just(RegistryRequest::Restore),
        1 => "[ghi]".prop_map(|group| RegistryRequest::Join { group }),
        1 => "[ghi]".prop_map(|group| RegistryRequest::Leave { group }),
    ]
}

/// Types of which `Kinds` knows one.
fn of_type() -> impl Strategy<Value = Option<OfType>> {
    let asked = ("[xyz]{0,1}", 0..4u64).prop_map(|(name, version)| OfType { name, version });
    prop::option::weighted(0.5, asked)
}

fn groups() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[ghi]", 0..2)
}

fn call_key() -> impl Strategy<Value = CallKey> {
    prop_oneof![
        2 => "[kl]".prop_map(CallKey::Own),
        3 => (0..24u128, prop::option::of(900..1_200u64))
            .prop_map(|(id, again)| CallKey::Entry { id, again: again.map(Time::from_ms) }),
    ]
}

/// An input, or the passing of time.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Input(Input),
    /// Numbered messages rarely hit the next number by chance: this one is given it.
    Next(FromDevice),
    Wait(u64),
    /// Nobody came for a while.
    Rest,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let connection = || (0..3u64).prop_map(ConnectionId);
    let input = prop_oneof![
        1 => (connection(), 0..2u64, shown()).prop_map(|(connection, incarnation, shown)| {
            Input::Hello { connection, incarnation, node: 1, shown }
        }),
        2 => (0..4u64, message())
            .prop_map(|(session, message)| Input::Device { session, message }),
        1 => (0..4u64).prop_map(|session| Input::Disconnected { session }),
        6 => ((0..9u64).prop_map(CallId), "[xy]", prop::option::of(call_key()), request()).prop_map(
            |(call, caller, key, request)| Input::Call { call, caller, key, request }
        ),
    ];
    prop_oneof![
        4 => input.prop_map(Step::Input),
        4 => message().prop_map(Step::Next),
        1 => (0..200u64).prop_map(Step::Wait),
        1 => Just(Step::Rest),
    ]
}

/// The message with the number that the twin waits for.
pub(crate) fn numbered(message: FromDevice, next: u64) -> FromDevice {
    let mut message = message;
    match &mut message {
        FromDevice::Report { seq, .. }
        | FromDevice::Telemetry { seq: Some(seq), .. }
        | FromDevice::DesiredAck { seq, .. }
        | FromDevice::CommandResult { seq, .. }
        | FromDevice::CommandUnknown { seq, .. } => *seq = next,
        FromDevice::Telemetry { seq: None, .. } | FromDevice::Get => {}
    }
    message
}
