//! Versions never go back: what begins after an answer sees at least what that answer told, and what changes
//! a section after it makes a higher version. What a device is told is desired never gets older.

use super::{Answer, Call, Event, History, Verdict, What};

pub(super) fn check(history: &History) -> Verdict {
    for (twin, calls) in history.by_twin() {
        sweep(&calls).map_err(|why| format!("{twin}: {why}"))?;
    }
    for (twin, events) in &history.events {
        let mut newest = 0;
        for event in events {
            let Event::Desired(section) = event else { continue };
            if section.version < newest {
                return Err(format!("{twin} was told {section:?} after version {newest}"));
            }
            newest = section.version;
        }
    }
    Ok(())
}

/// Versions of reported and desired.
type Versions = [u64; 2];

fn sweep(calls: &[&Call]) -> Verdict {
    let mut answers: Vec<&Call> =
        calls.iter().copied().filter(|call| call.ended.is_some()).collect();
    answers.sort_by_key(|call| call.ended.map(|(at, _)| at));
    let mut answers = answers.into_iter().peekable();
    let mut known: Versions = [0; 2];
    // Calls are in the order in which they began.
    for call in calls {
        while let Some(earlier) =
            answers.next_if(|other| other.ended.is_some_and(|(at, _)| at < call.begun))
        {
            for (known, told) in known.iter_mut().zip(told(earlier)) {
                *known = (*known).max(told.unwrap_or(0));
            }
        }
        for ((known, told), name) in known.iter().zip(told(call)).zip(["reported", "desired"]) {
            let Some(told) = told else { continue };
            let least = known + u64::from(call.made().is_some());
            if told < least {
                return Err(format!("{name} was at version {known}, then came {call:?}"));
            }
        }
    }
    Ok(())
}

/// What an answer says of versions.
fn told(call: &Call) -> [Option<u64>; 2] {
    match (call.what, call.ended) {
        (_, Some((_, Answer::Shown(shown)))) => {
            [Some(shown.reported.version), Some(shown.desired.version)]
        }
        (What::Report(_), Some((_, Answer::Done(version)))) => [Some(version), None],
        (What::Write { .. }, Some((_, Answer::Done(version) | Answer::Mismatch(version)))) => {
            [None, Some(version)]
        }
        _ => [None, None],
    }
}
