//! Where callers on this node meet its shards: every service call, list and watch comes through
//! here. In a cluster this is where a call is forwarded to its owner; alone, the owner is here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pollux_proto::position::Position;
use pollux_twin::input::{ConnectionId, FromDevice, Request};
use pollux_twin::output::Answer;
use pollux_twin::twin::View;
use pollux_twin::{Change, Rejection, TwinKey};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::limits::PAGE_MAX;
use crate::session::{Outbox, Valve};
use crate::shard::{FromSession, Gone, ShardHandle, TwinAddress};
use crate::status::{NodeStatus, Readiness};
use crate::watch::{Watch, WatchedShard};

/// One service call to one twin.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which twin.
    pub key: TwinKey,
    /// Who asks: shown as the changer, and the scope of the idempotency key.
    pub caller: String,
    /// Makes a retry recognisable.
    pub idempotency_key: Option<String>,
    /// What is asked.
    pub request: Request,
    /// How long the caller waits; after that the answer is [`Rejection::Unknown`] for writes.
    pub timeout: Duration,
}

/// Which twins a list or a watch is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One twin.
    One(TwinKey),
    /// All twins of a tenant whose device id begins with `prefix` (empty: all of the tenant).
    Prefix {
        /// Tenant id.
        tenant: String,
        /// Beginning of the device id.
        prefix: String,
    },
    /// Every twin of every tenant.
    All,
}

/// One page of a list, in key order, from the applied tables.
#[derive(Clone, Debug)]
pub struct Page {
    /// The twins.
    pub items: Vec<(TwinKey, View)>,
    /// Continue after this key; `None` at the end.
    pub next: Option<TwinKey>,
}

/// What a watcher receives, in log order per shard.
#[derive(Clone, Debug)]
pub enum WatchItem {
    /// A twin as it is, part of the full picture that comes first (if asked for, or after `Reset`).
    Picture {
        /// Which twin.
        key: TwinKey,
        /// Its state.
        view: Box<View>,
    },
    /// The picture is complete; changes follow. Resume from `position`.
    PictureDone {
        /// Resume token.
        position: String,
    },
    /// The position asked for is older than what is kept (or of another cluster's life): a full
    /// picture follows instead.
    Reset {
        /// Why, for people.
        reason: String,
    },
    /// One committed change.
    Change {
        /// Which twin.
        key: TwinKey,
        /// What changed.
        change: Arc<Change>,
        /// Version of the whole twin after it.
        version: u64,
        /// Version of the changed section after it (zero if no section changed).
        section_version: u64,
        /// Resume token that stands for everything up to here.
        position: String,
    },
    /// Nothing happened for a while; the position moved all the same.
    Progress {
        /// Resume token.
        position: String,
    },
}

/// Whether a watch begins with the full picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// Changes from now on only.
    None,
    /// The twins as they are, then the changes.
    First,
}

impl Scope {
    /// Whether a twin is in it.
    pub fn contains(&self, key: &TwinKey) -> bool {
        match self {
            Self::One(one) => one == key,
            Self::Prefix { tenant, prefix } => {
                key.tenant() == tenant && key.device().starts_with(prefix.as_str())
            }
            Self::All => true,
        }
    }

    /// What every key in it begins with, as text.
    fn beginning(&self) -> String {
        match self {
            Self::One(key) => key.as_str().into(),
            Self::Prefix { tenant, prefix } => format!("{tenant}/{prefix}"),
            Self::All => String::new(),
        }
    }
}

/// A device, authenticated, that wants its session.
#[derive(Debug)]
pub(crate) struct Attach {
    pub(crate) key: TwinKey,
    pub(crate) connection: ConnectionId,
    pub(crate) incarnation: u64,
    pub(crate) outbox: Arc<Outbox>,
}

/// A session's way to its twin.
#[derive(Debug)]
pub(crate) struct Attached {
    connection: ConnectionId,
    twin: TwinAddress,
    valve: Arc<Valve>,
    clock: Clock,
}

/// The twin's mailbox has no room, or the twin is gone: nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Attached {
    pub(crate) fn valve(&self) -> &Valve {
        &self.valve
    }

    pub(crate) const fn clock(&self) -> Clock {
        self.clock
    }

    /// Hands a message to the twin's mailbox.
    pub(crate) fn tell(&self, message: FromDevice) -> Result<(), NoRoom> {
        self.twin.try_send(FromSession { connection: self.connection, message }).map_err(|_| NoRoom)
    }

    /// Says that the connection is gone, waiting for room in the mailbox.
    pub(crate) async fn detach(self) {
        // A twin that is gone has forgotten the connection already.
        let _ = self.twin.send(Gone { connection: self.connection }).await;
    }
}

/// Cheap to clone; lives as long as the node.
#[derive(Clone)]
pub struct Router {
    inner: Arc<Inner>,
}

struct Inner {
    node: u64,
    lineage: u64,
    shards: Vec<ShardHandle>,
    clock: Clock,
    stopping: CancellationToken,
}

