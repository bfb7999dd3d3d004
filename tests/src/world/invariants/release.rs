//! A release never precedes its durable entry: whatever leaves the node speaks only of what is on
//! disk (safety rules 2 and 3).

use pollux_twin::change::{CommandState, Section};
use pollux_twin::output::{Answer, ByeReason, ToDevice};
use pollux_twin::registration::Registration;
use pollux_twin::twin::Life;

use crate::world::judge::{Invariant, Seen, Verdict};
use crate::world::node::To;
use crate::world::truth::{Past, Truth};

pub(super) struct Release;

impl Invariant for Release {
    fn name(&self) -> &'static str {
        "release"
    }

    fn see(&mut self, truth: &Truth, seen: &Seen<'_>) -> Verdict {
        let Seen::Released { out } = seen else { return Ok(()) };
        let nothing = Past::default();
        let past = truth.past(&out.key).unwrap_or(&nothing);
        let on_disk = match &out.to {
            To::Device { session, message, .. } => device(past, *session, message),
            To::Caller { result: Ok(answer), .. } => caller(past, answer),
            To::Caller { .. } => true,
        };
        if on_disk { Ok(()) } else { Err(format!("released before it was on disk: {out:?}")) }
    }
}

fn device(past: &Past, session: u64, message: &ToDevice) -> bool {
    match message {
        ToDevice::Welcome { desired_version, desired, .. } => {
            past.sessions.contains_key(&session)
                && shows(past, Section::Desired, *desired_version, desired)
        }
        ToDevice::Ack { seq, result } => {
            let incarnation = past.sessions.get(&session).copied().unwrap_or_default();
            match past.numbers.get(&(incarnation, *seq)) {
                Some((_, rejection)) => rejection.as_ref() == result.as_ref().err(),
                None => false,
            }
        }
        ToDevice::Desired { version, desired } => shows(past, Section::Desired, *version, desired),
        ToDevice::Command(command) => past
            .commands
            .get(&command.id)
            .is_some_and(|states| states.contains(&CommandState::Delivering { session })),
        ToDevice::AskCommand { id } => past.commands.contains_key(id),
        ToDevice::Bye { reason: ByeReason::TakenOver | ByeReason::Superseded } => {
            past.sessions.keys().any(|newer| *newer > session)
        }
        ToDevice::Bye { reason: ByeReason::Deleted } => {
            past.states.iter().any(|(_, state)| state.life == Life::Deleted)
        }
        // It says no more than what stays away.
        ToDevice::Refused { .. } | ToDevice::Nack { .. } | ToDevice::Bye { .. } => true,
    }
}

fn caller(past: &Past, answer: &Answer) -> bool {
    match answer {
        Answer::Twin(view) => {
            // Whether the owner has heard of the session is not in the log.
            let mut view = view.clone();
            view.presence.unknown = false;
            past.states.iter().rev().any(|(_, state)| *state == *view)
        }
        Answer::Written { section, version } => past.contents.contains_key(&(*section, *version)),
        Answer::Deleted { version } => {
            past.states.iter().any(|(_, state)| state.version == *version)
        }
        // A deletion leaves a twin that comes again without one.
        Answer::Registration(entry) => {
            **entry == Registration::default() || past.entries.contains(entry)
        }
        Answer::Command(command) => {
            past.commands.get(&command.id).is_some_and(|states| states.contains(&command.state))
        }
    }
}

/// Whether a section was seen on disk with this version and this content.
fn shows(past: &Past, section: Section, version: u64, content: &pollux_twin::Value) -> bool {
    match past.contents.get(&(section, version)) {
        Some(known) => known == content,
        None => version == 0,
    }
}
