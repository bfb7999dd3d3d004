//! What a job does to one device: its call, by the rights of whoever made the job, and the look at what came of it.
//! Owns what a twin's word means to a job.

use std::sync::Arc;

use pollux_proto::status;
use pollux_twin::change::{Change, Command, CommandState, Effect, Section};
use pollux_twin::input::{CallKey, Request};
use pollux_twin::output::Answer;
use pollux_twin::patch::merge;
use pollux_twin::{Rejection, ShardId, TwinKey, View};

use super::limits::{CALL_TIME_MAX, RESEND_MS};
use super::machine::{CommandEnd, Finish, Reply, Sight, State, Target};
use super::plan::{Action, Plan};
use super::record::Record;
use super::runner::Office;
use crate::clock::Clock;
use crate::router::{Call, Router};

/// See the module.
pub(super) struct Acting {
    office: Office,
    /// The way to twins by the rights of whoever made the job.
    behalf: Router,
    clock: Clock,
    record: Arc<Record>,
    plan: Plan,
    caller: String,
    /// The job's shard: whoever does not own it calls nobody.
    shard: ShardId,
    /// The wall's time when this began, and what had elapsed then.
    since_ms: (u64, u64),
}

impl Acting {
    pub(super) fn new(office: &Office, shard: ShardId, record: Arc<Record>, plan: Plan) -> Self {
        let Office { router, clock, .. } = office;
        let behalf = match record.proven {
            true => router.on_behalf(&record.by),
            false => router.clone(),
        };
        let (office, clock) = (office.clone(), *clock);
        let (caller, since_ms) = (record.caller(), (clock.wall().ms, clock.elapsed_ms()));
        Self { office, behalf, clock, caller, record, plan, shard, since_ms }
    }

    /// The time by which a round goes: the wall's when it began, and no jump of that since.
    pub(super) fn now_ms(&self) -> u64 {
        let (wall_ms, elapsed_ms) = self.since_ms;
        wall_ms.saturating_add(self.clock.elapsed_ms().saturating_sub(elapsed_ms))
    }

    /// Makes the call of a device's attempt, which was marked then. Made again, its twin recognises it.
    pub(super) async fn send(&self, key: TwinKey, attempt: u32, marked_ms: u64) -> Reply {
        let request = self.plan.request();
        if let Err(rejection) = self.may(&key, &request) {
            return reply(Err(rejection));
        }
        // A write makes a twin that is not there, and a job makes none.
        if let Action::Merge { .. } = self.plan.action
            && let Err(rejection) = self.view(&key).await
        {
            return match rejection {
                // Nothing was asked but to read.
                Rejection::Unknown => Reply::Later,
                rejection => reply(Err(rejection)),
            };
        }
        // Whoever was stopped in between must not call for what may have been called for again since.
        if self.now_ms().abs_diff(marked_ms) > RESEND_MS || !self.office.is_here(self.shard) {
            return Reply::Later;
        }
        let call = Call {
            key,
            caller: self.caller.clone(),
            idempotency_key: Some(CallKey::Own(Record::attempt_key(attempt))),
            request,
            timeout: CALL_TIME_MAX,
        };
        reply(self.behalf.call(call).await)
    }

    fn may(&self, key: &TwinKey, request: &Request) -> Result<(), Rejection> {
        if !self.record.proven {
            // Whoever made it was nobody in particular, and may as much as such may now.
            return match self.office.doorman.is_enforced() {
                true => Err(Rejection::Forbidden {
                    action: "job:manage".to_owned(),
                    on: "a job that was made while access was open: make it again".to_owned(),
                }),
                false => Ok(()),
            };
        }
        self.office.doorman.check_for(&self.record.by, key, request)
    }

    /// Looks at a device's twin.
    pub(super) async fn look(&self, key: TwinKey, target: Target) -> Vec<Sight> {
        match self.view(&key).await {
            Ok(view) => self.sights(&view, &target),
            Err(Rejection::NotFound) => vec![Sight::Gone],
            Err(_) => vec![Sight::Unseen],
        }
    }

    /// Withdraws a command that was not delivered; one that is being delivered, or over, is looked at.
    pub(super) async fn withdraw(&self, key: TwinKey, target: Target) -> Vec<Sight> {
        match self.ask(&key, Request::CancelCommand { id: target.number }).await {
            Ok(Answer::Command(command)) => vec![of_command(&command)],
            _ => self.look(key, target).await,
        }
    }

