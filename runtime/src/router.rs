//! Where callers on this node meet the cluster's shards: every service call, list and watch comes
//! through here, and goes on to the shard's owner, on this node or on another.

mod attached;
mod behalf;
mod call;
mod entry_keys;
mod pages;
mod scope;
mod watches;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use pollux_cluster::meta::CONTROL_LEVEL;
use pollux_cluster::{CallFault, NodeId};
use pollux_proto::position::Position;
use pollux_twin::input::Request;
use pollux_twin::output::Answer;
use pollux_twin::twin::View;
use pollux_twin::{Rejection, ShardId, Time, TwinKey};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub(crate) use self::attached::{Attach, Attached, Door, Elsewhere};
pub use self::call::Call;
use self::entry_keys::EntryKeys;
pub use self::scope::{Page, Picture, Scope, WatchItem};
use self::watches::Kept;
use crate::access::PolicyBook;
use crate::artifacts::Depot;
use crate::clock::Clock;
use crate::cluster::{Forward, Owner, Owners};
use crate::config::AccessMode;
use crate::limits::{OWNER_WAIT_MS_MAX, PAGE_MAX, REPEAT_MS_MAX};
use crate::load::NodeLoad;
use crate::metrics::Metrics;
use crate::query::Turns;
use crate::shard::ShardHandle;
use crate::shards::Shards;
use crate::space::Space;
use crate::status::{NodeStatus, Readiness, VERSION};
use crate::watch::{Cursor, Walk};

/// Cheap to clone; lives as long as the node.
#[derive(Clone)]
pub struct Router {
    inner: Arc<Inner>,
    /// The way to other nodes, perhaps on behalf of a principal.
    forward: Forward,
}

struct Inner {
    node: u64,
    lineage: u64,
    shards: Shards,
    owners: Owners,
    entry_keys: EntryKeys,
    turns: Turns,
    kept: Kept,
    space: Space,
    access: AccessMode,
    policies: PolicyBook,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// The bytes of artifacts here, once they can be asked for.
    depot: OnceLock<Depot>,
    /// The node is about to stop: what it owns goes to others.
    leaving: CancellationToken,
    stopping: CancellationToken,
}

impl Router {
    /// A router over the shards held here, the owners of all, and the way to other nodes.
    pub(crate) fn new(
        node: u64,
        lineage: u64,
        (shards, owners, forward): (Shards, Owners, Forward),
        space: Space,
        (access, policies): (AccessMode, PolicyBook),
        (metrics, clock): (Arc<Metrics>, Clock),
        stopping: CancellationToken,
    ) -> Self {
        let leaving = CancellationToken::new();
        let (entry_keys, turns) = (EntryKeys::new(), Turns::new());
        let inner = Inner {
            node,
            lineage,
            shards,
            owners,
            entry_keys,
            turns,
            kept: Kept::default(),
            space,
            access,
            policies,
            metrics,
            clock,
            depot: OnceLock::new(),
            leaving,
            stopping,
        };
        Self { inner: Arc::new(inner), forward }
    }

    /// Carries out one call on its twin's owner, wherever that is. While the owner changes the call is
    /// made again, as long as its caller waits and as long as that is safe: a read, a call that
    /// certainly had no effect, or one whose key makes a repetition recognisable. A write without a key
    /// gets one here (safety rule 15).
    pub async fn call(&self, mut call: Call) -> Result<Answer, Rejection> {
        let shard = self.inner.shards.of(&call.key);
        let begun = self.inner.clock.elapsed();
        let end = begun + call.timeout;
        let repeat_end = begun + Duration::from_millis(REPEAT_MS_MAX);
        let mut since = Time::default();
        if call.is_read() {
            // It is no repetition of anything.
            call.idempotency_key = None;
        } else if call.idempotency_key.is_none() {
            call.idempotency_key = self.inner.entry_keys.next(self.inner.owners.level());
            since = self.inner.shards.held(shard).map(|held| held.time()).unwrap_or_default();
        }
        if matches!(call.request, Request::Registry(_)) {
            self.must_have(CONTROL_LEVEL)?;
        }
        let mut unclear = 0;
        loop {
            let timeout = end.saturating_sub(self.inner.clock.elapsed());
            let attempt = Call { timeout, ..call.clone() };
            let result = match self.inner.owners.owner(shard) {
                Owner::Here(handle) => {
                    // By what is agreed on now: the call may have waited for an owner.
                    match self.to_be_decided_by_twin(self.forward.principal(), &call) {
                        Ok(behalf) => call_here(&handle, attempt, behalf).await,
                        Err(refused) => Err(refused),
                    }
                }
                Owner::There(node) => self.call_there(shard, node, attempt).await,
                Owner::Unknown => Err(Rejection::NotOwner),
            };
            match result {
                Err(Rejection::NotOwner) => {}
                Err(Rejection::Unknown) if call.may_repeat(unclear) => {
                    unclear += 1;
                    call.repeat(since);
                }
                // Refused before the twin was asked, which may know of an attempt before.
                Err(
                    Rejection::Overloaded { .. }
                    | Rejection::OutOfSpace
                    | Rejection::Forbidden { .. },
                ) if unclear > 0 => return Err(Rejection::Unknown),
                result => return result,
            }
            let now = self.inner.clock.elapsed();
            if now >= end || (unclear > 0 && now >= repeat_end) {
                return Err(if unclear > 0 { Rejection::Unknown } else { Rejection::NotOwner });
            }
            self.inner.owners.changed(shard).await;
        }
    }

