//! The shard's own actor: takes calls and hellos for its twins, starts their actors, keeps the
//! shard's timer, and follows who leads its group.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, ArbiterHandle, AsyncContext, Context, Handler, ResponseFuture, WrapFuture};
use pollux_cluster::{Group, Quorum};
use pollux_twin::input::Request;
use pollux_twin::limits::Admission as Admits;
use pollux_twin::registration::{RegistryRequest, Shown};
use pollux_twin::shard::{Options, Shard};
use pollux_twin::{Rejection, TwinKey};

use super::core::{Core, Parts};
use super::messages::{Admit, Hello, Order, Prepare, SayBye, ShardAttach, ShardCall, TwinCall};
use super::proposer;
use super::quota::Room;
use crate::limits::{
    CALL_RETRY_MS, PREPARES_PER_TURN, SHARD_MAILBOX_MAX, SHARD_PERIOD, TENANT_WAIT_MS,
    WAKES_PER_TURN,
};

const TENANT_WAIT: Duration = Duration::from_millis(TENANT_WAIT_MS);

/// How a shard is run.
#[derive(Clone, Debug)]
pub(crate) struct ShardOptions {
    /// Bounds of the machine.
    pub(crate) machine: Options,
    /// How long a session of an earlier opening may take to come back.
    pub(crate) grace_ms: u64,
}

/// See the module.
pub(crate) struct ShardActor {
    core: Rc<RefCell<Core>>,
    group: Group,
    grace_ms: u64,
    /// Twins woken after an opening whose sessions expire then.
    expiring: VecDeque<(u64, TwinKey)>,
    clock: crate::clock::Clock,
}

impl ShardActor {
    /// Starts the shard on an arbiter's thread.
    pub(super) fn launch(
        arbiter: &ArbiterHandle,
        group: Group,
        options: ShardOptions,
        parts: impl FnOnce() -> Parts + Send + 'static,
    ) -> actix::Addr<Self> {
        Self::start_in_arbiter(arbiter, move |ctx| {
            ctx.set_mailbox_capacity(SHARD_MAILBOX_MAX);
            let parts = parts();
            let clock = parts.clock;
            let core = Core::new(parts, Shard::new(options.machine));
            Self {
                core: Rc::new(RefCell::new(core)),
                group,
                grace_ms: options.grace_ms,
                expiring: VecDeque::new(),
                clock,
            }
        })
    }

    fn tick(&mut self) {
        self.core.borrow_mut().tick();
        if !self.core.borrow().is_open() {
            self.expiring.clear();
            return;
        }
        let now_ms = self.clock.elapsed_ms();
        let woken = self.core.borrow_mut().take_sleepers(WAKES_PER_TURN);
        for key in woken {
            let _ = Core::actor(&self.core, &key).try_send(Order::Wake);
            self.expiring.push_back((now_ms + self.grace_ms, key));
        }
        let due = self.expiring.iter().take(WAKES_PER_TURN).take_while(|(at, _)| *at <= now_ms);
        for (_, key) in self.expiring.drain(..due.count()) {
            let _ = Core::actor(&self.core, &key).try_send(Order::ExpireSession);
        }
    }
}

impl ShardActor {
    /// Whether there is room for a twin that is not there yet; `false`: it is asked for, come again.
    fn make_room(&self, key: &TwinKey) -> Result<bool, Rejection> {
        let mut core = self.core.borrow_mut();
        match core.make_room(key) {
            Room::There => Ok(true),
            Room::Comes if core.wait_for_room() => Ok(false),
            Room::Comes => Err(Rejection::Overloaded { retry_after_ms: CALL_RETRY_MS }),
            Room::Never(rejection) => Err(rejection),
        }
    }
}

/// Whether a call makes a twin that is not there.
fn may_make(request: &Request) -> bool {
    match request {
        Request::Patch { .. } => true,
        Request::Registry(request) => **request != RegistryRequest::Get && !request.is_delete(),
        _ => false,
    }
}

impl Actor for ShardActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(SHARD_PERIOD, |actor, _| actor.tick());
        let propose = proposer::run(Rc::clone(&self.core), self.group.clone());
        ctx.spawn(propose.into_actor(self));
        let follow = follow(Rc::clone(&self.core), self.group.clone());
        ctx.spawn(follow.into_actor(self));
    }
}

/// Opens the shard when this node leads its group, and closes it when it does not.
async fn follow(core: Rc<RefCell<Core>>, group: Group) {
    let mut leadership = group.leadership();
    let mut ours = None;
    loop {
        let now_ours = {
            let now = leadership.borrow_and_update();
            // Without a majority's answer another may own the shard by now (safety rule 6).
            now.ours.filter(|_| now.quorum == Quorum::Answers).map(|token| token.epoch())
        };
        if now_ours != ours {
            ours = now_ours;
            match ours {
                Some(epoch) => core.borrow_mut().open(epoch),
                None => core.borrow_mut().close(),
            }
        }
        if leadership.changed().await.is_err() {
            core.borrow_mut().close();
            return;
        }
    }
}