    fn sights(&self, view: &View, target: &Target) -> Vec<Sight> {
        let unsure = target.state == State::Sending;
        match &self.plan.action {
            Action::Command { .. } => {
                let ours = |command: &&Command| match unsure {
                    true => command.by == self.caller && command.id > target.number,
                    false => command.id == target.number,
                };
                let newest = view.commands.iter().rev().find(ours);
                let none = if unsure { Sight::Nothing } else { Sight::Forgotten };
                vec![newest.map_or(none, of_command)]
            }
            Action::Merge { section, patch } => {
                let kept = if *section == Section::Tags { &view.tags } else { &view.desired };
                let (mut sights, mut number) = (Vec::new(), target.number);
                if unsure {
                    let mut wanted = kept.value.clone();
                    merge(&mut wanted, patch);
                    if kept.by != self.caller && wanted != kept.value {
                        return vec![Sight::Nothing];
                    }
                    number = kept.version;
                    sights.push(Sight::Written { version: number });
                }
                match &view.desired_acked {
                    Some(acked) if acked.version >= number => {
                        let (version, refused) = (acked.version, acked.refused.clone());
                        sights.push(Sight::Acked { version, refused });
                    }
                    _ => sights.push(Sight::Nothing),
                }
                sights
            }
        }
    }

    async fn view(&self, key: &TwinKey) -> Result<Box<View>, Rejection> {
        match self.ask(key, Request::Get).await? {
            Answer::Twin(view) => Ok(view),
            _ => Err(Rejection::Unknown),
        }
    }

    /// Asks a twin as the cluster itself, which may.
    async fn ask(&self, key: &TwinKey, request: Request) -> Result<Answer, Rejection> {
        let (key, caller) = (key.clone(), self.caller.clone());
        let call = Call { key, caller, idempotency_key: None, request, timeout: CALL_TIME_MAX };
        self.office.router.call(call).await
    }

    /// What a change of a device's twin is to a job.
    pub(super) fn heard(&self, change: &Change) -> Option<Sight> {
        match (&change.effect, self.plan.rules.finish) {
            (Effect::DesiredAcked { version, refused }, Finish::Acknowledged) => {
                Some(Sight::Acked { version: *version, refused: refused.clone() })
            }
            (Effect::CommandMoved { id, state }, Finish::Answered) => {
                Some(Sight::Moved { id: *id, end: end_of(state)? })
            }
            (Effect::Deleted { .. }, Finish::Acknowledged | Finish::Answered) => Some(Sight::Gone),
            _ => None,
        }
    }
}

fn of_command(command: &Command) -> Sight {
    Sight::Command { id: command.id, end: end_of(&command.state) }
}

fn end_of(state: &CommandState) -> Option<CommandEnd> {
    Some(match state {
        CommandState::Queued | CommandState::Delivering { .. } => return None,
        CommandState::Done { .. } => CommandEnd::Done,
        CommandState::Failed { reason } => CommandEnd::Failed(reason.clone()),
        CommandState::Expired => CommandEnd::Expired,
        CommandState::Cancelled => CommandEnd::Cancelled,
        CommandState::Unknown => CommandEnd::Unknown,
    })
}

/// What the answer of a call is to a job.
fn reply(result: Result<Answer, Rejection>) -> Reply {
    let rejection = match result {
        Ok(Answer::Written { version, .. }) => return Reply::Taken { number: version },
        Ok(Answer::Command(command)) => return Reply::Taken { number: command.id },
        Ok(_) => return Reply::Unclear,
        Err(rejection) => rejection,
    };
    let again = match &rejection {
        Rejection::NotOwner
        | Rejection::Overloaded { .. }
        | Rejection::OutOfSpace
        | Rejection::Unauthenticated { .. } => return Reply::Later,
        // Known to the twin under the key, and forgotten since.
        Rejection::Unknown | Rejection::UnknownCommand => return Reply::Unclear,
        Rejection::DeviceOffline | Rejection::TooMany { .. } => true,
        _ => false,
    };
    Reply::Refused { reason: status::message(&rejection), again }
}
