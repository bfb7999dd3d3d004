//! Services that call twins: with idempotency keys, deadlines of their own, and retries after
//! whatever they do not understand.

use std::collections::BTreeMap;

use pollux_twin::change::Section;
use pollux_twin::input::{CallKey, Request};
use pollux_twin::output::Answer;
use pollux_twin::registration::{OfType, Proof, RegistryRequest};
use pollux_twin::value::Object;
use pollux_twin::{Rejection, Time, TwinKey, Value};

use super::World;
use super::judge::Seen;
use super::kinds;
use super::sim::Event;
use super::truth::Place;

/// Longest that a caller goes on with one operation: well within the window of a key, even if the
/// shard's time runs at double speed.
const PATIENCE_MS: u64 = 60_000;

/// What a caller wants, however many calls it takes.
#[derive(Clone, Debug)]
pub(super) struct Op {
    pub(super) id: u64,
    pub(super) caller: usize,
    pub(super) key: TwinKey,
    pub(super) request: Request,
    /// Idempotency key: the caller's, or that of the node it came to; reads have none.
    idempotency_key: Option<CallKey>,
    /// The newest change that anyone had heard of when it began.
    pub(super) known: Place,
    started_ms: u64,
    /// The shard's time then.
    since: Time,
    over: bool,
}

/// Who brings deleted twins back: what it writes was written before.
pub(super) const RESTORER: &str = "restorer";

impl Op {
    /// The name that the caller gives itself.
    pub(super) fn by(&self) -> String {
        match &self.request {
            Request::Delete { .. } => format!("delete-{}", self.id),
            Request::Registry(request) if request.is_delete() => format!("delete-{}", self.id),
            Request::Registry(request) if **request == RegistryRequest::Restore => RESTORER.into(),
            _ => format!("caller-{}", self.caller),
        }
    }
}

/// One call of an operation; several if it is tried again.
#[derive(Debug)]
pub(super) struct Call {
    op: u64,
    key: Option<CallKey>,
    /// The node that the caller asked.
    entry: usize,
    /// It was handed on to another.
    handed_on: bool,
    answer: Option<Result<Answer, Rejection>>,
}

/// All callers with what they are about.
#[derive(Debug, Default)]
pub(super) struct Callers {
    pub(super) ops: BTreeMap<u64, Op>,
    calls: BTreeMap<u64, Call>,
    last_op: u64,
    last_call: u64,
    /// Operations under way, by caller.
    pub(super) busy: BTreeMap<usize, u64>,
    /// How many got a definite answer.
    pub(super) returned: u64,
}

/// Gives the device a token that tells the operation, in place of the one before, and now and then a type and a group.
fn registered(id: u64) -> RegistryRequest {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&id.to_le_bytes());
    let (name, proof, expires) = ("token".to_owned(), Proof::Token(digest), None);
    if id.is_multiple_of(3) {
        return RegistryRequest::Give { name, proof, expires };
    }
    RegistryRequest::Register {
        tags: None,
        desired: None,
        credentials: vec![(name, proof, expires)],
        of_type: Some(OfType { name: kinds::NAME.into(), version: 1 }),
        groups: vec![format!("g{}", id % 5)],
    }
}

impl World {
    /// A caller begins something new.
    pub(super) fn caller_acts(&mut self, caller: usize) {
        if self.calm || self.callers.busy.contains_key(&caller) {
            return;
        }
        self.callers.last_op += 1;
        let id = self.callers.last_op;
        let device = self.sim.chance.index(self.devices.len());
        let key = self.devices[device].key.clone();
        let request = self.invent(id, &key);
        let reads = matches!(request, Request::Get);
        let idempotency_key = match self.sim.chance.one_in(8) {
            _ if reads => None,
            true => Some(CallKey::Entry { id: id.into(), again: None }),
            false => Some(CallKey::Own(format!("op-{id}"))),
        };
        let op = Op {
            id,
            caller,
            key,
            request,
            idempotency_key,
            known: self.judge.place(),
            started_ms: self.sim.now,
            since: self.judge.truth.time(),
            over: false,
        };
        self.callers.busy.insert(caller, id);
        self.callers.ops.insert(id, op);
        self.call(id);
    }

    fn invent(&mut self, id: u64, key: &TwinKey) -> Request {
        let chance = &mut self.sim.chance;
        match chance.below(20) {
            0..5 => Request::Get,
            5 if chance.one_in(3) => Request::Registry(Box::new(RegistryRequest::Restore)),
            5..7 => Request::Registry(Box::new(registered(id))),
            7..13 => {
                let section = if chance.one_in(3) { Section::Tags } else { Section::Desired };
                let expected = chance.one_in(4).then(|| {
                    let past = self.judge.truth.past(key);
                    past.map_or(0, |past| past.twin.section_version(section))
                });
                let patch = patch(id, chance.below(4));
                Request::Patch { section, patch, whole: chance.one_in(6), expected }
            }
            13..17 => Request::Command {
                name: format!("op-{id}"),
                payload: patch(id, 0),
                deadline_ms: chance.between(200, 6_000),
                queue: !chance.one_in(3),
                wait: chance.one_in(2),
            },
            17 => {
                let commands = self.judge.truth.past(key).map(|past| &past.commands);
                let last = commands.and_then(|all| all.keys().last()).copied().unwrap_or(1);
                Request::CancelCommand { id: last }
            }
            18 => Request::GetCommand { id: chance.between(1, 4) },
            _ if chance.one_in(3) => match chance.one_in(3) {
                true => Request::Delete { expected: None },
                false => Request::Registry(Box::new(RegistryRequest::Delete { expected: None })),
            },
            _ if chance.one_in(2) => Request::Registry(Box::new(registered(id))),
            _ => Request::Get,
        }
    }

