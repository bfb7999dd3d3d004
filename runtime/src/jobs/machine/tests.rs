//! The machine in a world of its own: devices of every kind, calls and writes that take their time, owners that are
//! lost in the middle. Whatever happens, a device is acted on at most once for an attempt, and the counts add up.

mod world;

use proptest::prelude::*;

use self::world::{Nature, World};
use super::super::limits::{CALLS_CHUNK, LOOK_FIRST_MS, PART_DEVICES_MAX, YOUNG_MAX};
use super::*;

fn rules(canary: u64, batch: u64, rate: u32, abort: Option<u64>, retries: u32) -> Rules {
    Rules {
        finish: Finish::Answered,
        rate_per_s: rate,
        batch,
        canary,
        abort_above_percent: abort,
        timeout_ms: 20_000,
        retries,
        retry_after_ms: 3_000,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_done_twice_and_all_are_accounted_for(
        seed: u64,
        devices in 1..120_usize,
        crashes in 0..6_u32,
        (canary, batch) in (0..5_u64, prop_oneof![Just(0), 5..40_u64]),
        rate in prop_oneof![Just(0), 1..200_u32],
        retries in 0..4_u32,
        abort in proptest::option::of(0..100_u64),
        finish in prop_oneof![Just(Finish::Answered), Just(Finish::Acknowledged)],
        wishes in prop_oneof![
            Just(vec![]),
            Just(vec![Mode::Paused, Mode::Running]),
            Just(vec![Mode::Paused, Mode::Ending(End::Cancelled)]),
            Just(vec![Mode::Ending(End::Cancelled)]),
        ],
    ) {
        let rules = Rules { finish, ..rules(canary, batch, rate, abort, retries) };
        let mut world = World::new(seed, rules, devices, crashes);
        world.run(&wishes);
        let totals = world.machine.totals().unwrap();
        let ended = world.over.unwrap();
        prop_assert_eq!(totals.under_way, 0);
        if ended == End::Finished {
            prop_assert_eq!(totals.over(), devices as u64);
            prop_assert_eq!(world.written(), totals);
        }
        for (place, twin) in &world.twins {
            let target = &world.parts[place.0 as usize][place.1 as usize];
            let ended = twin.end.as_ref().map(|(_, end)| end.clone());
            match target.state {
                State::Done => prop_assert_eq!(ended, Some(CommandEnd::Done)),
                // What was never carried out is not said to be done, nor the other way round.
                State::Waiting if target.attempt == 0 => prop_assert!(twin.done.is_empty()),
                State::Failed => prop_assert!(ended != Some(CommandEnd::Done)),
                State::Sending | State::Sent => prop_assert!(false, "{:?}", target),
                _ => {}
            }
        }
    }
}

#[test]
fn the_same_inputs_at_the_same_times_end_the_same() {
    for seed in 0..20 {
        let ended = [(); 2].map(|()| {
            let mut world = World::new(seed, rules(3, 20, 0, Some(50), 2), 60, 3);
            world.run(&[]);
            (world.now_ms, world.count, world.parts.clone(), world.over)
        });
        assert_eq!(ended[0], ended[1]);
    }
}

#[test]
fn without_losses_all_are_as_they_should_be() {
    let mut world = World::new(7, rules(0, 0, 0, None, 3), 100, 0);
    for twin in world.twins.values_mut() {
        if matches!(twin.nature, Nature::Silent | Nature::Lost) {
            twin.nature = Nature::Good;
        }
    }
    world.run(&[]);
    let totals = world.machine.totals().unwrap();
    assert_eq!(world.over, Some(End::Finished));
    let failed = world.parts.iter().flatten().filter(|one| one.state == State::Failed);
    // All fail less often than they are tried: what is left to fail of are twins that nobody reached the last time.
    let unreached =
        |one: &Target| one.attempt == 4 && one.reason == "its twin was not reached in time";
    assert!(failed.clone().all(unreached), "{:?}", failed.collect::<Vec<_>>());
    assert_eq!(totals.over(), 100, "{totals:?}");
    // Only a call whose word was lost for minutes leaves nobody knowing.
    assert!(totals.done >= 95, "{totals:?}");
}

#[test]
fn a_canary_that_fails_stops_the_rest() {
    let mut world = World::new(1, rules(4, 0, 0, Some(25), 0), 100, 0);
    for twin in world.twins.values_mut() {
        twin.nature = Nature::Fails(9);
    }
    world.run(&[]);
    assert_eq!(world.over, Some(End::Aborted));
    let called = world.twins.values().filter(|twin| !twin.done.is_empty()).count();
    assert!(called <= 4, "{called}");
}

/// A machine that takes over what is written of one part, and what it asks for then.
fn taken_over(rules: Rules, targets: Vec<Target>, mode: Mode) -> (Machine, Vec<Output>) {
    let mut machine = Machine::new(1_000, rules, targets.len() as u64, 1, mode);
    machine.handle(1_000, Input::Loaded { part: 0, targets });
    machine.handle_deadline(1_000);
    let asked = std::iter::from_fn(|| machine.poll_output()).skip(1).collect();
    (machine, asked)
}

fn target(state: State, number: u64) -> Target {
    Target { state, attempt: 1, at_ms: 1_000, number, ..Target::default() }
}

#[test]
fn a_canary_that_failed_stops_the_rest_after_a_takeover() {
    let mut targets = vec![target(State::Failed, 0); 4];
    targets.extend(vec![Target::default(); 20]);
    let (_, asked) = taken_over(rules(4, 0, 0, Some(25), 0), targets, Mode::Running);
    assert_eq!(asked, [Output::Over { end: End::Aborted }]);
}

#[test]
fn anothers_command_is_not_taken_for_the_jobs_own() {
    let targets = vec![target(State::Sending, 0)];
    let (mut machine, _) = taken_over(rules(0, 0, 0, None, 3), targets, Mode::Running);
    let sight = Sight::Moved { id: 9, end: CommandEnd::Done };
    machine.handle(1_001, Input::Answered { place: (0, 0), attempt: 1, reply: Reply::Unclear });
    machine.handle(1_002, Input::Seen { place: (0, 0), sight });
    assert_eq!(machine.target((0, 0)).unwrap().state, State::Sending);
}

#[test]
fn what_may_have_been_done_is_not_said_to_have_failed() {
    let targets = vec![target(State::Sending, 0)];
    let (mut machine, asked) = taken_over(rules(0, 0, 0, None, 3), targets, Mode::Running);
    assert_eq!(asked, [Output::Send { place: (0, 0), attempt: 1 }]);
    let reply = Reply::Refused { reason: "away".into(), again: true };
    machine.handle(1_001, Input::Answered { place: (0, 0), attempt: 1, reply });
    assert_eq!(machine.target((0, 0)).unwrap().state, State::Unknown);
}

#[test]
fn a_command_is_withdrawn_again_until_its_end_is_seen() {
    let targets = vec![target(State::Sent, 7); 3];
    let mode = Mode::Ending(End::Cancelled);
    let (mut machine, asked) = taken_over(rules(0, 0, 0, None, 0), targets, mode);
    let all = |n| Output::Withdraw { place: (0, n) };
    assert_eq!(asked, [all(0), all(1), all(2)], "each once");
    for n in 0..3 {
        machine.handle(1_010, Input::Seen { place: (0, n), sight: Sight::Nothing });
    }
    let due_ms = machine.next_deadline().unwrap();
    machine.handle_deadline(due_ms);
    let again: Vec<_> = std::iter::from_fn(|| machine.poll_output()).collect();
    assert_eq!(again, [all(0), all(1), all(2)], "once more at {due_ms}");
}

#[test]
fn a_job_ends_though_nobody_sees_its_devices() {
    for state in [State::Sending, State::Sent] {
        let mode = Mode::Ending(End::Cancelled);
        let targets = vec![target(state, 7)];
        let (mut machine, _) = taken_over(rules(0, 0, 0, None, 0), targets, mode);
        let mut now_ms = 1_000;
        while machine.target((0, 0)).is_some_and(|one| !one.state.is_over()) {
            assert!(now_ms < 600_000, "it waits for ever: {machine:?}");
            machine.handle(now_ms, Input::Seen { place: (0, 0), sight: Sight::Unseen });
            now_ms = machine.next_deadline().unwrap_or(now_ms).max(now_ms);
            machine.handle_deadline(now_ms);
        }
    }
}

#[test]
fn what_ends_a_device_at_once() {
    let acknowledged = Rules { finish: Finish::Acknowledged, ..rules(0, 0, 0, None, 0) };
    for (rules, state, input, expected) in [
        // It changed nothing, and nothing was ever written.
        (acknowledged.clone(), State::Sending, Sight::Written { version: 0 }, State::Done),
        (rules(0, 0, 0, None, 0), State::Sent, Sight::Forgotten, State::Unknown),
        (rules(0, 0, 0, None, 0), State::Sent, Sight::Gone, State::Unknown),
        (acknowledged, State::Sent, Sight::Gone, State::Failed),
    ] {
        let (mut machine, _) = taken_over(rules, vec![target(state, 7)], Mode::Running);
        let reply = Reply::Unclear;
        machine.handle(1_001, Input::Answered { place: (0, 0), attempt: 1, reply });
        machine.handle(1_002, Input::Seen { place: (0, 0), sight: input.clone() });
        assert_eq!(machine.target((0, 0)).unwrap().state, expected, "{input:?}");
    }
}

#[test]
fn a_reason_is_short_however_it_is_written() {
    for text in ["\u{1}".repeat(500), "\"".repeat(500), "ä".repeat(500)] {
        let refused = Sight::Acked { version: 7, refused: Some(text) };
        let rules = Rules { finish: Finish::Acknowledged, ..rules(0, 0, 0, None, 0) };
        let (mut machine, _) = taken_over(rules, vec![target(State::Sent, 7)], Mode::Running);
        machine.handle(1_001, Input::Seen { place: (0, 0), sight: refused });
        let reason = &machine.target((0, 0)).unwrap().reason;
        let bytes = pollux_twin::Value::from(reason.as_str()).to_json().len();
        assert!(!reason.is_empty() && bytes <= super::super::limits::REASON_BYTES_MAX + 2);
    }
}

/// Reads what is asked for, writes what is to be written, has all calls taken: how many were that?
fn take_all(machine: &mut Machine, now_ms: u64, parts: &mut [Vec<Target>]) -> usize {
    let mut taken = 0;
    while let Some(output) = machine.poll_output() {
        match output {
            Output::Load { part } => {
                let targets = std::mem::take(&mut parts[part as usize]);
                machine.handle(now_ms, Input::Loaded { part, targets });
            }
            Output::Write { part } => machine.handle(now_ms, Input::Written { part }),
            Output::Send { place, attempt } => {
                taken += 1;
                let reply = Reply::Taken { number: 1 };
                machine.handle(now_ms, Input::Answered { place, attempt, reply });
            }
            _ => {}
        }
    }
    taken
}

#[test]
fn no_more_are_begun_with_than_answer_or_had_the_time_to() {
    let all = 3 * YOUNG_MAX;
    let rules = Rules { finish: Finish::Acknowledged, ..rules(0, 0, 0, None, 0) };
    let part = vec![Target::default(); PART_DEVICES_MAX];
    let mut parts = vec![part; all.div_ceil(PART_DEVICES_MAX)];
    let devices = (parts.len() * PART_DEVICES_MAX) as u64;
    let count = u32::try_from(parts.len()).unwrap();
    let mut machine = Machine::new(0, rules, devices, count, Mode::Running);
    let first = take_all(&mut machine, 0, &mut parts);
    assert!((YOUNG_MAX - CALLS_CHUNK..=YOUNG_MAX).contains(&first), "{first}");
    machine.handle_deadline(LOOK_FIRST_MS - 1);
    assert_eq!(take_all(&mut machine, LOOK_FIRST_MS - 1, &mut parts), 0, "none has answered");
    for n in 0..PART_DEVICES_MAX {
        let sight = Sight::Acked { version: 1, refused: None };
        let place = (0, u16::try_from(n).unwrap());
        machine.handle(LOOK_FIRST_MS - 1, Input::Seen { place, sight });
    }
    let answered = take_all(&mut machine, LOOK_FIRST_MS - 1, &mut parts);
    assert!(answered.abs_diff(PART_DEVICES_MAX) <= CALLS_CHUNK, "{answered}");
    machine.handle_deadline(LOOK_FIRST_MS);
    let later = take_all(&mut machine, LOOK_FIRST_MS, &mut parts);
    assert!(later + answered >= YOUNG_MAX - CALLS_CHUNK, "those are silent: {later}");
}
