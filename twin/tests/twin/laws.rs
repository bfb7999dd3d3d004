//! Laws that hold for any list of inputs.

use pollux_twin::image::{pack, unpack};
use pollux_twin::output::{Output, ToDevice};
use pollux_twin::patch::{delta, merge};
use pollux_twin::{Change, Limits, Mark, Time, Twin, Value, View};
use proptest::prelude::*;

use crate::any::{Step, numbered, object, step, value};
use crate::kinds::Kinds;
use pollux_twin::input::Input;

pub(crate) struct Run {
    twin: Twin,
    replica: Twin,
    /// The replica before the last step.
    pub(crate) before: Twin,
    pub(crate) now: u64,
    /// The last number taken, as the changes say.
    last_seq: u64,
}

impl Run {
    pub(crate) fn new() -> Self {
        let absent = Twin::absent;
        Self { twin: absent(), replica: absent(), before: absent(), now: 1_000, last_seq: 0 }
    }

    pub(crate) fn step(&mut self, step: Step) -> Vec<Output> {
        let (now, limits, kinds) =
            (Time::from_ms(self.now), Limits::default(), Kinds::at(self.now));
        self.before = self.replica.clone();
        match step {
            Step::Wait(ms) => {
                self.now += ms;
                self.twin.handle_deadline(Time::from_ms(self.now));
            }
            Step::Rest => {
                let before = self.twin.view();
                self.twin.rest();
                self.twin.rest();
                assert!(self.twin.is_resting() && self.twin.view() == before);
                assert!(self.twin.bytes() > 0);
            }
            Step::Input(input) => {
                let _dropped = self.twin.handle_typed(now, &limits, &kinds, input);
            }
            Step::Next(message) => {
                let message = numbered(message, self.last_seq + 1);
                let session = self.twin.session().unwrap_or(0);
                let input = Input::Device { session, message };
                let _dropped = self.twin.handle_typed(now, &limits, &kinds, input);
            }
        }
        let outputs: Vec<_> = core::iter::from_fn(|| self.twin.poll_output()).collect();
        for output in &outputs {
            match output {
                Output::Change(change) => self.change(change),
                Output::Device { message: ToDevice::Welcome { last_seq, .. }, .. } => {
                    self.last_seq = *last_seq;
                }
                _ => {}
            }
        }
        outputs
    }

    fn change(&mut self, change: &Change) {
        if let Mark::Sequence { seq, .. } = change.mark {
            assert_eq!(seq, self.last_seq + 1, "numbers are taken without a gap");
            self.last_seq = seq;
        }
        self.replica.apply(change).expect("what an actor decides fits a replica");
    }
}

/// What a refusal must leave alone: all but the marks.
fn content(twin: &Twin) -> View {
    let mut view = twin.view();
    view.presence.seen = Time::default();
    view
}

fn refused(output: &Output) -> bool {
    matches!(
        output,
        Output::Answer { result: Err(_), .. }
            | Output::Device { message: ToDevice::Nack { .. }, .. }
            | Output::Device { message: ToDevice::Ack { result: Err(_), .. }, .. }
    )
}

proptest! {
    #[test]
    fn replayed_changes_give_the_same_image(steps in prop::collection::vec(step(), 0..60)) {
        let mut run = Run::new();
        for step in steps {
            run.step(step);
            prop_assert_eq!(pack(&run.twin, 1), pack(&run.replica, 1));
        }
        let (unpacked, _) = unpack(&pack(&run.twin, 1)).unwrap();
        prop_assert_eq!(pack(&unpacked, 1), pack(&run.twin, 1));
        crate::glance::check(&pack(&run.twin, 1));
        prop_assert_eq!(unpacked.view(), run.replica.view());
    }

    #[test]
    fn a_refusal_changes_nothing(steps in prop::collection::vec(step(), 0..60)) {
        let mut run = Run::new();
        for step in steps {
            // What is past its deadline ends with whatever comes next; let it end first.
            run.step(Step::Wait(0));
            let before = content(&run.twin);
            // The first message after a hello of an earlier actor is no case here: one actor only.
            let outputs = run.step(step);
            if outputs.iter().any(refused) {
                prop_assert_eq!(content(&run.twin), before);
            }
        }
    }

    #[test]
    fn versions_never_go_back(steps in prop::collection::vec(step(), 0..60)) {
        let mut run = Run::new();
        let versions = |twin: &Twin| {
            let view = twin.view();
            [view.version, view.tags.version, view.desired.version, view.reported.version]
        };
        for step in steps {
            let before = versions(&run.twin);
            run.step(step);
            prop_assert!(before.iter().zip(versions(&run.twin)).all(|(old, new)| *old <= new));
        }
    }

    #[test]
    fn a_command_is_pushed_at_most_once(steps in prop::collection::vec(step(), 0..80)) {
        let mut run = Run::new();
        let mut pushed = Vec::new();
        for step in steps {
            for output in run.step(step) {
                if let Output::Device { message: ToDevice::Command(command), .. } = output {
                    prop_assert!(!pushed.contains(&command.id));
                    pushed.push(command.id);
                }
            }
        }
    }

    #[test]
    fn an_actor_may_be_dropped_at_any_time(steps in prop::collection::vec(step(), 0..60)) {
        // A new owner activates the twin from the table: it must go on from there.
        let mut run = Run::new();
        for (i, step) in steps.into_iter().enumerate() {
            run.step(step);
            if i % 7 == 6 {
                run.twin = unpack(&pack(&run.replica, 1)).unwrap().0;
            }
        }
        prop_assert_eq!(pack(&run.twin, 1), pack(&run.replica, 1));
    }

    #[test]
    fn early_and_repeated_deadlines_do_no_harm(steps in prop::collection::vec(step(), 0..40)) {
        let mut run = Run::new();
        for step in steps {
            run.step(step);
            run.step(Step::Wait(0));
            prop_assert!(run.step(Step::Wait(0)).is_empty());
            prop_assert!(run.twin.next_deadline().is_none_or(|at| at.ms > run.now));
        }
    }

    #[test]
    fn applying_the_delta_empties_it(desired in object(), reported in object()) {
        // A section holds what a merge made of it, so no null members.
        let [desired, mut reported] = [desired, reported].map(|members| {
            let mut section = Value::object();
            merge(&mut section, &Value::Object(members));
            section
        });
        let asked = delta(&desired, &reported);
        merge(&mut reported, &asked);
        prop_assert_eq!(delta(&desired, &reported), Value::object());
    }

    #[test]
    fn patching_twice_is_patching_once(target in value(), patch in value()) {
        let mut once = target;
        merge(&mut once, &patch);
        let mut twice = once.clone();
        merge(&mut twice, &patch);
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn an_empty_patch_changes_no_object(target in object()) {
        let mut patched = Value::Object(target.clone());
        merge(&mut patched, &Value::object());
        prop_assert_eq!(patched, Value::Object(target));
    }
}
