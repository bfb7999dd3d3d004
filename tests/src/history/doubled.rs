//! Nothing is applied twice: each report makes the version that is its number, no version is made by two
//! writes, a twin has no more versions at the end than calls that could have made them, a repeated
//! write is answered as the first time, and no command is executed again.

use std::collections::{BTreeMap, BTreeSet};

use super::{Event, History, Verdict, What};

pub(super) fn check(history: &History) -> Verdict {
    for (twin, calls) in history.by_twin() {
        let mut made = BTreeMap::new();
        let (mut reports, mut writes) = (0, 0);
        for call in calls {
            let may = u64::from(call.may_have_changed());
            match call.what {
                What::Report(_) => reports += may,
                What::Write { .. } => writes += may,
                What::Read | What::Command(_) => {}
            }
            match (call.what, call.made()) {
                (What::Report(number), Some(version)) if version != number => {
                    return Err(format!("report {number} of {twin} made version {version}"));
                }
                (What::Write { value, .. }, Some(version)) => {
                    if let Some(other) = made.insert(version, value) {
                        return Err(format!(
                            "writes {other} and {value} of {twin} both made version {version}"
                        ));
                    }
                }
                _ => {}
            }
        }
        let last = history.last.get(twin).copied().unwrap_or_default();
        for (name, section, most) in
            [("reported", last.reported, reports), ("desired", last.desired, writes)]
        {
            if section.version > most {
                return Err(format!("{twin}: {most} calls made {section:?} of {name}"));
            }
        }
    }
    for repeat in &history.repeats {
        if repeat.first != repeat.again {
            return Err(format!("another answer to the same key: {repeat:?}"));
        }
    }
    executed_once(history)
}

fn executed_once(history: &History) -> Verdict {
    for (twin, events) in &history.events {
        let mut seen = BTreeSet::new();
        for event in events {
            if let Event::Executed(number) = event
                && !seen.insert(number)
            {
                return Err(format!("{twin} executed command {number} twice"));
            }
        }
    }
    Ok(())
}
