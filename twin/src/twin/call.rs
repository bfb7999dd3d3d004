//! Service calls: recognises repetitions, hands each request to its file, answers.

use alloc::boxed::Box;
use alloc::string::String;

use super::command::{AnswerWhen, Offline};
use super::dedup::{Keyed, Recognised};
use super::typed::Typed;
use super::{Life, Twin, check};
use crate::change::{Change, Effect, Section};
use crate::input::{CallId, CallKey, Request};
use crate::limits::{KEY_TEXT_BYTES_MAX, Limits};
use crate::output::Answer;
use crate::registration::RegistryRequest;
use crate::rejection::Rejection;
use crate::time::Time;
use crate::tree::Write;
use crate::types::Types;

impl Twin {
    pub(super) fn call(
        &mut self,
        now: Time,
        (limits, types): (&Limits, &dyn Types),
        call: CallId,
        caller: String,
        key: Option<&CallKey>,
        request: Request,
    ) {
        let checked = check_caller(&caller, key);
        if self.quarantined || checked.is_err() {
            let rejection = checked.err().unwrap_or(Rejection::Quarantined);
            return self.answer(call, Err(rejection));
        }
        match request {
            Request::Get => return self.answer_twin(call),
            Request::GetCommand { id } => return self.answer_command(call, id),
            Request::Registry(ref request) if **request == RegistryRequest::Get => {
                return self.answer_registration(call);
            }
            _ => {}
        }
        let keyed = match self.recognise(now, &caller, key, &request) {
            Recognised::New(keyed) => keyed,
            Recognised::Repeated(answer) => return self.answer_again(call, &request, answer),
            Recognised::Refused(rejection) => return self.answer(call, Err(rejection)),
        };
        match self.typed_for(types, &request) {
            Ok(typed) => {
                let terms = (limits, types, typed.as_ref());
                self.decide_call(now, terms, call, keyed, caller, request);
            }
            Err(rejection) => self.answer(call, Err(rejection)),
        }
    }

    /// What the type asks of a request, if it asks anything of such. Who may come is the registry's, whatever this node
    /// knows of types.
    fn typed_for(&self, types: &dyn Types, request: &Request) -> Result<Option<Typed>, Rejection> {
        match request {
            Request::Patch { section: Section::Desired, .. } | Request::Command { .. } => {
                self.typed(types)
            }
            _ => Ok(None),
        }
    }

    /// Does what a call asks that is no repetition.
    fn decide_call(
        &mut self,
        now: Time,
        (limits, types, typed): (&Limits, &dyn Types, Option<&Typed>),
        call: CallId,
        keyed: Keyed,
        caller: String,
        request: Request,
    ) {
        match request {
            Request::Patch { section, patch, whole, expected } => {
                let write = Write::whole(whole);
                match self.decide_patch((limits, typed), section, &patch, write, expected) {
                    Ok(changed) => {
                        let patch = changed.then_some((patch, write));
                        if changed {
                            self.count_by(now, typed);
                        }
                        self.patch(now, call, keyed, section, patch, caller);
                    }
                    Err(rejection) => self.refuse(now, call, keyed, rejection),
                }
            }
            Request::Delete { expected } => self.delete(now, call, keyed, (expected, None), caller),
            Request::Command { name, payload, deadline_ms, queue, wait } => {
                if wait && let Err(rejection) = self.check_waiting() {
                    return self.answer(call, Err(rejection));
                }
                self.expire_commands(now);
                let offline = if queue { Offline::Queue } else { Offline::Refuse };
                let answer = if wait { AnswerWhen::Over } else { AnswerWhen::Accepted };
                let command = self.new_command(now, name, payload, deadline_ms, caller);
                match self.check_command((limits, typed), &command, deadline_ms, offline) {
                    Ok(()) => {
                        self.count_by(now, typed);
                        self.send(now, call, keyed, command, answer);
                    }
                    Err(rejection) => self.refuse(now, call, keyed, rejection),
                }
            }
            Request::CancelCommand { id } => {
                self.expire_commands(now);
                self.cancel(now, call, keyed, id);
            }
            Request::Registry(request) => match *request {
                RegistryRequest::Delete { expected } => {
                    let until = limits.restorable_ms.map(|ms| now.plus_ms(ms.get()));
                    self.delete(now, call, keyed, (expected, until), caller);
                }
                RegistryRequest::Restore => self.restore(now, call, keyed, &caller),
                request => self.register(now, (limits, types), call, keyed, caller, request),
            },
            Request::Get | Request::GetCommand { .. } => unreachable!("answered above"),
        }
    }

    /// Answers with a refusal. With a key of the caller it is remembered, unless there is no twin to
    /// remember it: a misspelt name must not make one.
    pub(super) fn refuse(&mut self, now: Time, call: CallId, keyed: Keyed, rejection: Rejection) {
        let passes = matches!(rejection, Rejection::Overloaded { .. });
        if keyed.is_lasting() && self.life != Life::Absent && !passes {
            let mark = keyed.mark(Err(rejection.clone()));
            self.commit(Change { at: now, mark, effect: Effect::None });
        }
        self.answer(call, Err(rejection));
    }

    fn answer_again(&mut self, call: CallId, request: &Request, answer: Result<u64, Rejection>) {
        let number = match answer {
            Ok(number) => number,
            Err(rejection) => return self.answer(call, Err(rejection)),
        };
        let section = |section: Section| Answer::Written { section, version: number };
        match request {
            Request::Patch { section: which, .. } => self.answer(call, Ok(section(*which))),
            Request::Delete { .. } => self.answer(call, Ok(Answer::Deleted { version: number })),
            Request::Registry(request) if request.is_delete() => {
                self.answer(call, Ok(Answer::Deleted { version: number }));
            }
            Request::Registry(_) => self.answer_registration(call),
            Request::Command { wait: true, .. }
                if self.command(number).is_some_and(|command| !command.state.is_over()) =>
            {
                self.wait(call, number);
            }
            _ => self.answer_command(call, number),
        }
    }

    pub(super) fn answer_command(&mut self, call: CallId, id: u64) {
        let command = self.command(id).map(|command| Answer::Command(Box::new(command.clone())));
        let missing = if self.is_alive() { Rejection::UnknownCommand } else { Rejection::NotFound };
        self.answer(call, command.ok_or(missing));
    }
}

fn check_caller(caller: &str, key: Option<&CallKey>) -> Result<(), Rejection> {
    check::text("caller", caller)?;
    match key {
        Some(CallKey::Own(key)) if key.is_empty() || key.len() > KEY_TEXT_BYTES_MAX => {
            let len = key.len();
            let reason = alloc::format!(
                "idempotency key has {len} bytes; it takes 1 to {KEY_TEXT_BYTES_MAX}"
            );
            Err(check::invalid(reason))
        }
        _ => Ok(()),
    }
}
