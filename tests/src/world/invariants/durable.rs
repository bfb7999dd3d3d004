//! What was acknowledged is on disk, and came to what was said. As the truth is learnt from the
//! disk and never forgets, it then survives every crash.

use pollux_twin::Rejection;
use pollux_twin::input::Request;
use pollux_twin::output::Answer;

use crate::world::caller::{Op, RESTORER};
use crate::world::judge::{Invariant, Seen, Verdict};
use crate::world::truth::{Past, Truth};

pub(super) struct Durable;

impl Invariant for Durable {
    fn name(&self) -> &'static str {
        "durable"
    }

    fn see(&mut self, truth: &Truth, seen: &Seen<'_>) -> Verdict {
        match seen {
            Seen::Acknowledged { device, id, result } => {
                let past = truth.past(device);
                let applied =
                    past.is_some_and(|past| past.reports.iter().any(|(applied, _)| applied == id));
                match (applied, result) {
                    (true, Ok(_)) | (false, Err(_)) => Ok(()),
                    (false, Ok(_)) => {
                        Err(format!("report {id} of {device} was acknowledged and is not there"))
                    }
                    (true, Err(why)) => {
                        Err(format!("report {id} of {device} was refused ({why:?}) and is there"))
                    }
                }
            }
            Seen::Returned { op, result } => returned(truth, op, result),
            _ => Ok(()),
        }
    }
}

fn returned(truth: &Truth, op: &Op, result: &Result<Answer, Rejection>) -> Verdict {
    let Ok(answer) = result else { return Ok(()) };
    let (id, key) = (op.id, &op.key);
    let nothing = Past::default();
    let past = truth.past(key).unwrap_or(&nothing);
    let effected = past.ops.get(&id).and_then(|all| all.first());
    let said = match answer {
        Answer::Written { version, .. } | Answer::Deleted { version } => *version,
        Answer::Twin(_) => return Ok(()),
        // What it writes was somebody else's before.
        Answer::Registration(_) if op.by() == RESTORER => return Ok(()),
        Answer::Registration(_) => match effected {
            Some(_) => return Ok(()),
            None => return Err(format!("operation {id} on {key} was answered and is not there")),
        },
        Answer::Command(command) => {
            let states = past.commands.get(&command.id);
            if !states.is_some_and(|states| states.contains(&command.state)) {
                let (command, state) = (command.id, &command.state);
                return Err(format!(
                    "operation {id} was told that command {command} of {key} is \
                                    {state:?}, which it never was"
                ));
            }
            match op.request {
                Request::Command { wait, .. } if wait && !command.state.is_over() => {
                    return Err(format!("operation {id} waited for a command that is not over"));
                }
                Request::Command { .. } => command.id,
                _ => return Ok(()),
            }
        }
    };
    match effected {
        Some(made) if *made == said => Ok(()),
        Some(made) => Err(format!("operation {id} on {key} made {made} and was told {said}")),
        None => Err(format!("operation {id} on {key} was answered {said} and is not there")),
    }
}
