//! How a change is carried out: by the actor that decided it and by every replica, alike.
//!
//! Reads no clock, no config and no limit (safety rule 9). Everything is checked before anything
//! is touched, so a change that breaks an invariant leaves the twin as it was, quarantined.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use super::{DesiredAcked, Document, Latest, Life, SectionState, Twin};
use crate::change::{Change, Command, CommandState, Effect, KeyMark, Mark, Section};
use crate::limits::{COMMANDS_DONE_MAX, ENTRY_KEYS_MAX, REPORTS_IN_FLIGHT_MAX};
use crate::time::Time;
use crate::tree::{Stamp, Write};
use crate::value::{Object, Value};

/// A change does not fit the twin: it is set aside, the same way on every replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// The broken invariant.
    pub reason: &'static str,
}

impl fmt::Display for Quarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "apply a change: {}; the twin is quarantined", self.reason)
    }
}

impl core::error::Error for Quarantine {}

impl Twin {
    /// Carries a decided change out.
    ///
    /// If it does not fit, nothing changes but that the twin is quarantined; from then on every
    /// change is refused.
    pub fn apply(&mut self, change: &Change) -> Result<(), Quarantine> {
        self.wake();
        let fits = self.fits(change);
        if fits.is_err() {
            self.quarantined = true;
            return fits;
        }
        // Logged time, never a clock, decides what is forgotten (safety rule 20).
        self.keys.retain(|key| key.expires > change.at);
        self.entry_keys.retain(|key| key.expires > change.at);
        match &change.mark {
            Mark::None => {}
            Mark::Sequence { seq, rejection } => {
                let session = &mut self.session;
                session.last_seq = *seq;
                session.seen = change.at;
                let kept = seq.saturating_sub(REPORTS_IN_FLIGHT_MAX as u64);
                session.refused.retain(|(refused, _)| *refused > kept);
                if let Some(rejection) = rejection {
                    session.refused.push_back((*seq, rejection.clone()));
                }
            }
            Mark::Key(key) => self.keys.push(KeyMark::clone(key)),
            Mark::EntryKey(key) => {
                if self.entry_keys.len() >= ENTRY_KEYS_MAX {
                    self.entry_keys.remove(0);
                }
                self.entry_keys.push(KeyMark::clone(key));
            }
        }
        self.carry_out(change.at, &change.effect);
        Ok(())
    }

    fn fits(&self, change: &Change) -> Result<(), Quarantine> {
        let check = |fits: bool, reason| if fits { Ok(()) } else { Err(Quarantine { reason }) };
        check(!self.quarantined, "it was quarantined before")?;
        if let Mark::Sequence { seq, .. } = change.mark {
            check(self.session.connected, "a numbered message without a session")?;
            check(self.session.last_seq.checked_add(1) == Some(seq), "a number out of order")?;
        }
        match &change.effect {
            Effect::None | Effect::Telemetry { .. } | Effect::DesiredAcked { .. } => Ok(()),
            Effect::Patched { section, patch, .. } => {
                check(matches!(patch, Value::Object(_)), "a section that is no object")?;
                let versions = [self.version, self.document.section(*section).version];
                check(versions.iter().all(|version| *version < u64::MAX), "versions are used up")
            }
            Effect::Connected { session, .. } => check(
                self.session.epoch.checked_add(1) == Some(*session),
                "a session epoch skipped",
            ),
            Effect::Disconnected { session } => {
                check(self.session.current() == Some(*session), "the end of another session")
            }
            Effect::CommandQueued(command) => {
                check(
                    self.command_last.checked_add(1) == Some(command.id),
                    "a command id skipped",
                )?;
                check(command.state == CommandState::Queued, "a new command that is not queued")
            }
            Effect::CommandMoved { id, state } => {
                let Ok(at) = self.commands.binary_search_by_key(id, |command| command.id) else {
                    return check(false, "a command that is not there moved");
                };
                check(may_move(&self.commands[at].state, state), "a command moved out of order")
            }
            Effect::Deleted { .. } => {
                check(self.life == Life::Alive, "deleted, but not alive")?;
                check(self.version < u64::MAX, "versions are used up")
            }
            Effect::Registered(_) => check(self.version < u64::MAX, "versions are used up"),
            Effect::Buried { .. } => check(self.life == Life::Alive, "buried, but not alive"),
            Effect::Forgotten => check(self.buried.is_some(), "nothing buried was forgotten"),
        }
    }

