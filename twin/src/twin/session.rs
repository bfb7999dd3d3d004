//! A device's session: hello, its messages by number, and its end.

use alloc::string::String;

use super::dedup::Number;
use super::typed::Typed;
use super::{Life, Twin};
use crate::change::{Change, CommandState, Effect, Mark};
use crate::input::{ConnectionId, FromDevice};
use crate::limits::Limits;
use crate::output::{ByeReason, ToDevice};
use crate::registration::Shown;
use crate::rejection::Rejection;
use crate::time::Time;
use crate::types::Types;

impl Twin {
    /// Opens a session; the one before it, if any, is over (safety rule 13).
    pub(super) fn hello(
        &mut self,
        now: Time,
        connection: ConnectionId,
        incarnation: u64,
        node: u64,
        shown: Shown,
    ) {
        self.expire_commands(now);
        if let Some(old) = self.session() {
            let same_run = incarnation == self.session.incarnation;
            let reason = if same_run { ByeReason::Superseded } else { ByeReason::TakenOver };
            self.tell(old, ToDevice::Bye { reason });
        }
        let session = self.session.epoch.saturating_add(1);
        self.commit(Change {
            at: now,
            mark: Mark::None,
            effect: Effect::Connected { session, incarnation, node },
        });
        (self.local.heard, self.local.shown) = (true, Some(shown));
        let welcome = ToDevice::Welcome {
            connection,
            last_seq: self.session.last_seq,
            desired_version: self.document.desired.version,
            desired: self.document.desired.tree.to_value(),
            reported_version: self.document.reported.version,
        };
        self.tell(session, welcome);
        self.deliver_commands(now, session);
    }

    /// Ends the session, if it is the current one.
    pub(super) fn disconnected(&mut self, now: Time, session: u64) -> Result<(), Rejection> {
        if self.session() != Some(session) {
            return Err(Rejection::SessionOver);
        }
        self.local.heard = false;
        self.commit(Change { at: now, mark: Mark::None, effect: Effect::Disconnected { session } });
        Ok(())
    }

    /// Ends the current session, and tells its device why.
    pub(super) fn end_session(&mut self, now: Time, session: u64, reason: ByeReason) {
        self.local.heard = false;
        self.commit(Change { at: now, mark: Mark::None, effect: Effect::Disconnected { session } });
        self.tell(session, ToDevice::Bye { reason });
    }

    /// A message of a session.
    pub(super) fn device(
        &mut self,
        now: Time,
        (limits, types): (&Limits, &dyn Types),
        session: u64,
        message: FromDevice,
    ) -> Result<(), Rejection> {
        if self.session() != Some(session) {
            return Err(Rejection::SessionOver);
        }
        if !self.local.heard {
            self.heard_again(now, session);
        }
        let seq = match &message {
            FromDevice::Get => {
                self.tell_desired(session);
                return Ok(());
            }
            FromDevice::Telemetry { seq: None, .. } => {
                let typed = self.typed(types)?;
                return self.volatile_telemetry(now, (limits, typed.as_ref()), session, message);
            }
            FromDevice::Telemetry { seq: Some(seq), .. }
            | FromDevice::Report { seq, .. }
            | FromDevice::DesiredAck { seq, .. }
            | FromDevice::CommandResult { seq, .. }
            | FromDevice::CommandUnknown { seq, .. } => *seq,
        };
        let rejection = match self.session.number(seq) {
            Number::Next => {
                let is_asked =
                    matches!(message, FromDevice::Report { .. } | FromDevice::Telemetry { .. });
                let typed = if is_asked { self.typed(types) } else { Ok(None) };
                let typed = match typed {
                    Ok(typed) => typed,
                    // Nothing is consumed: it is sent again.
                    Err(rejection) => {
                        self.tell(session, ToDevice::Nack { seq, rejection });
                        return Ok(());
                    }
                };
                let (effect, rejection) = match self.decide((limits, typed.as_ref()), message) {
                    Ok(effect) => (effect, None),
                    Err(rejection) => (Effect::None, Some(rejection)),
                };
                if effect != Effect::None {
                    self.count_by(now, typed.as_ref());
                }
                let mark = Mark::Sequence { seq, rejection: rejection.clone() };
                self.commit_message(Change { at: now, mark, effect });
                rejection
            }
            Number::Repeated(rejection) => rejection,
            Number::Ahead(rejection) => {
                self.tell(session, ToDevice::Nack { seq, rejection });
                return Ok(());
            }
        };
        let result = rejection.map_or(Ok(self.document.reported.version), Err);
        self.tell(session, ToDevice::Ack { seq, result });
        Ok(())
    }

