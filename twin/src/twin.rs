//! The `Twin` machine: one device's state, what it decides, and how a change is carried out.
//!
//! `handle` decides and runs ahead: the changes it emits are already carried out on itself. Each
//! group of inputs has its file: `session`, `report`, `telemetry`, `desire`, `command`, `result`,
//! `delete`, `restore`, `register`, `expire`, `read`; `rights` shows what who may call depends on;
//! `typed` is what the device's type asks, `dedup` recognises repetitions, `check` holds the limits,
//! `apply` is what the actor and every replica share. Batching, commit and release of outputs belong
//! to the `Shard` machine; bytes at rest to [`crate::image`].

mod apply;
mod call;
mod check;
mod command;
mod dedup;
mod delete;
mod desire;
mod document;
mod expire;
mod lineage;
mod read;
mod register;
mod report;
mod rest;
mod restore;
mod result;
mod rights;
mod session;
mod state;
mod telemetry;
mod typed;
mod view;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

pub use self::apply::Quarantine;
pub use self::restore::Restorable;
pub use self::rights::facts_of;
pub use self::state::{DesiredAcked, Life};
pub use self::view::{LeafTime, Presence, SectionView, TelemetryView, View};
use crate::change::{Change, Command, KeyMark};
use crate::input::{CallId, Input};
use crate::limits::Limits;
use crate::output::{Answer, Output, ToDevice};
use crate::registration::{Registration, Shown};
use crate::rejection::Rejection;
use crate::time::Time;
use crate::types::{NoTypes, Types};
pub(crate) use document::{Document, Latest, SectionState};
pub(crate) use restore::{ArchivedBuried, Buried};
pub(crate) use state::Session;

/// One device's twin.
#[derive(Clone, Debug, Default)]
pub struct Twin {
    pub(crate) life: Life,
    pub(crate) quarantined: bool,
    /// Goes up with each accepted change of a section and with a deletion; never back.
    pub(crate) version: u64,
    pub(crate) document: Document,
    pub(crate) desired_acked: Option<DesiredAcked>,
    pub(crate) session: Session,
    /// In the order they came, so nearly in the order they expire.
    pub(crate) keys: Vec<KeyMark>,
    /// Those that nodes made, in the same order; few of them.
    pub(crate) entry_keys: Vec<KeyMark>,
    /// Live ones and the last finished ones, by id.
    pub(crate) commands: Vec<Command>,
    /// Id of the last command.
    pub(crate) command_last: u64,
    /// What the registry knows of the device, once there was something to know.
    pub(crate) registration: Option<Box<Registration>>,
    /// What was there when it was deleted last, for a while.
    pub(crate) buried: Option<Box<Buried>>,
    local: Local,
}

/// What only the actor has: not in the log, not in the image.
#[derive(Clone, Debug, Default)]
struct Local {
    outputs: VecDeque<Output>,
    /// Whether the current session was heard of since this actor was activated.
    heard: bool,
    /// What the device of the current session showed, if this actor opened it.
    shown: Option<Shown>,
    /// Calls that wait for the end of a command, in order of arrival.
    waiting: Vec<(CallId, u64)>,
    /// Telemetry that came as datagrams, with its session: newer than the log, and lost with the
    /// actor.
    volatile: BTreeMap<String, (u64, Latest)>,
    /// The document's bytes, while it rests; then `document` is empty.
    resting: Option<Box<[u8]>>,
}

impl Twin {
    /// The twin of a device that nobody ever spoke of.
    pub fn absent() -> Self {
        Self::default()
    }

    /// Decides on one input and carries the decision out on itself; outputs are to be polled.
    ///
    /// Answers, refusals among them, are outputs. An error means that nothing was done and there
    /// is nobody to answer: the sender's session is over, a datagram was refused.
    /// Devices with a type take [`Twin::handle_typed`].
    pub fn handle(&mut self, now: Time, limits: &Limits, input: Input) -> Result<(), Rejection> {
        self.handle_typed(now, limits, &NoTypes, input)
    }

