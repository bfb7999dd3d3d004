//! Calls are linearizable per twin: there is one order of them that agrees with their times, in which every
//! answer is right. Owns what a call does to a twin; the search for the order is in `search`.

use std::collections::BTreeSet;

use super::search::{Op, search};
use super::{Answer, Call, History, Section, Shown, Verdict, What};

pub(super) fn check(history: &History) -> Verdict {
    for (twin, calls) in history.by_twin() {
        let ops = ops(&calls);
        search(&ops, Shown::default(), apply).map_err(|stuck| {
            let near: Vec<_> = stuck.near.iter().map(|at| calls_at(&ops, *at)).collect();
            format!("{twin}: {}; the calls around it: {near:#?}", stuck.why)
        })?;
    }
    Ok(())
}

fn calls_at<'a>(ops: &[Op<Step<'a>>], at: usize) -> &'a Call {
    ops[at].what.call
}

/// A call, and what it writes as far as anybody can tell.
#[derive(Clone, Copy)]
struct Step<'a> {
    call: &'a Call,
    value: u64,
}

/// The calls that say something about a twin's state. A write that was never answered and whose value was
/// never seen is like any other of its kind: they get one value, and an order among each other, so that the
/// search need not try every choice of them.
fn ops<'a>(calls: &[&'a Call]) -> Vec<Op<Step<'a>>> {
    let seen: BTreeSet<u64> = calls.iter().filter_map(|call| shown(call)).collect();
    let mut ops = Vec::new();
    let mut alike = None;
    for call in calls {
        let unanswered = call.ended.is_none();
        let (value, expects) = match call.what {
            What::Report(number) => (number, false),
            What::Write { value, expected } => (value, expected.is_some()),
            What::Read if !unanswered => (0, false),
            What::Read | What::Command(_) => continue,
        };
        if matches!(call.ended, Some((_, Answer::Refused))) {
            continue;
        }
        let is_write = matches!(call.what, What::Write { .. });
        let hidden = unanswered && is_write && !expects && !seen.contains(&value);
        let op = Op {
            begun: call.begun,
            ended: call.ended.map(|(at, _)| at),
            after: if hidden { alike } else { None },
            what: Step { call, value: if hidden { HIDDEN } else { value } },
        };
        if hidden {
            alike = Some(ops.len());
        }
        ops.push(op);
    }
    ops
}

/// What a write that nobody saw is taken to have written.
const HIDDEN: u64 = u64::MAX;

fn shown(call: &Call) -> Option<u64> {
    match call.ended {
        Some((_, Answer::Shown(shown))) => Some(shown.desired.value),
        _ => None,
    }
}

/// The state after a call, if the call could be answered as it was in this one.
fn apply(state: &Shown, step: &Step<'_>) -> Option<Shown> {
    let answer = step.call.ended.map(|(_, answer)| answer);
    let next = |section: Section| Section { value: step.value, version: section.version + 1 };
    match (step.call.what, answer) {
        (What::Read, Some(Answer::Shown(shown))) => (shown == *state).then_some(*state),
        (What::Report(_), Some(Answer::Done(version))) => {
            let reported = next(state.reported);
            (reported.version == version).then_some(Shown { reported, ..*state })
        }
        (What::Report(_), None) => Some(Shown { reported: next(state.reported), ..*state }),
        (What::Write { expected, .. }, Some(Answer::Done(version))) => {
            let desired = next(state.desired);
            let meant = expected.is_none_or(|expected| expected == state.desired.version);
            (meant && desired.version == version).then_some(Shown { desired, ..*state })
        }
        (What::Write { expected, .. }, Some(Answer::Mismatch(actual))) => {
            let there = state.desired.version;
            (actual == there && expected.is_some_and(|expected| expected != there))
                .then_some(*state)
        }
        (What::Write { expected, .. }, None) => {
            let meant = expected.is_none_or(|expected| expected == state.desired.version);
            meant.then_some(Shown { desired: next(state.desired), ..*state })
        }
        _ => None,
    }
}
