//! The weight of a change is never less than what it takes in the log, nor wildly more.

use alloc::vec;

use super::super::weigh::weigh;
use super::*;
use crate::change::{Command, CommandState, KeyMark};
use crate::rejection::Rejection;

fn check(effect: Effect, mark: Mark) {
    let change = Change { at: Time::from_ms(5), mark, effect };
    let key = key("a-device-with-a-usual-name");
    let weight = weigh(key.as_str(), &change);
    let one = vec![(key, change)];
    let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(&one).unwrap().len();
    assert!(weight >= bytes, "weighs {weight}, takes {bytes}: {one:?}");
    assert!(weight <= 3 * bytes + 700, "weighs {weight}, takes {bytes}: {one:?}");
}

fn patch(patch: Value) {
    let section = Section::Desired;
    let by = "an operator".into();
    let effect = Effect::Patched { section, patch, whole: false, observed_at: None, by };
    check(effect, Mark::Sequence { seq: 7, rejection: None });
}

fn object(members: usize) -> Value {
    Value::Object((0..members).map(|n| (format!("member number {n}"), Value::Int(1))).collect())
}

#[test]
fn of_values() {
    patch(Value::Null);
    for members in [0, 1, 5, 6, 11, 31, 100, 1000] {
        patch(object(members));
    }
    patch(Value::Array((0..300).map(Value::Int).collect()));
    patch(Value::Array((0..100).map(|_| object(1)).collect()));
    patch(Value::String("x".repeat(50_000)));
}

#[test]
fn of_other_effects() {
    let values = (0..50).map(|n| (format!("sensor {n}"), Value::Float(0.5))).collect();
    check(Effect::Telemetry { values, observed_at: Some(Time::from_ms(3)) }, Mark::None);
    let command = Command {
        id: 1,
        name: "reboot".into(),
        payload: object(3),
        deadline: Time::from_ms(1),
        at: Time::from_ms(1),
        by: "someone".into(),
        state: CommandState::Queued,
    };
    check(Effect::CommandQueued(command), Mark::None);
    let state = CommandState::Done { answer: object(10) };
    check(Effect::CommandMoved { id: 4, state }, Mark::None);
    let state = CommandState::Failed { reason: "no power left".into() };
    check(Effect::CommandMoved { id: 4, state }, Mark::None);
    let answer = Err(Rejection::BadKey { key: "x".repeat(256) });
    let mark = Mark::Key(KeyMark { key: 1, request: 2, expires: Time::from_ms(1), answer });
    check(Effect::None, mark);
    check(Effect::Deleted { by: "someone".into() }, Mark::None);
    check(Effect::DesiredAcked { version: 1, refused: Some("x".repeat(256)) }, Mark::None);
}
