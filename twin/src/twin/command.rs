//! Commands: accepted, pushed at most once (safety rule 14), withdrawn, expired.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::dedup::Keyed;
use super::typed::Typed;
use super::{Twin, check};
use crate::change::{Change, Command, CommandState, Effect, Mark};
use crate::input::CallId;
use crate::limits::{
    CALLS_WAITING_MAX, COMMAND_DEADLINE_MS_MAX, COMMANDS_LIVE_MAX, Limits, WAITING_RETRY_MS,
};
use crate::output::{Answer, ToDevice};
use crate::rejection::Rejection;
use crate::time::Time;
use crate::types::Part;
use crate::value::Value;

/// What becomes of a command whose device is away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Offline {
    Queue,
    Refuse,
}

/// When the call of a command is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerWhen {
    Accepted,
    Over,
}

impl Twin {
    /// The command of that id, live or among the last finished ones.
    pub fn command(&self, id: u64) -> Option<&Command> {
        let at = self.commands.binary_search_by_key(&id, |command| command.id).ok()?;
        self.commands.get(at)
    }

    pub(super) fn live_commands(&self) -> impl Iterator<Item = &Command> {
        self.commands.iter().filter(|command| !command.state.is_over())
    }

    /// A command as a service asks for it, not yet accepted.
    pub(super) fn new_command(
        &self,
        now: Time,
        name: String,
        payload: Value,
        deadline_ms: u64,
        by: String,
    ) -> Command {
        let deadline = now.plus_ms(deadline_ms);
        let state = CommandState::Queued;
        Command {
            id: self.command_last.saturating_add(1),
            name,
            payload,
            deadline,
            at: now,
            by,
            state,
        }
    }

    /// Whether a command may be accepted.
    pub(super) fn check_command(
        &self,
        (limits, typed): (&Limits, Option<&Typed>),
        command: &Command,
        deadline_ms: u64,
        offline: Offline,
    ) -> Result<(), Rejection> {
        if !self.is_alive() {
            return Err(Rejection::NotFound);
        }
        check::text("command name", &command.name)?;
        check::value(limits, &command.payload)?;
        check::bytes(command.payload.json_len(), limits.command_bytes_max)?;
        if deadline_ms == 0 || deadline_ms > COMMAND_DEADLINE_MS_MAX {
            let reason =
                format!("deadline of {deadline_ms} ms; it takes 1 to {COMMAND_DEADLINE_MS_MAX} ms");
            return Err(check::invalid(reason));
        }
        if let Some(typed) = typed {
            typed.check(Part::Command(&command.name), || command.payload.clone())?;
        }
        if offline == Offline::Refuse && self.live_session().is_none() {
            return Err(Rejection::DeviceOffline);
        }
        check::count("live commands", self.live_commands().count() + 1, COMMANDS_LIVE_MAX)
    }

    /// Queues a command, pushes it if the device is there, and answers, now or when it is over.
    pub(super) fn send(
        &mut self,
        now: Time,
        call: CallId,
        keyed: Keyed,
        command: Command,
        answer: AnswerWhen,
    ) {
        let id = command.id;
        let effect = Effect::CommandQueued(command);
        self.commit(Change { at: now, mark: keyed.mark(Ok(id)), effect });
        if answer == AnswerWhen::Over {
            self.wait(call, id);
        }
        if let Some(session) = self.live_session() {
            self.push_command(now, session, id);
        }
        if answer == AnswerWhen::Accepted {
            self.answer_command(call, id);
        }
    }

    /// Logs that delivery begins, then pushes: whatever happens to the push, it is never repeated.
    pub(super) fn push_command(&mut self, now: Time, session: u64, id: u64) {
        self.move_command(now, Mark::None, id, CommandState::Delivering { session });
        if let Some(command) = self.command(id) {
            let command = Box::new(command.clone());
            self.tell(session, ToDevice::Command(command));
        }
    }

    /// Withdraws a command that waits for its device.
    pub(super) fn cancel(&mut self, now: Time, call: CallId, keyed: Keyed, id: u64) {
        let refusal = match self.command(id).map(|command| &command.state) {
            _ if !self.is_alive() => Rejection::NotFound,
            None => Rejection::UnknownCommand,
            Some(CommandState::Queued) => {
                let mut command = self.command(id).cloned().expect("found above");
                self.move_command(now, keyed.mark(Ok(id)), id, CommandState::Cancelled);
                command.state = CommandState::Cancelled;
                return self.answer(call, Ok(Answer::Command(Box::new(command))));
            }
            Some(CommandState::Delivering { .. }) => check::invalid(format!(
                "command {id} is being delivered; only a queued command can be cancelled"
            )),
            Some(_) => Rejection::CommandOver,
        };
        self.refuse(now, call, keyed, refusal);
    }

    /// Ends the commands that are past their deadlines.
    pub(super) fn expire_commands(&mut self, now: Time) {
        let past: Vec<_> = self
            .live_commands()
            .filter(|command| command.deadline <= now)
            .map(|command| (command.id, end_of(&command.state, CommandState::Expired)))
            .collect();
        for (id, end) in past {
            self.move_command(now, Mark::None, id, end);
        }
    }

    /// Moves a command and, if that ends it, answers who waited.
    pub(super) fn move_command(&mut self, now: Time, mark: Mark, id: u64, state: CommandState) {
        // Taken before: a finished command may be the one that the list has no more room for.
        let ended = self.command(id).filter(|_| state.is_over()).cloned();
        let effect = Effect::CommandMoved { id, state: state.clone() };
        self.commit(Change { at: now, mark, effect });
        if let Some(mut command) = ended {
            command.state = state;
            self.answer_waiting(&command);
        }
    }

    /// The caller went away: its call waits no longer. The command goes on.
    pub fn forget_call(&mut self, call: CallId) {
        self.local.waiting.retain(|(waiting, _)| *waiting != call);
    }

    /// Whether another call may wait. If not, nothing is done and nothing remembered.
    pub(super) fn check_waiting(&self) -> Result<(), Rejection> {
        if self.local.waiting.len() < CALLS_WAITING_MAX {
            return Ok(());
        }
        Err(Rejection::Overloaded { retry_after_ms: WAITING_RETRY_MS })
    }

    pub(super) fn wait(&mut self, call: CallId, id: u64) {
        match self.check_waiting() {
            Ok(()) => self.local.waiting.push((call, id)),
            Err(rejection) => self.answer(call, Err(rejection)),
        }
    }

    pub(super) fn answer_waiting(&mut self, command: &Command) {
        if self.local.waiting.is_empty() {
            return;
        }
        let waiting = core::mem::take(&mut self.local.waiting);
        for (call, id) in waiting {
            if id == command.id {
                self.answer(call, Ok(Answer::Command(Box::new(command.clone()))));
            } else {
                self.local.waiting.push((call, id));
            }
        }
    }
}

/// How a live command ends without the device's word: what was never pushed did not happen.
pub(super) fn end_of(state: &CommandState, unpushed: CommandState) -> CommandState {
    match state {
        CommandState::Queued => unpushed,
        _ => CommandState::Unknown,
    }
}