    /// As [`Twin::handle`], where devices may have types: those of the twin's tenant.
    pub fn handle_typed(
        &mut self,
        now: Time,
        limits: &Limits,
        types: &dyn Types,
        input: Input,
    ) -> Result<(), Rejection> {
        self.wake();
        match input {
            Input::Call { call, caller, key, request } => {
                self.call(now, (limits, types), call, caller, key.as_ref(), request);
                Ok(())
            }
            _ if self.quarantined => Err(Rejection::Quarantined),
            Input::Hello { connection, incarnation, node, shown } => {
                match self.admit(now, limits, shown) {
                    Ok(()) => self.hello(now, connection, incarnation, node, shown),
                    Err(rejection) => self.turn_away(connection, rejection),
                }
                Ok(())
            }
            Input::Device { session, message } => {
                self.device(now, (limits, types), session, message)
            }
            Input::Disconnected { session } => self.disconnected(now, session),
        }
    }

    /// The next output, in the order to be carried out.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.local.outputs.pop_front();
        if output.is_none() && self.local.outputs.capacity() > 0 {
            // An idle twin keeps no buffer; there are very many idle twins.
            self.local.outputs = VecDeque::new();
        }
        output
    }

    /// When [`Twin::handle_deadline`] has something to do.
    pub fn next_deadline(&self) -> Option<Time> {
        if self.quarantined {
            return None;
        }
        let commands = self.live_commands().map(|command| command.deadline);
        commands.chain(self.restorable_until()).chain(self.session_expires()).min()
    }

    /// Ends what is past its deadline. Calling it early or again does no harm.
    pub fn handle_deadline(&mut self, now: Time) {
        if !self.quarantined {
            self.expire_commands(now);
            self.expire_session(now);
            self.forget_buried(now);
        }
    }

    /// Whether nobody ever spoke of this twin: there is nothing to keep.
    pub const fn is_absent(&self) -> bool {
        matches!(self.life, Life::Absent) && !self.quarantined
    }

    /// Whether it is absent, alive or deleted.
    pub const fn life(&self) -> Life {
        self.life
    }

    /// Whether it broke an invariant and was set aside (safety rule 10).
    pub const fn is_quarantined(&self) -> bool {
        self.quarantined
    }

    /// The current session's epoch, as the log knows it.
    pub const fn session(&self) -> Option<u64> {
        self.session.current()
    }

    /// The current session's epoch, if this actor heard of it: it opened the session, or had a
    /// message of it. What another actor opened may be gone (safety rule 18).
    pub const fn live_session(&self) -> Option<u64> {
        if self.local.heard { self.session() } else { None }
    }

    /// The version of the whole twin.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Bytes of the document as JSON text, telemetry aside: about what it takes to keep.
    pub const fn bytes(&self) -> usize {
        if let Some(resting) = &self.local.resting {
            return resting.len();
        }
        let Document { tags, desired, reported, .. } = &self.document;
        tags.tree.json_len() + desired.tree.json_len() + reported.tree.json_len()
    }

    /// Whether a new owner must activate it at once: it has a session that may be gone, or
    /// commands whose deadlines must be kept.
    pub fn wants_wake(&self) -> bool {
        self.session().is_some() || self.live_commands().next().is_some()
    }

    /// Whether it may not be let go: a call waits in it, or it has outputs to hand out.
    pub fn is_busy(&self) -> bool {
        !self.local.waiting.is_empty() || !self.local.outputs.is_empty()
    }

    /// Forgets what the log does not know: outputs, waiting calls, datagram telemetry, and that the
    /// session was heard of.
    pub fn reset_volatile(&mut self) {
        self.wake();
        self.local = Local::default();
    }

    /// Carries a decided change out and hands it to the log.
    fn commit(&mut self, change: Change) {
        if self.quarantined {
            return;
        }
        // A failure leaves the twin quarantined; the change goes out all the same, so that every
        // replica comes to the same end (safety rule 10).
        let _quarantined = self.apply(&change);
        self.local.outputs.push_back(Output::Change(change));
    }

    fn answer(&mut self, call: CallId, result: Result<Answer, Rejection>) {
        let result = if self.quarantined { Err(Rejection::Quarantined) } else { result };
        self.local.outputs.push_back(Output::Answer { call, result });
    }

    fn tell(&mut self, session: u64, message: ToDevice) {
        if self.quarantined {
            return;
        }
        self.local.outputs.push_back(Output::Device { session, message });
    }
}