    /// Refuses what the cluster's level does not have yet.
    pub(crate) fn must_have(&self, needed: u32) -> Result<(), Rejection> {
        let level = self.inner.owners.level();
        if level < needed { Err(Rejection::LevelTooLow { level, needed }) } else { Ok(()) }
    }

    async fn call_there(
        &self,
        shard: ShardId,
        node: NodeId,
        call: Call,
    ) -> Result<Answer, Rejection> {
        let is_read = call.is_read();
        let result = match self.forward.call(node, call).await {
            Ok(result) => result,
            Err(fault) if is_read || fault == CallFault::Unreachable => Err(Rejection::NotOwner),
            Err(_) => Err(Rejection::Unknown),
        };
        if matches!(result, Err(Rejection::NotOwner | Rejection::Unknown)) {
            self.inner.owners.not_at(shard, node);
        }
        result
    }

    /// Carries out a call that another node passed on, perhaps for a principal: here or not at all.
    pub(crate) async fn call_for_peer(
        &self,
        call: Call,
        principal: Option<&Arc<str>>,
    ) -> Result<Answer, Rejection> {
        let behalf = self.to_be_decided_by_twin(principal, &call)?;
        match self.inner.owners.owner(self.inner.shards.of(&call.key)) {
            Owner::Here(handle) => call_here(&handle, call, behalf).await,
            Owner::There(_) | Owner::Unknown => Err(Rejection::NotOwner),
        }
    }

    /// One page of twins, from the applied tables of replicas that have come to these places at least: every
    /// twin that was there then.
    pub(crate) async fn list(
        &self,
        scope: &Scope,
        after: Option<&TwinKey>,
        limit: usize,
        reached: &BTreeMap<ShardId, Cursor>,
    ) -> Result<Page, Rejection> {
        let (limit, beginning) = (limit.clamp(1, PAGE_MAX), scope.beginning());
        let here = |shard: &ShardHandle| page_of(shard, &beginning, after, limit + 1);
        let there = |node, shards| self.forward.list(node, shards, &beginning, after, limit + 1);
        let (items, next) = self.gather(scope, limit, reached, here, there).await?;
        Ok(Page { items, next })
    }

    /// A replica that is here and has come to a place in its log.
    pub(crate) fn shown(&self, shard: ShardId, least: u64) -> Option<Arc<ShardHandle>> {
        let held = self.inner.shards.held(shard);
        held.filter(|handle| !handle.group().is_pristine() && handle.applied() >= least)
    }

    /// A page that another node asked for, of those shards that are held here and have come to these
    /// places.
    pub(crate) fn list_for_peer(
        &self,
        shards: &[(u16, u64)],
        beginning: &str,
        after: Option<&TwinKey>,
        limit: usize,
    ) -> (Vec<u16>, Vec<(TwinKey, View)>) {
        let held = shards.iter().filter_map(|(shard, least)| self.shown(ShardId(*shard), *least));
        let mut items = BTreeMap::new();
        let mut found = Vec::new();
        for handle in held {
            found.push(handle.id().0);
            items.extend(page_of(&handle, beginning, after, limit));
        }
        (found, items.into_iter().take(limit).collect())
    }

    /// The nodes that may hold a replica of a shard, in the order in which to ask them.
    pub(crate) fn holders(&self, shard: ShardId) -> Vec<NodeId> {
        self.inner.owners.holders(shard)
    }