    fn carry_out(&mut self, at: Time, effect: &Effect) {
        match effect {
            Effect::None => {}
            Effect::Patched { section, patch: Value::Object(patch), whole, observed_at, by } => {
                let stamp = Stamp { at, observed_at: *observed_at };
                self.patched(*section, patch, Write::whole(*whole), stamp, by);
            }
            Effect::Patched { .. } => unreachable!("checked to be an object"),
            Effect::Telemetry { values, observed_at } => {
                for (name, value) in values {
                    self.local.volatile.remove(name);
                    let latest = Latest { value: value.clone(), at, observed_at: *observed_at };
                    self.document.telemetry.insert(name.clone(), latest);
                }
            }
            Effect::Connected { session, incarnation, node } => {
                self.connected(at, *session, *incarnation, *node);
            }
            Effect::Disconnected { .. } => {
                self.session.connected = false;
                self.session.since = at;
            }
            Effect::DesiredAcked { version, refused } => {
                self.desired_acked =
                    Some(DesiredAcked { version: *version, refused: refused.clone(), at });
            }
            Effect::CommandQueued(command) => {
                self.command_last = command.id;
                self.commands.push(Command::clone(command));
            }
            Effect::CommandMoved { id, state } => self.command_moved(*id, state),
            Effect::Deleted { by } => self.deleted(at, by),
            Effect::Registered(entry) => {
                self.life = Life::Alive;
                self.version += 1;
                self.registration = Some(entry.clone());
            }
            Effect::Buried { until } => self.bury(*until),
            Effect::Forgotten => self.buried = None,
        }
    }

    fn patched(&mut self, section: Section, patch: &Object, write: Write, stamp: Stamp, by: &str) {
        self.life = Life::Alive;
        self.version += 1;
        let section = self.document.section_mut(section);
        section.version += 1;
        section.at = stamp.at;
        if section.by != by {
            section.by = String::from(by);
        }
        section.tree.merge(patch, write, stamp);
    }

    fn connected(&mut self, at: Time, epoch: u64, incarnation: u64, node: u64) {
        self.life = Life::Alive;
        let session = &mut self.session;
        if session.incarnation != incarnation || session.epoch == 0 {
            session.incarnation = incarnation;
            session.last_seq = 0;
            session.refused.clear();
        }
        session.epoch = epoch;
        session.connected = true;
        session.node = node;
        session.since = at;
        session.seen = at;
    }

    fn command_moved(&mut self, id: u64, state: &CommandState) {
        let found = self.commands.binary_search_by_key(&id, |command| command.id);
        let at = found.expect("checked to be there");
        self.commands[at].state = state.clone();
        let mut done = self.commands.iter().filter(|command| command.state.is_over()).count();
        self.commands.retain(|command| {
            let forget = done > COMMANDS_DONE_MAX && command.state.is_over();
            done -= usize::from(forget);
            !forget
        });
    }

    fn deleted(&mut self, at: Time, by: &str) {
        self.life = Life::Deleted;
        self.version += 1;
        self.desired_acked = None;
        self.commands.clear();
        self.registration = self.registration.take().and_then(|entry| entry.buried()).map(Box::new);
        self.session.connected = false;
        self.session.since = at;
        let document = core::mem::take(&mut self.document);
        // One version has one content: a section that loses its content goes on by one, or a
        // device that was away would take the empty section for the one it knows.
        let floor = |section: &SectionState| SectionState {
            version: section.version + u64::from(!section.tree.is_empty()),
            at,
            by: by.into(),
            ..Default::default()
        };
        self.document = Document {
            tags: floor(&document.tags),
            desired: floor(&document.desired),
            reported: floor(&document.reported),
            ..Default::default()
        };
    }
}

/// The life of a command: queued → delivering → an end; some ends without delivery.
const fn may_move(from: &CommandState, to: &CommandState) -> bool {
    use CommandState::{Cancelled, Delivering, Done, Expired, Failed, Queued, Unknown};
    matches!(
        (from, to),
        (Queued, Delivering { .. } | Expired | Cancelled)
            | (Delivering { .. }, Done { .. } | Failed { .. } | Unknown)
    )
}
