//! A watcher is told every change after where it stands, in the log's order, and nothing that is not
//! committed; a full picture is not older than the place from which it goes on.

use pollux_runtime::watch::Cursor;

use crate::world::judge::{Invariant, Seen, Verdict};
use crate::world::truth::Truth;

pub(super) struct Watch;

impl Invariant for Watch {
    fn name(&self) -> &'static str {
        "watch"
    }

    fn see(&mut self, truth: &Truth, seen: &Seen<'_>) -> Verdict {
        match seen {
            Seen::Watched { from, to, events } => {
                if to.index > truth.index {
                    return Err(format!("a watcher stands at {to:?}, ahead of what is committed"));
                }
                let at = |(index, ordinal, _): &(u64, u32, _)| Cursor {
                    index: *index,
                    ordinal: *ordinal,
                };
                let first = truth.changes.partition_point(|change| at(change) <= *from);
                let last = truth.changes.partition_point(|change| at(change) <= *to);
                let due = &truth.changes[first..last.max(first)];
                let told = events.iter().map(|event| (event.at, &event.what.key));
                if due.iter().map(|change| (at(change), &change.2)).eq(told) {
                    return Ok(());
                }
                let (due, told) = (due.len(), events.len());
                Err(format!("from {from:?} to {to:?} are {due} changes, a watcher was told {told}"))
            }
            Seen::Pictured { head, table } => {
                if head.index > truth.index {
                    return Err(format!("a picture stands for {head:?}, ahead of the commit"));
                }
                for (key, past) in &truth.twins {
                    let until =
                        past.states.partition_point(|(p, _)| *p <= truth.place_at(head.index));
                    let Some((_, due)) = until.checked_sub(1).map(|at| &past.states[at]) else {
                        continue;
                    };
                    let view = table.view(key).map_err(|fault| fault.to_string())?;
                    if view.is_none_or(|view| view.version < due.version) {
                        return Err(format!("a picture at {head:?} shows {key} older than then"));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
