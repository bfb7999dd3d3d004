//! Carries the mailbox of one `Twin` machine, one message at a time, and hands what it decides to
//! its shard's core on the same thread. Decides nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, SpawnHandle};
use pollux_proto::feed::Live;
use pollux_twin::input::{CallId, ConnectionId, FromDevice};
use pollux_twin::output::{ByeReason, ToDevice};
use pollux_twin::shard::Slot;
use pollux_twin::twin::Twin;
use pollux_twin::{Input, Output, Rejection, Time, TwinKey};

use super::core::{Core, Decided, Wakefulness};
use super::messages::{
    CallReply, FromSession, Gone, Hello, Order, PrepareDevice, TwinAddress, TwinCall,
};
use super::released::Released;
use crate::limits::{MAILBOX_RETRY_MS, REST_MS, SPACE_RETRY_MS, TWIN_MAILBOX_MAX};
use crate::router::Call;
use crate::session::Outbox;

/// One active twin.
pub(crate) struct TwinActor {
    key: TwinKey,
    slot: Slot,
    twin: Twin,
    core: Rc<RefCell<Core>>,
    devices: Vec<Device>,
    calls: BTreeMap<CallId, CallReply>,
    timer: Option<(Time, SpawnHandle)>,
    /// What the shard was last told about its sleep.
    wakefulness: Wakefulness,
    /// When it last decided, in elapsed milliseconds; `None` while it rests.
    busy_ms: Option<u64>,
    /// Whether the shard was told that this actor knows more than the log.
    overlays: bool,
}

/// A connection of the twin's device; more than one only while one takes over from another.
struct Device {
    connection: ConnectionId,
    /// Its epoch; `None` until the twin has welcomed it.
    session: Option<u64>,
    outbox: Arc<Outbox>,
}

impl TwinActor {
    /// Starts the actor on this thread.
    pub(super) fn launch(
        key: TwinKey,
        slot: Slot,
        twin: Twin,
        core: Rc<RefCell<Core>>,
    ) -> TwinAddress {
        Self {
            key,
            slot,
            twin,
            core,
            devices: Vec::new(),
            calls: BTreeMap::new(),
            timer: None,
            wakefulness: Wakefulness::MaySleep,
            busy_ms: None,
            overlays: false,
        }
        .start()
    }

    /// Whether the shard let this actor go; then it stops, and nothing it knows counts any more.
    fn is_over(&self, ctx: &mut Context<Self>) -> bool {
        let over = !self.core.borrow().is_active(self.slot);
        if over {
            ctx.stop();
        }
        over
    }

    fn decide(&mut self, ctx: &mut Context<Self>, input: Input) {
        let core = Rc::clone(&self.core);
        let mut core = core.borrow_mut();
        let now = core.time();
        let volatile = is_volatile(&input);
        let types = core.types().of(self.key.tenant());
        let limits = core.limits(self.key.tenant());
        let live = if volatile && core.listeners().want(self.key.as_str()) {
            live(&self.key, now, &input)
        } else {
            None
        };
        let handled = self.twin.handle_typed(now, &limits, &types, input);
        if let (Ok(()), Some(live)) = (&handled, live) {
            core.metrics().telemetry_left_out_total.inc_by(core.listeners().tell(live));
        }
        if let Err(rejection) = handled {
            tracing::debug!(twin = %self.key, ?rejection, "input dropped");
            if volatile {
                core.metrics().datagrams_dropped_total.inc();
            }
        }
        if self.twin.has_volatile() && !std::mem::replace(&mut self.overlays, true) {
            core.overlays(&self.key);
        }
        self.hand_over(&mut core);
        self.arm(ctx, now);
    }

    /// Whether a caller may not make its call of this twin as it is; then it is told so, in turn with all that the twin
    /// says. What came before is answered again, whatever the caller may now.
    fn is_turned_down(&mut self, id: CallId, principal: &str, call: &Call) -> bool {
        let core = Rc::clone(&self.core);
        let mut core = core.borrow_mut();
        let now = core.time();
        let Call { caller, idempotency_key: key, request, .. } = call;
        if !self.twin.is_new(now, caller, key.as_ref(), request) {
            return false;
        }
        let may = core.policies().check_twin(principal, &self.key, request, &self.twin);
        let Err(rejection) = may else { return false };
        self.twin.turn_down(now, id, (caller, key.as_ref()), request, rejection);
        self.hand_over(&mut core);
        true
    }