impl Router {
    /// A router over this node's shards, in the order of their ids.
    pub(crate) fn new(
        node: u64,
        lineage: u64,
        shards: Vec<ShardHandle>,
        clock: Clock,
        stopping: CancellationToken,
    ) -> Self {
        assert!(!shards.is_empty(), "a cluster has at least one shard");
        Self { inner: Arc::new(Inner { node, lineage, shards, clock, stopping }) }
    }

    /// Carries out one call on its twin's owner.
    pub async fn call(&self, call: Call) -> Result<Answer, Rejection> {
        let timeout = call.timeout;
        let is_read = matches!(call.request, Request::Get | Request::GetCommand { .. });
        let shard = self.shard_of(&call.key);
        let (reply, answer) = oneshot::channel();
        shard.call(call, reply)?;
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(result)) => result,
            // The shard dropped its actors. A read had no effect; a write may have had.
            Ok(Err(_)) if is_read => Err(Rejection::NotOwner),
            Ok(Err(_)) | Err(_) => Err(Rejection::Unknown),
        }
    }

    /// One page of twins, from the applied tables: every twin that was there before the call.
    #[expect(clippy::unused_async, reason = "in a cluster, pages of other owners are asked for")]
    pub async fn list(
        &self,
        scope: &Scope,
        after: Option<&TwinKey>,
        limit: usize,
    ) -> Result<Page, Rejection> {
        let limit = limit.clamp(1, PAGE_MAX);
        let beginning = scope.beginning();
        let mut keys = BTreeSet::new();
        for shard in self.shards_of(scope) {
            keys.extend(shard.keys_after(after, &beginning, limit + 1));
        }
        keys.retain(|key| scope.contains(key));
        let next = (keys.len() > limit).then(|| keys.iter().nth(limit - 1).cloned()).flatten();
        let items = keys
            .into_iter()
            .take(limit)
            .filter_map(|key| {
                let view = self.shard_of(&key).view(&key)?;
                Some((key, view))
            })
            .collect();
        Ok(Page { items, next })
    }

    /// Watches the changes of a scope, from a position or from now.
    pub fn watch(&self, scope: Scope, from: Option<&Position>, picture: Picture) -> Watch {
        Watch::new(self.clone(), scope, from, picture)
    }

    /// Whether all shards are open.
    pub fn readiness(&self) -> Readiness {
        let mut waiting_for: Vec<_> = self
            .inner
            .shards
            .iter()
            .filter(|shard| !shard.is_open())
            .map(|shard| format!("shard {} to open", shard.id()))
            .collect();
        if self.inner.stopping.is_cancelled() {
            waiting_for.push("nothing: the node stops".into());
        }
        Readiness { ready: waiting_for.is_empty(), waiting_for }
    }

    /// What this node knows of itself.
    pub fn status(&self) -> NodeStatus {
        NodeStatus {
            node: self.inner.node,
            lineage: self.inner.lineage,
            shards: self.inner.shards.iter().map(ShardHandle::status).collect(),
        }
    }

    /// Opens a device's session.
    pub(crate) async fn attach(&self, attach: Attach) -> Result<Attached, Rejection> {
        let shard = self.shard_of(&attach.key);
        let connection = attach.connection;
        let (reply, answer) = oneshot::channel();
        shard.attach(attach, reply)?;
        let twin = answer.await.map_err(|_| Rejection::NotOwner)??;
        let valve = shard.valve();
        Ok(Attached { connection, twin, valve, clock: self.inner.clock })
    }

    /// The shards of a scope, each from where it is now.
    pub(crate) fn watched(&self, scope: &Scope) -> Vec<WatchedShard> {
        self.shards_of(scope).map(ShardHandle::watched).collect()
    }

    /// How long ago, at most, the tables of a scope's shards held all that was acknowledged.
    pub(crate) fn age_ms(&self, scope: &Scope) -> u64 {
        let now = self.inner.clock.wall();
        self.shards_of(scope).map(|shard| shard.age_ms(now)).max().unwrap_or(0)
    }

    pub(crate) fn lineage(&self) -> u64 {
        self.inner.lineage
    }

    pub(crate) fn stopping(&self) -> CancellationToken {
        self.inner.stopping.clone()
    }

    pub(crate) fn shards(&self) -> &[ShardHandle] {
        &self.inner.shards
    }

    fn shard_of(&self, key: &TwinKey) -> &ShardHandle {
        let shards = u16::try_from(self.inner.shards.len()).expect("shard counts are 16 bits");
        &self.inner.shards[usize::from(key.shard(shards).0)]
    }

    fn shards_of<'a>(&'a self, scope: &Scope) -> impl Iterator<Item = &'a ShardHandle> {
        let one = match scope {
            Scope::One(key) => Some(self.shard_of(key).id()),
            Scope::Prefix { .. } | Scope::All => None,
        };
        self.inner.shards.iter().filter(move |shard| one.is_none_or(|id| shard.id() == id))
    }
}