    /// Who owns a shard, as this node knows it.
    pub(crate) fn owner(&self, shard: ShardId) -> Owner {
        self.inner.owners.owner(shard)
    }

    /// A node that was asked does not own a shard.
    pub(crate) fn not_at(&self, shard: ShardId, node: NodeId) {
        self.inner.owners.not_at(shard, node);
    }

    /// The level at which the cluster writes.
    pub(crate) fn level(&self) -> u32 {
        self.inner.owners.level()
    }

    /// Waits until a shard may have another owner.
    pub(crate) async fn owner_changed(&self, shard: ShardId) {
        self.inner.owners.changed(shard).await;
    }

    /// Which queries look at the twins here.
    pub(crate) fn turns(&self) -> &Turns {
        &self.inner.turns
    }

    /// The way to other nodes.
    pub(crate) fn forward(&self) -> &Forward {
        &self.forward
    }

    pub(crate) fn node(&self) -> NodeId {
        NodeId(self.inner.node)
    }

    /// Whether every shard that this node should own is open, and every other has an owner.
    pub fn readiness(&self) -> Readiness {
        let waits = |shard: ShardId| match self.inner.owners.owner(shard) {
            Owner::Here(handle) if handle.is_open() => None,
            Owner::Here(_) => Some(format!("shard {shard} to open")),
            Owner::There(_) => None,
            Owner::Unknown => Some(format!("shard {shard} to have an owner")),
        };
        let mut waiting_for: Vec<_> = self.inner.shards.ids().filter_map(waits).collect();
        if self.inner.leaving.is_cancelled() {
            waiting_for.push("nothing: the node stops".into());
        }
        Readiness { ready: waiting_for.is_empty(), waiting_for }
    }

    /// Has the status say which artifacts are missing here.
    pub(crate) fn set_depot(&self, depot: Depot) {
        assert!(self.inner.depot.set(depot).is_ok(), "a node has one folder of artifacts");
    }

    /// What this node knows of itself.
    pub fn status(&self) -> NodeStatus {
        NodeStatus {
            node: self.inner.node,
            lineage: self.inner.lineage,
            may_own: !self.inner.space.is_low() && !self.inner.leaving.is_cancelled(),
            enforced: self.inner.access == AccessMode::Enforced,
            version: VERSION.to_owned(),
            load: NodeLoad::of(&self.inner.metrics, self.inner.clock.elapsed()),
            artifacts_missing: self.inner.depot.get().map(Depot::missing),
            shards: self.inner.shards.all().iter().map(|shard| shard.status()).collect(),
            meta: None,
        }
    }

    /// Opens a device's session, or says where it can be opened. While nobody owns the shard the
    /// device is held for a while, so that it need not shake hands once more.
    pub(crate) async fn attach(&self, attach: &Attach) -> Result<Door, Rejection> {
        let shard = self.inner.shards.of(&attach.key);
        let end = self.inner.clock.elapsed() + Duration::from_millis(OWNER_WAIT_MS_MAX);
        loop {
            let result = match self.inner.owners.owner(shard) {
                Owner::Here(handle) => self.attach_here(&handle, attach.clone()).await,
                Owner::There(node) => match self.inner.owners.door(node, shard) {
                    Some((address, epoch)) => {
                        return Ok(Door::There(Elsewhere { node, address, epoch }));
                    }
                    None => Err(Rejection::NotOwner),
                },
                Owner::Unknown => Err(Rejection::NotOwner),
            };
            match result {
                Err(Rejection::NotOwner) if self.inner.clock.elapsed() < end => {
                    self.inner.owners.changed(shard).await;
                }
                result => return result.map(Door::Here),
            }
        }
    }

    /// Opens the session of a device that another node relays: here or not at all.
    pub(crate) async fn attach_for_peer(&self, attach: Attach) -> Result<Attached, Rejection> {
        match self.inner.owners.owner(self.inner.shards.of(&attach.key)) {
            Owner::Here(handle) => self.attach_here(&handle, attach).await,
            Owner::There(_) | Owner::Unknown => Err(Rejection::NotOwner),
        }
    }

    /// A node does not own the shard of a twin, or cannot be reached: waits until another may.
    pub(crate) async fn look_for_owner(&self, key: &TwinKey, not_at: NodeId) {
        let shard = self.inner.shards.of(key);
        self.inner.owners.not_at(shard, not_at);
        self.inner.owners.changed(shard).await;
    }

