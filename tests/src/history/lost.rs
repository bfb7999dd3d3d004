//! Nothing that was acknowledged is lost: what a twin shows at the end is at least as new as every
//! acknowledgement, and is the acknowledged value where the versions agree. A command whose answer came
//! was executed.

use super::{Answer, Call, Event, History, Verdict, What};

pub(super) fn check(history: &History) -> Verdict {
    for (twin, calls) in history.by_twin() {
        let Some(last) = history.last.get(twin) else {
            return Err(format!("{twin} was not read at the end, so nobody knows"));
        };
        for call in &calls {
            let Some(made) = call.made() else { continue };
            let (value, section) = match call.what {
                What::Report(number) => (number, last.reported),
                What::Write { value, .. } => (value, last.desired),
                What::Read | What::Command(_) => continue,
            };
            let gone =
                section.version < made || (section.version == made && section.value != value);
            if gone {
                return Err(format!(
                    "{twin} shows {section:?} at the end; acknowledged was {call:?}"
                ));
            }
        }
        commands(history, twin, &calls)?;
    }
    Ok(())
}

fn commands(history: &History, twin: &str, calls: &[&Call]) -> Verdict {
    let events = history.events.get(twin).map_or(&[][..], Vec::as_slice);
    for call in calls {
        let (What::Command(number), Some((_, Answer::Executed))) = (call.what, call.ended) else {
            continue;
        };
        if !events.contains(&Event::Executed(number)) {
            return Err(format!("{twin} never executed command {number}, which was answered"));
        }
    }
    Ok(())
}
