//! What shards and twins are sent, from sessions and callers on other threads.

use std::sync::Arc;

use actix::Message;
use pollux_twin::Rejection;
use pollux_twin::input::{ConnectionId, FromDevice};
use pollux_twin::output::Answer;
use pollux_twin::registration::Shown;
use tokio::sync::{Semaphore, oneshot};

use super::twin_actor::TwinActor;
use crate::router::{Attach, Call};
use crate::session::Outbox;

/// Where a twin's actor takes messages.
pub(crate) type TwinAddress = actix::Addr<TwinActor>;
/// Who waits for a call's answer.
pub(crate) type CallReply = oneshot::Sender<Result<Answer, Rejection>>;
/// Who waits for a session.
pub(crate) type AttachReply = oneshot::Sender<Result<TwinAddress, Rejection>>;

/// To a shard: a service call to one of its twins.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ShardCall {
    pub(crate) call: Call,
    /// The principal for whom it is, if whether it may depends on the twin.
    pub(crate) behalf: Option<Arc<str>>,
    pub(crate) reply: CallReply,
    /// Whether it comes again, as there was no room for its twin yet.
    pub(crate) waited: bool,
}

/// To a shard: a device wants its session.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ShardAttach {
    pub(crate) attach: Attach,
    pub(crate) reply: AttachReply,
}

/// To a shard: the node stops; say bye to the devices.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct SayBye;

/// To a shard: take nothing new, or take it again. Answers whether all that was taken is finished.
#[derive(Message)]
#[rtype(result = "bool")]
pub(crate) struct Admit(pub(crate) Admission);

/// To a shard: it will be handed over, and its devices shall connect to the next owner ahead. Answers
/// when all twins were told, with their number.
#[derive(Message)]
#[rtype(result = "usize")]
pub(crate) struct Prepare {
    /// The device endpoint of the next owner.
    pub(crate) address: Arc<str>,
    /// Turns of the node's shards to tell some of their devices.
    pub(crate) preparing: Arc<Semaphore>,
}

/// To a twin: what its shard was told.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct PrepareDevice(pub(crate) Arc<str>);

/// Whether a shard takes what is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It does.
    #[default]
    Open,
    /// It is about to be handed over.
    Held,
}

/// To a twin: a service call.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct TwinCall {
    pub(crate) call: Call,
    /// As in [`ShardCall`].
    pub(crate) behalf: Option<Arc<str>>,
    pub(crate) reply: CallReply,
}

/// To a twin: its device said hello.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Hello {
    pub(crate) connection: ConnectionId,
    pub(crate) incarnation: u64,
    pub(crate) shown: Shown,
    pub(crate) outbox: Arc<Outbox>,
}

/// To a twin: its device says something.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct FromSession {
    pub(crate) connection: ConnectionId,
    pub(crate) message: FromDevice,
}

/// To a twin: a connection is gone.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Gone {
    pub(crate) connection: ConnectionId,
}

/// To a twin: what its shard wants of it.
#[derive(Message, Clone, Copy, PartialEq, Eq)]
#[rtype(result = "()")]
pub(crate) enum Order {
    /// Nothing but to be there: an opened shard wakes those with something to do.
    Wake,
    /// Nobody talked to it for a moment: take up little room, if that is still so.
    Rest,
    /// Sessions of an earlier opening have had their time to come back.
    ExpireSession,
    /// The shard let it go: stop.
    Stop,
    /// Tell the device that the node stops.
    SayBye,
}