    /// Resolves when a node is no more taken for the owner of a twin's shard.
    pub(crate) async fn owned_elsewhere(&self, key: &TwinKey, than: NodeId) {
        let shard = self.inner.shards.of(key);
        while matches!(self.inner.owners.owner(shard), Owner::There(node) if node == than) {
            self.inner.owners.changed(shard).await;
        }
    }

    /// Whether a node belongs to the cluster.
    pub(crate) fn is_member(&self, node: NodeId) -> bool {
        self.inner.owners.is_member(node)
    }

    pub(crate) fn clock(&self) -> Clock {
        self.inner.clock
    }

    async fn attach_here(
        &self,
        shard: &ShardHandle,
        attach: Attach,
    ) -> Result<Attached, Rejection> {
        let connection = attach.connection;
        let (reply, answer) = oneshot::channel();
        shard.attach(attach, reply)?;
        let twin = answer.await.map_err(|_| Rejection::NotOwner)??;
        let (valve, shard) = (shard.valve(), shard.id());
        Ok(Attached { connection, twin, valve, shard, router: self.clone() })
    }

    /// Where replicas of a scope's shards are, those here before others, and how long ago they had, at most,
    /// all that was acknowledged.
    pub(crate) async fn stand(&self, scope: &Scope) -> (Position, u64) {
        let stand = async |(shard, mut walk): (ShardId, Walk)| match self.shown(shard, 0) {
            Some(handle) => {
                // The age first: what comes in between makes it newer.
                let age_ms = self.age_ms(&handle);
                (age_ms, (shard, handle.hub().head()))
            }
            None => {
                let stands = walk.begin().await;
                (walk.age_ms(), (shard, stands))
            }
        };
        // What is there is not looked at, only how far it is.
        let own = Self { inner: Arc::clone(&self.inner), forward: self.forward.on_behalf(None) };
        let walks = self.shards_of(scope).zip(own.walks(scope, None, None));
        let stands = join_all(walks.map(stand)).await.into_iter();
        let (ages, shards): (Vec<_>, _) = stands.unzip();
        let position = Position { lineage: self.inner.lineage, shards };
        (position, ages.into_iter().max().unwrap_or(0))
    }

    /// How long ago, at most, a replica here had all that was acknowledged.
    pub(crate) fn age_ms(&self, handle: &ShardHandle) -> u64 {
        handle.age_ms(self.inner.clock.wall())
    }

    /// The node is about to stop: from now on it says that it may not own.
    pub(crate) fn leave(&self) {
        self.inner.leaving.cancel();
    }

    pub(crate) fn lineage(&self) -> u64 {
        self.inner.lineage
    }

    pub(crate) fn stopping(&self) -> CancellationToken {
        self.inner.stopping.clone()
    }

    pub(crate) fn shards(&self) -> &Shards {
        &self.inner.shards
    }

    pub(crate) fn shards_of(&self, scope: &Scope) -> impl Iterator<Item = ShardId> + use<> {
        let one = match scope {
            Scope::One(key) => Some(self.inner.shards.of(key)),
            Scope::Part { shard, .. } => Some(*shard),
            Scope::Prefix { .. } | Scope::All => None,
        };
        self.inner.shards.ids().filter(move |shard| one.is_none_or(|id| *shard == id))
    }
}

/// Carries out a call on a shard that this node owns, as far as it knows.
async fn call_here(
    shard: &ShardHandle,
    call: Call,
    behalf: Option<Arc<str>>,
) -> Result<Answer, Rejection> {
    if matches!(call.request, Request::Get)
        && behalf.is_none()
        && let Some(read) = shard.read_now(&call.key)
    {
        return read.map(|view| Answer::Twin(Box::new(view)));
    }
    let (timeout, is_read) = (call.timeout, call.is_read());
    let (reply, answer) = oneshot::channel();
    shard.call(call, behalf, reply)?;
    match tokio::time::timeout(timeout, answer).await {
        Ok(Ok(result)) => result,
        // The shard dropped its actors. A read had no effect; a write may have had.
        Ok(Err(_)) if is_read => Err(Rejection::NotOwner),
        Ok(Err(_)) | Err(_) => Err(Rejection::Unknown),
    }
}

/// The first twins of a shard's table.
fn page_of(
    shard: &ShardHandle,
    beginning: &str,
    after: Option<&TwinKey>,
    limit: usize,
) -> Vec<(TwinKey, View)> {
    let keys = shard.keys_after(after, beginning, limit);
    keys.into_iter().filter_map(|key| shard.view(&key).map(|view| (key, view))).collect()
}