    /// Drains the machine into the shard.
    fn hand_over(&mut self, core: &mut Core) {
        let mut decided = Decided::default();
        while let Some(output) = self.twin.poll_output() {
            match output {
                Output::Change(change) => decided.changes.push(change),
                Output::Device { session, message } => {
                    if let Some(outbox) = self.outbox_for(session, &message) {
                        decided.outputs.push(Released::Device { outbox, session, message });
                    }
                }
                Output::Answer { call, result } => {
                    if let Some(reply) = self.calls.remove(&call) {
                        let result = core.quota().told(self.key.tenant(), result);
                        decided.outputs.push(Released::Answer { reply, result });
                    }
                }
            }
        }
        core.decided(self.slot, decided);
        let wakefulness = if self.twin.wants_wake() || !self.calls.is_empty() {
            Wakefulness::Awake
        } else {
            Wakefulness::MaySleep
        };
        if wakefulness != self.wakefulness && core.is_active(self.slot) {
            self.wakefulness = wakefulness;
            core.set_wakefulness(self.slot, wakefulness);
        }
        if self.busy_ms.replace(core.elapsed_ms()).is_none() && core.is_active(self.slot) {
            core.rest_later(self.slot);
        }
    }

    /// Where a message of a session goes; a welcome gives its connection the epoch, a bye takes it.
    /// The connection stays known until it is gone: if the bye is never released, because the
    /// generation is given up, the device must still be sent away.
    fn outbox_for(&mut self, session: u64, message: &ToDevice) -> Option<Arc<Outbox>> {
        match message {
            ToDevice::Welcome { connection, .. } => {
                self.device(*connection)?.session = Some(session);
            }
            ToDevice::Refused { connection, .. } => {
                return self.device(*connection).map(|device| Arc::clone(&device.outbox));
            }
            _ => {}
        }
        let device = self.devices.iter_mut().find(|device| device.session == Some(session))?;
        if matches!(message, ToDevice::Bye { .. }) {
            device.session = None;
        }
        Some(Arc::clone(&device.outbox))
    }

    fn device(&mut self, connection: ConnectionId) -> Option<&mut Device> {
        self.devices.iter_mut().find(|device| device.connection == connection)
    }

    /// Sets the timer to the machine's next deadline.
    fn arm(&mut self, ctx: &mut Context<Self>, now: Time) {
        let next = self.twin.next_deadline();
        if next == self.timer.map(|(at, _)| at) {
            return;
        }
        if let Some((_, handle)) = self.timer.take() {
            ctx.cancel_future(handle);
        }
        if let Some(at) = next {
            let wait = Duration::from_millis(at.since_ms(now).max(1));
            let handle = ctx.run_later(wait, |actor, ctx| actor.expire(ctx));
            self.timer = Some((at, handle));
        }
    }

    fn expire(&mut self, ctx: &mut Context<Self>) {
        self.timer = None;
        if self.is_over(ctx) {
            return;
        }
        let core = Rc::clone(&self.core);
        let mut core = core.borrow_mut();
        let now = core.time();
        self.twin.handle_deadline(now);
        self.hand_over(&mut core);
        self.arm(ctx, now);
    }

    /// Packs the twin's document until the next message, if there was none for a moment.
    fn rest(&mut self) {
        let mut core = self.core.borrow_mut();
        let quiet_ms = self.busy_ms.map_or(0, |busy_ms| core.elapsed_ms() - busy_ms);
        if quiet_ms < REST_MS {
            core.rest_later(self.slot);
            return;
        }
        self.busy_ms = None;
        self.twin.rest();
        self.calls.retain(|call, reply| {
            let waits = !reply.is_closed();
            if !waits {
                self.twin.forget_call(*call);
            }
            waits
        });
    }

    /// Sends the devices away for now; they come back to whoever owns the shard then.
    fn say_bye(&self) {
        for device in &self.devices {
            let bye = ToDevice::Bye { reason: ByeReason::Stopping };
            device.outbox.push(device.session.unwrap_or(0), bye);
        }
    }

    fn refuse_for_now(&self, connection: ConnectionId, message: &FromDevice, retry_after_ms: u32) {
        let device = self.devices.iter().find(|device| device.connection == connection);
        if let (Some(device), Some(seq)) = (device, message.seq()) {
            let rejection = Rejection::Overloaded { retry_after_ms };
            device.outbox.push(device.session.unwrap_or(0), ToDevice::Nack { seq, rejection });
        }
    }
}

/// Whether it came as a datagram, whose losses are counted as nobody is told of them.
const fn is_volatile(input: &Input) -> bool {
    matches!(input, Input::Device { message: FromDevice::Telemetry { seq: None, .. }, .. })
}

/// What those hear who listen to telemetry.
fn live(key: &TwinKey, at: Time, input: &Input) -> Option<Live> {
    let Input::Device { message: FromDevice::Telemetry { values, observed_at, .. }, .. } = input
    else {
        return None;
    };
    let (key, observed_at, values) = (key.as_str().to_owned(), *observed_at, values.clone());
    Some(Live { key, at, observed_at, values })
}