impl Handler<ShardCall> for ShardActor {
    type Result = ();

    fn handle(&mut self, asked: ShardCall, ctx: &mut Self::Context) {
        let ShardCall { call, behalf, reply, waited } = asked;
        let is_write = !call.is_read();
        let mut admitted = self.core.borrow_mut().admit();
        if admitted.is_ok() && is_write && self.core.borrow().is_out_of_space() {
            admitted = Err(Rejection::OutOfSpace);
        }
        if admitted.is_ok() && is_write && !waited {
            admitted = self.core.borrow().quota().write(call.key.tenant());
        }
        if admitted.is_ok() && is_write && may_make(&call.request) {
            match self.make_room(&call.key) {
                Ok(true) => {}
                // Who asked may have given up meanwhile.
                Ok(false) if reply.is_closed() => return,
                Ok(false) => {
                    let again = ShardCall { call, behalf, reply, waited: true };
                    ctx.notify_later(again, TENANT_WAIT);
                    return;
                }
                Err(rejection) => admitted = Err(rejection),
            }
        }
        if let Err(rejection) = admitted {
            let _ = reply.send(Err(rejection));
            return;
        }
        let twin = Core::actor(&self.core, &call.key);
        if let Err(unsent) = twin.try_send(TwinCall { call, behalf, reply }) {
            let overloaded = Rejection::Overloaded { retry_after_ms: CALL_RETRY_MS };
            let _ = unsent.into_inner().reply.send(Err(overloaded));
        }
    }
}

impl Handler<ShardAttach> for ShardActor {
    type Result = ();

    fn handle(&mut self, asked: ShardAttach, ctx: &mut Self::Context) {
        let ShardAttach { attach, reply } = asked;
        let mut admitted = self.core.borrow_mut().admit();
        if admitted.is_ok() && self.core.borrow().is_out_of_space() {
            admitted = Err(Rejection::OutOfSpace);
        }
        // Only who proves by a certificate that it is this device makes a twin: nobody else takes room.
        let makes = matches!(attach.shown, Shown::Certificate(_))
            && self.core.borrow().admits() == Admits::Proven;
        if admitted.is_ok() && makes {
            match self.make_room(&attach.key) {
                Ok(true) => {}
                Ok(false) if reply.is_closed() => return,
                Ok(false) => {
                    ctx.notify_later(ShardAttach { attach, reply }, TENANT_WAIT);
                    return;
                }
                Err(rejection) => admitted = Err(rejection),
            }
        }
        if let Err(rejection) = admitted {
            let _ = reply.send(Err(rejection));
            return;
        }
        let twin = Core::actor(&self.core, &attach.key);
        let hello = Hello {
            connection: attach.connection,
            incarnation: attach.incarnation,
            shown: attach.shown,
            outbox: attach.outbox,
        };
        let answer = match twin.try_send(hello) {
            Ok(()) => Ok(twin),
            Err(_) => Err(Rejection::Overloaded { retry_after_ms: CALL_RETRY_MS }),
        };
        let _ = reply.send(answer);
    }
}

impl Handler<Admit> for ShardActor {
    type Result = bool;

    fn handle(&mut self, Admit(admission): Admit, _: &mut Self::Context) -> bool {
        self.core.borrow_mut().set_admission(admission)
    }
}

impl Handler<Prepare> for ShardActor {
    type Result = ResponseFuture<usize>;

    /// Tells some after the other, and all shards of the node in turn: the next owners have a handshake to do for each.
    fn handle(&mut self, prepare: Prepare, _: &mut Self::Context) -> Self::Result {
        let Prepare { address, preparing } = prepare;
        let core = Rc::clone(&self.core);
        let keys = core.borrow().active_keys();
        Box::pin(async move {
            for some in keys.chunks(PREPARES_PER_TURN) {
                let turn = preparing.acquire().await;
                // Whoever handed the shard over waits no longer.
                if !core.borrow().is_taking() {
                    break;
                }
                some.iter().for_each(|key| core.borrow().prepare(key, &address));
                tokio::time::sleep(SHARD_PERIOD).await;
                drop(turn);
            }
            keys.len()
        })
    }
}

impl Handler<SayBye> for ShardActor {
    type Result = ();

    fn handle(&mut self, _: SayBye, _: &mut Self::Context) {
        let mut core = self.core.borrow_mut();
        core.hurry();
        core.order_all(Order::SayBye);
    }
}