    /// Sends one call of an operation.
    fn call(&mut self, op: u64) {
        self.callers.last_call += 1;
        let call = self.callers.last_call;
        let entry = self.sim.chance.index(self.hosts.len());
        let key = self.callers.ops.get(&op).and_then(|op| op.idempotency_key.clone());
        self.callers.calls.insert(call, Call { op, key, entry, handed_on: false, answer: None });
        let slow = self.net.rough && self.sim.chance.one_in(12);
        let on_the_way = self.sim.chance.between(1, if slow { 2_500 } else { 10 });
        self.sim.after(on_the_way, Event::CallArrives { host: entry, call });
        let overdue = self.sim.chance.between(300, 3_000);
        self.sim.after(overdue, Event::CallOverdue { call });
    }

    /// What a call asks, and its key; `None` if its operation is long over.
    pub(super) fn called(&self, call: u64) -> Option<(Op, Option<CallKey>)> {
        let call = self.callers.calls.get(&call)?;
        self.callers.ops.get(&call.op).map(|op| (op.clone(), call.key.clone()))
    }

    /// Whether the node that was asked may hand the call on, which it then does.
    pub(super) fn may_hand_on(&mut self, call: u64, host: usize) -> bool {
        match self.callers.calls.get_mut(&call) {
            Some(call) if call.entry == host => !core::mem::replace(&mut call.handed_on, true),
            _ => false,
        }
    }

    /// A node answers a call, back the way it came; the answer may get lost.
    pub(super) fn answer(&mut self, host: usize, call: u64, result: Result<Answer, Rejection>) {
        if self.net.rough && self.sim.chance.one_in(25) {
            return;
        }
        let Some(entry) = self.callers.calls.get(&call).map(|call| call.entry) else { return };
        let back = host == entry || self.peers.reaches(host, entry);
        if !back || self.hosts[entry].node.is_none() {
            return;
        }
        let Some(waiting) = self.callers.calls.get_mut(&call) else { return };
        waiting.answer = Some(result);
        let on_the_way = self.sim.chance.between(1, 10);
        self.sim.after(on_the_way, Event::AnswerArrives { call });
    }

    /// The caller hears of it.
    pub(super) fn answer_arrives(&mut self, call: u64) {
        let Some(Call { op, answer: Some(result), .. }) = self.callers.calls.remove(&call) else {
            return;
        };
        let Some(op) = self.callers.ops.get_mut(&op).filter(|op| !op.over) else { return };
        let id = op.id;
        match result {
            Err(Rejection::NotOwner | Rejection::Overloaded { .. } | Rejection::OutOfSpace) => {
                return self.try_again(id);
            }
            Err(Rejection::Unknown) => return self.try_unclear_again(id),
            _ => {}
        }
        op.over = true;
        let op = op.clone();
        self.callers.returned += 1;
        self.judge.see(&Seen::Returned { op: &op, result: &result });
        self.next_op(op.caller);
    }

    /// The caller gave this call up.
    pub(super) fn call_overdue(&mut self, call: u64) {
        if let Some(Call { op, .. }) = self.callers.calls.remove(&call) {
            self.try_unclear_again(op);
        }
    }

    /// Nobody can tell what came of a call. It may still be on its way.
    fn try_unclear_again(&mut self, op: u64) {
        if let Some(Op { idempotency_key: Some(CallKey::Entry { again, .. }), since, .. }) =
            self.callers.ops.get_mut(&op)
        {
            *again = Some(*since);
        }
        self.try_again(op);
    }

    fn try_again(&mut self, op: u64) {
        let Some(op) = self.callers.ops.get_mut(&op).filter(|op| !op.over) else { return };
        let again = op.idempotency_key.is_some() || matches!(op.request, Request::Get);
        if again && self.sim.now - op.started_ms < PATIENCE_MS {
            let id = op.id;
            self.call(id);
        } else {
            op.over = true;
            let caller = op.caller;
            self.next_op(caller);
        }
    }

    fn next_op(&mut self, caller: usize) {
        self.callers.busy.remove(&caller);
        let pause = self.sim.chance.between(1, 150);
        self.sim.after(pause, Event::CallerActs { caller });
    }
}

/// A patch that nobody else makes.
fn patch(op: u64, shape: u64) -> Value {
    let op = Value::from(op);
    let mut members = Object::new();
    match shape {
        0 => {}
        1 => {
            members.insert("mode".into(), Value::from("eco"));
        }
        2 => {
            let inner = Object::from([("level".into(), op.clone())]);
            members.insert("lamp".into(), Value::Object(inner));
        }
        _ => {
            members.insert("mode".into(), Value::Null);
        }
    }
    members.insert("op".into(), op);
    Value::Object(members)
}