impl Actor for TwinActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(TWIN_MAILBOX_MAX);
        let core = Rc::clone(&self.core);
        let mut core = core.borrow_mut();
        if self.twin.wants_wake() && core.is_active(self.slot) {
            // It may decide nothing before the deadline that it is kept awake for.
            self.wakefulness = Wakefulness::Awake;
            core.set_wakefulness(self.slot, Wakefulness::Awake);
        }
        let now = core.time();
        self.arm(ctx, now);
    }

    fn stopped(&mut self, _ctx: &mut Self::Context) {
        self.say_bye();
    }
}

impl Handler<FromSession> for TwinActor {
    type Result = ();

    fn handle(
        &mut self,
        FromSession { connection, message }: FromSession,
        ctx: &mut Self::Context,
    ) {
        if self.is_over(ctx) {
            return;
        }
        if message.seq().is_some() {
            // Both consume nothing: the device sends it again, here or to the next owner.
            let retry_after_ms = {
                let core = self.core.borrow();
                let held = core.is_held().then_some(MAILBOX_RETRY_MS);
                held.or_else(|| core.is_out_of_space().then_some(SPACE_RETRY_MS))
                    .or_else(|| core.quota().message(self.key.tenant(), &message).err())
            };
            if let Some(retry_after_ms) = retry_after_ms {
                self.refuse_for_now(connection, &message, retry_after_ms);
                return;
            }
        } else if self.core.borrow().quota().message(self.key.tenant(), &message).is_err() {
            // Nobody waits for its acknowledgement.
            self.core.borrow().metrics().datagrams_dropped_total.inc();
            return;
        }
        let device = self.devices.iter().find(|device| device.connection == connection);
        if let Some(session) = device.and_then(|device| device.session) {
            self.decide(ctx, Input::Device { session, message });
        }
    }
}

impl Handler<Hello> for TwinActor {
    type Result = ();

    fn handle(&mut self, hello: Hello, ctx: &mut Self::Context) {
        let Hello { connection, incarnation, shown, outbox } = hello;
        if self.is_over(ctx) {
            outbox.push(0, ToDevice::Bye { reason: ByeReason::Stopping });
            return;
        }
        let node = self.core.borrow().node();
        self.devices.push(Device { connection, session: None, outbox });
        self.decide(ctx, Input::Hello { connection, incarnation, node, shown });
    }
}

impl Handler<Gone> for TwinActor {
    type Result = ();

    fn handle(&mut self, Gone { connection }: Gone, ctx: &mut Self::Context) {
        if self.is_over(ctx) {
            return;
        }
        let at = self.devices.iter().position(|device| device.connection == connection);
        let device = at.map(|at| self.devices.swap_remove(at));
        if let Some(session) = device.and_then(|device| device.session) {
            self.decide(ctx, Input::Disconnected { session });
        }
    }
}

impl Handler<TwinCall> for TwinActor {
    type Result = ();

    fn handle(&mut self, asked: TwinCall, ctx: &mut Self::Context) {
        let TwinCall { call, behalf, reply } = asked;
        if self.is_over(ctx) || self.core.borrow().is_held() {
            // Dropped unhandled: certainly without effect. Where the shard is about to be handed over it
            // goes to the next owner.
            let _ = reply.send(Err(Rejection::NotOwner));
            return;
        }
        let id = self.core.borrow_mut().next_call();
        self.calls.insert(id, reply);
        if let Some(principal) = behalf
            && self.is_turned_down(id, &principal, &call)
        {
            return;
        }
        let input = Input::Call {
            call: id,
            caller: call.caller,
            key: call.idempotency_key,
            request: call.request,
        };
        self.decide(ctx, input);
    }
}

impl Handler<PrepareDevice> for TwinActor {
    type Result = ();

    fn handle(&mut self, PrepareDevice(address): PrepareDevice, ctx: &mut Self::Context) {
        if self.is_over(ctx) {
            return;
        }
        for device in self.devices.iter().filter(|device| device.session.is_some()) {
            device.outbox.push_ahead(Arc::clone(&address));
        }
    }
}

impl Handler<Order> for TwinActor {
    type Result = ();

    fn handle(&mut self, order: Order, ctx: &mut Self::Context) {
        if self.is_over(ctx) {
            return;
        }
        match order {
            Order::Wake => {}
            Order::Stop => ctx.stop(),
            Order::ExpireSession => {
                // Its device did not come back to this owner: nobody holds the session any more.
                if let Some(session) = self.twin.session()
                    && !self.devices.iter().any(|device| device.session == Some(session))
                {
                    self.decide(ctx, Input::Disconnected { session });
                }
            }
            Order::Rest => self.rest(),
            Order::SayBye => self.say_bye(),
        }
    }
}
