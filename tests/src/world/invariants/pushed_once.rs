//! A command reaches a device at most once; what it did is what the twin says, and where that cannot
//! be known the twin says `unknown` (safety rule 14).

use std::collections::{BTreeMap, BTreeSet};

use pollux_twin::change::CommandState;
use pollux_twin::{Effect, TwinKey};

use crate::world::judge::{End, Invariant, Seen, Verdict};
use crate::world::truth::{Truth, number};

#[derive(Default)]
pub(super) struct PushedOnce {
    given: BTreeMap<TwinKey, BTreeSet<u64>>,
    executed: BTreeMap<TwinKey, BTreeSet<u64>>,
}

impl Invariant for PushedOnce {
    fn name(&self) -> &'static str {
        "pushed_once"
    }

    fn see(&mut self, _: &Truth, seen: &Seen<'_>) -> Verdict {
        match seen {
            Seen::Commanded { device, id } => {
                if self.given.entry((*device).clone()).or_default().insert(*id) {
                    return Ok(());
                }
                Err(format!("command {id} was given to {device} twice"))
            }
            Seen::Executed { device, id } => {
                self.executed.entry((*device).clone()).or_default().insert(*id);
                Ok(())
            }
            Seen::Changed { key, change } => match &change.effect {
                Effect::CommandMoved { id, state } => self.moved(key, *id, state),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn end(&mut self, truth: &Truth, _: &End<'_>) -> Verdict {
        for (key, past) in &truth.twins {
            for (id, states) in &past.commands {
                let given = contains(&self.given, key, *id);
                let over = states.last().filter(|state| state.is_over());
                match over {
                    None => return Err(format!("command {id} of {key} is live for ever")),
                    Some(CommandState::Expired | CommandState::Cancelled) if given => {
                        return Err(format!(
                            "command {id} of {key} was given to it and is said not to have been"
                        ));
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }
}

impl PushedOnce {
    fn moved(&self, key: &TwinKey, id: u64, state: &CommandState) -> Verdict {
        let executed = contains(&self.executed, key, id);
        let claimed = match state {
            CommandState::Done { answer } => number(Some(answer)) == Some(id) && executed,
            CommandState::Failed { reason } => match reason.strip_prefix("failed-") {
                Some(of) => of == id.to_string() && executed,
                // The device's SDK says that it does not know what came of it.
                None => true,
            },
            _ => true,
        };
        if claimed {
            return Ok(());
        }
        Err(format!("command {id} of {key} is {state:?}, which the device never said"))
    }
}

fn contains(all: &BTreeMap<TwinKey, BTreeSet<u64>>, key: &TwinKey, id: u64) -> bool {
    all.get(key).is_some_and(|ids| ids.contains(&id))
}
