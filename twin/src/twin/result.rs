//! The device's word on a command: its answer, its failure, or that it does not know it.

use alloc::format;
use alloc::string::String;

use super::{Twin, check};
use crate::change::{CommandState, Effect};
use crate::limits::Limits;
use crate::rejection::Rejection;
use crate::value::Value;

impl Twin {
    pub(super) fn decide_command_result(
        &self,
        limits: &Limits,
        id: u64,
        result: Result<Value, String>,
    ) -> Result<Effect, Rejection> {
        self.check_delivering(id)?;
        let state = match result {
            Ok(answer) => {
                check::value(limits, &answer)?;
                check::bytes(answer.json_len(), limits.command_bytes_max)?;
                CommandState::Done { answer }
            }
            Err(reason) => {
                check::text("reason", &reason)?;
                CommandState::Failed { reason }
            }
        };
        Ok(Effect::CommandMoved { id, state })
    }

    pub(super) fn decide_command_unknown(&self, id: u64) -> Result<Effect, Rejection> {
        self.check_delivering(id)?;
        Ok(Effect::CommandMoved { id, state: CommandState::Unknown })
    }

    fn check_delivering(&self, id: u64) -> Result<(), Rejection> {
        match self.command(id).map(|command| &command.state) {
            None => Err(Rejection::UnknownCommand),
            Some(CommandState::Delivering { .. }) => Ok(()),
            Some(CommandState::Queued) => Err(check::invalid(format!(
                "command {id} was not pushed yet; answer it when it came"
            ))),
            Some(_) => Err(Rejection::CommandOver),
        }
    }
}
