//! Reads are linearizable per twin: an answer shows a state that the twin was in on disk, and not an
//! older one than when the read began. As all writes of a twin have one order, the log's, that is
//! all there is to check.

use pollux_twin::Rejection;
use pollux_twin::input::Request;
use pollux_twin::output::Answer;
use pollux_twin::twin::Life;

use crate::world::judge::{Invariant, Seen, Verdict};
use crate::world::truth::{Past, Truth};

pub(super) struct Linear;

impl Invariant for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn see(&mut self, truth: &Truth, seen: &Seen<'_>) -> Verdict {
        let Seen::Returned { op, result } = seen else { return Ok(()) };
        if op.request != Request::Get {
            return Ok(());
        }
        let nothing = Past::default();
        let past = truth.past(&op.key).unwrap_or(&nothing);
        let begun = past.states.partition_point(|(place, _)| *place <= op.known);
        let possible = &past.states[begun.saturating_sub(1)..];
        let (id, key) = (op.id, &op.key);
        match result {
            Ok(Answer::Twin(view)) => {
                // Whether the owner has heard of the session is not in the log.
                let mut view = view.clone();
                view.presence.unknown = false;
                if possible.iter().any(|(_, state)| *state == *view) {
                    return Ok(());
                }
                let older = past.states.iter().any(|(_, state)| *state == *view);
                let what = if older { "an older state than when it began" } else { "no state" };
                let version = view.version;
                Err(format!("read {id} of {key} shows {what} (version {version})"))
            }
            Err(Rejection::NotFound) => {
                let absent = begun == 0 || possible.iter().any(|(_, it)| it.life != Life::Alive);
                if absent { Ok(()) } else { Err(format!("read {id} of {key} found nothing")) }
            }
            other => Err(format!("read {id} of {key} was answered {other:?}")),
        }
    }
}
