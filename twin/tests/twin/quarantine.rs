//! A change that does not fit sets the twin aside, the same way everywhere (safety rule 10).

use pollux_twin::change::{Change, Command, CommandState, Effect, Mark, Section};
use pollux_twin::image::{pack, unpack};
use pollux_twin::input::Request;
use pollux_twin::{Time, Value};

use crate::common::{Bench, check, command_request};

#[track_caller]
fn poison(mark: Mark, effect: Effect) {
    let mut bench = Bench::connected();
    bench.report(1, r#"{"a":1}"#);
    bench.call(None, command_request("blink", false, false));
    let before = bench.view();
    let change = Change { at: Time::from_ms(2_000), mark, effect };
    assert!(bench.twin.apply(&change).is_err());
    let mut after = bench.view();
    assert!(after.quarantined);
    after.quarantined = false;
    assert_eq!(after, before, "nothing else changed");

    // From here on nothing does, on any replica, nor after a restart.
    bench.twin = unpack(&pack(&bench.twin, 9)).unwrap().0;
    let fine = Change { at: Time::from_ms(3_000), mark: Mark::None, effect: Effect::None };
    assert!(bench.twin.apply(&fine).is_err());
    check(bench.call(None, Request::Get), &["answer Quarantined"]);
    check(bench.hello(7), &["dropped Quarantined"]);
    check(bench.deadline(1_000_000), &[]);
    assert_eq!(bench.twin.next_deadline(), None);
}

#[test]
fn changes_that_do_not_fit() {
    let command = |id, state| Command {
        id,
        name: "x".into(),
        payload: Value::Null,
        deadline: Time::from_ms(1),
        at: Time::from_ms(1),
        by: "x".into(),
        state,
    };
    let sequence = |seq| Mark::Sequence { seq, rejection: None };
    let moved = |id, state| Effect::CommandMoved { id, state };
    poison(sequence(1), Effect::None);
    poison(sequence(3), Effect::None);
    poison(Mark::None, Effect::Connected { session: 1, incarnation: 7, node: 1 });
    poison(Mark::None, Effect::Connected { session: 3, incarnation: 7, node: 1 });
    poison(Mark::None, Effect::Disconnected { session: 2 });
    poison(Mark::None, Effect::CommandQueued(command(3, CommandState::Queued)));
    poison(Mark::None, Effect::CommandQueued(command(2, CommandState::Expired)));
    poison(Mark::None, moved(9, CommandState::Unknown));
    poison(Mark::None, moved(1, CommandState::Queued));
    poison(Mark::None, moved(1, CommandState::Cancelled));
    poison(Mark::None, moved(1, CommandState::Delivering { session: 1 }));
    let patched = Effect::Patched {
        section: Section::Tags,
        patch: Value::Null,
        whole: false,
        observed_at: None,
        by: "x".into(),
    };
    poison(Mark::None, patched);
}

#[test]
fn an_absent_twin_is_not_deleted_and_takes_no_number() {
    for (mark, effect) in [
        (Mark::None, Effect::Deleted { by: "x".into() }),
        (Mark::Sequence { seq: 1, rejection: None }, Effect::None),
    ] {
        let mut bench = Bench::new();
        let change = Change { at: Time::from_ms(1), mark, effect };
        let error = bench.twin.apply(&change).unwrap_err();
        assert!(error.to_string().starts_with("apply a change: "));
        assert!(bench.twin.is_quarantined() && !bench.twin.is_absent());
    }
}
