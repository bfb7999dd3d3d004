//! A service's operation is applied at most once, however often it is called; one that was refused
//! is not applied at all (safety rule 15).

use pollux_twin::Rejection;
use pollux_twin::input::Request;

use crate::world::judge::{Invariant, Seen, Verdict};
use crate::world::truth::Truth;

pub(super) struct Once;

impl Invariant for Once {
    fn name(&self) -> &'static str {
        "once"
    }

    fn see(&mut self, truth: &Truth, seen: &Seen<'_>) -> Verdict {
        match seen {
            Seen::Changed { key, .. } => {
                let Some(past) = truth.past(key) else { return Ok(()) };
                match past.ops.iter().find(|(_, effected)| effected.len() > 1) {
                    Some((op, effected)) => {
                        Err(format!("operation {op} on {key} was applied twice: {effected:?}"))
                    }
                    None => Ok(()),
                }
            }
            Seen::Returned { op, result: Err(refusal) } => {
                // A refusal for want of a twin is not remembered, as there is nothing to remember
                // it with: an earlier call of the same operation may still come along. A command
                // may be forgotten, with a deleted twin or behind many others, before a repeated
                // call asks what became of it.
                let forgotten = matches!(
                    refusal,
                    Rejection::NotFound
                        | Rejection::UnknownCommand
                        | Rejection::VersionMismatch { actual: 0, .. }
                );
                let applied = truth.past(&op.key).is_some_and(|past| past.ops.contains_key(&op.id));
                if applied && !forgotten && op.request != Request::Get {
                    let (id, key) = (op.id, &op.key);
                    return Err(format!(
                        "operation {id} on {key} was refused ({refusal:?}), and \
                                        is there"
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