    fn decide(
        &self,
        (limits, typed): (&Limits, Option<&Typed>),
        message: FromDevice,
    ) -> Result<Effect, Rejection> {
        match message {
            FromDevice::Report { patch, observed_at, .. } => {
                self.decide_report((limits, typed), patch, observed_at)
            }
            FromDevice::Telemetry { values, observed_at, .. } => {
                self.check_telemetry((limits, typed), &values)?;
                Ok(Effect::Telemetry { values, observed_at })
            }
            FromDevice::DesiredAck { version, refused, .. } => {
                self.decide_desired_ack(version, refused)
            }
            FromDevice::CommandResult { id, result, .. } => {
                self.decide_command_result(limits, id, result)
            }
            FromDevice::CommandUnknown { id, .. } => self.decide_command_unknown(id),
            FromDevice::Get => unreachable!("answered before, as it has no number"),
        }
    }

    /// Commits a device's change and answers who waited for the command it ends, if it ends one.
    fn commit_message(&mut self, change: Change) {
        let ended = match &change.effect {
            Effect::CommandMoved { id, state } if state.is_over() => Some((*id, state.clone())),
            _ => None,
        };
        let before = ended.map(|(id, state)| (self.command(id).cloned(), state));
        self.commit(change);
        if let Some((Some(mut command), state)) = before {
            command.state = state;
            self.answer_waiting(&command);
        }
    }

    /// First message of a session that an earlier actor opened: what that one pushed may have been
    /// lost with it, so the device is told anew and asked.
    fn heard_again(&mut self, now: Time, session: u64) {
        self.local.heard = true;
        self.tell_desired(session);
        self.expire_commands(now);
        self.deliver_commands(now, session);
    }

    pub(super) fn tell_desired(&mut self, session: u64) {
        let desired = &self.document.desired;
        let message =
            ToDevice::Desired { version: desired.version, desired: desired.tree.to_value() };
        self.tell(session, message);
    }

    /// What the device did with a desired version.
    fn decide_desired_ack(
        &self,
        version: u64,
        refused: Option<String>,
    ) -> Result<Effect, Rejection> {
        let actual = self.document.desired.version;
        if version > actual {
            let reason = alloc::format!(
                "desired version {version} does not exist yet; acknowledge at most {actual}"
            );
            return Err(Rejection::Invalid { reason });
        }
        if let Some(reason) = &refused {
            super::check::text("reason", reason)?;
        }
        if self.desired_acked.as_ref().is_some_and(|acked| acked.version > version) {
            // An older one says nothing that a newer one did not.
            return Ok(Effect::None);
        }
        Ok(Effect::DesiredAcked { version, refused })
    }

    /// Whether there is a twin to speak of.
    pub(super) fn is_alive(&self) -> bool {
        self.life == Life::Alive
    }

    /// Commands that a new session must be told or asked about.
    fn deliver_commands(&mut self, now: Time, session: u64) {
        let live: alloc::vec::Vec<_> =
            self.live_commands().map(|command| (command.id, command.state.clone())).collect();
        for (id, state) in live {
            match state {
                CommandState::Queued => self.push_command(now, session, id),
                _ => self.tell(session, ToDevice::AskCommand { id }),
            }
        }
    }
}
