//! At most one owner's effects: under one version of a section everybody ever saw the same value, whoever
//! told it; and each session of a device has a higher epoch than the one before. Two owners that acted at
//! once would give one version two values, or one epoch to two sessions.

use std::collections::BTreeMap;

use super::{Answer, Event, History, Section, Verdict, What};

pub(super) fn check(history: &History) -> Verdict {
    let mut seen = Seen::default();
    for call in &history.calls {
        match (call.what, call.ended) {
            (What::Report(number), Some((_, Answer::Done(version)))) => {
                seen.see(&call.twin, "reported", Section { value: number, version })?;
            }
            (What::Write { value, .. }, Some((_, Answer::Done(version)))) => {
                seen.see(&call.twin, "desired", Section { value, version })?;
            }
            (_, Some((_, Answer::Shown(shown)))) => {
                seen.see(&call.twin, "reported", shown.reported)?;
                seen.see(&call.twin, "desired", shown.desired)?;
            }
            _ => {}
        }
    }
    for (twin, shown) in &history.last {
        seen.see(twin, "reported", shown.reported)?;
        seen.see(twin, "desired", shown.desired)?;
    }
    for (twin, events) in &history.events {
        let mut newest = None;
        for event in events {
            match event {
                Event::Desired(section) => seen.see(twin, "desired", *section)?,
                Event::Session(epoch) if newest >= Some(*epoch) => {
                    return Err(format!("{twin} got session {epoch} after session {newest:?}"));
                }
                Event::Session(epoch) => newest = Some(*epoch),
                Event::Executed(_) => {}
            }
        }
    }
    Ok(())
}

/// The value under each version that anybody saw.
#[derive(Default)]
struct Seen<'a>(BTreeMap<(&'a str, &'static str, u64), u64>);

impl<'a> Seen<'a> {
    fn see(&mut self, twin: &'a str, name: &'static str, section: Section) -> Verdict {
        let Section { value, version } = section;
        match self.0.insert((twin, name, version), value) {
            Some(other) if other != value => {
                Err(format!("version {version} of {twin}'s {name} was both {other} and {value}"))
            }
            _ => Ok(()),
        }
    }
}
