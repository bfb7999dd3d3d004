//! A shard as the rest of the node sees it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix::ArbiterHandle;
use pollux_cluster::{Epoch as LeaderEpoch, Fault, Group, Leadership, NodeId};
use pollux_twin::limits::Limits;
use pollux_twin::twin::{Restorable, View};
use pollux_twin::{Epoch, Rejection, ShardId, Time, TwinKey};
use tokio::sync::{Semaphore, watch};

use super::actor::{ShardActor, ShardOptions};
use super::core::Parts;
use super::hand_over::HandOver;
use super::messages::{AttachReply, CallReply, SayBye, ShardAttach, ShardCall};
use super::outgoing::Outgoing;
use super::overlay::Overlay;
use super::quota::Quota;
use super::replica::Replica;
use crate::access::PolicyBook;
use crate::clock::Clock;
use crate::limits::{APPLIED_LOOK_MS, CALL_RETRY_MS, OWNER_WAIT_MS_MAX};
use crate::metrics::{HotTwins, Metrics};
use crate::router::{Attach, Call};
use crate::session::Valve;
use crate::space::Space;
use crate::status::ShardStatus;
use crate::tenants::TenantBook;
use crate::types::TypeBook;
use crate::watch::{Hub, Listeners};

/// What other threads may see of a shard's core.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) shard: ShardId,
    open: AtomicBool,
    /// Whether it was offered to another node since it was opened last.
    handed_over: AtomicBool,
    /// Of the epoch in which it was opened last.
    term: AtomicU64,
    leader: AtomicU64,
    active: AtomicUsize,
    gate_bytes: AtomicUsize,
    messages_per_s: AtomicU64,
    pub(super) overlay: Overlay,
    pub(super) listeners: Arc<Listeners>,
}

impl Shared {
    pub(super) fn set_messages_per_s(&self, messages: u64) {
        self.messages_per_s.store(messages, Ordering::Relaxed);
    }

    pub(super) fn set_open(&self, epoch: Epoch) {
        self.term.store(epoch.term, Ordering::Relaxed);
        self.leader.store(epoch.leader, Ordering::Relaxed);
        self.open.store(true, Ordering::Release);
    }

    /// The epoch in which the shard is open, if it is.
    fn opened(&self) -> Option<LeaderEpoch> {
        let open = self.open.load(Ordering::Acquire);
        let (term, leader) = (&self.term, &self.leader);
        open.then(|| LeaderEpoch {
            term: term.load(Ordering::Relaxed),
            leader: leader.load(Ordering::Relaxed),
        })
    }

    pub(super) fn set_handed_over(&self, handed_over: bool) {
        self.handed_over.store(handed_over, Ordering::Release);
    }

    pub(super) fn set_closed(&self) {
        self.open.store(false, Ordering::Release);
    }

    pub(super) fn set_gate_bytes(&self, bytes: usize) {
        self.gate_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn set_active(&self, active: usize) {
        self.active.store(active, Ordering::Relaxed);
    }
}

/// What a shard is started from.
pub(crate) struct Launch {
    pub(crate) shard: ShardId,
    pub(crate) node: u64,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) types: Arc<TypeBook>,
    pub(crate) policies: PolicyBook,
    pub(crate) tenants: Arc<TenantBook>,
    pub(crate) space: Space,
    pub(crate) metrics: Arc<Metrics>,
    /// Bytes of telemetry that wait for all who listen at this node.
    pub(crate) live_bytes: Arc<AtomicUsize>,
    /// Turns of this node's shards to tell some of their devices of a move ahead.
    pub(crate) preparing: Arc<Semaphore>,
    pub(crate) group: Group,
    pub(crate) replica: Arc<Replica>,
    pub(crate) options: ShardOptions,
}

/// A replica that is here, with its actors while this node owns it.
pub(crate) struct ShardHandle {
    actor: actix::Addr<ShardActor>,
    group: Group,
    leadership: watch::Receiver<Leadership>,
    replica: Arc<Replica>,
    valve: Arc<Valve>,
    shared: Arc<Shared>,
    hot_twins: HotTwins,
    preparing: Arc<Semaphore>,
}

impl ShardHandle {
    /// Starts a shard's actor on an arbiter.
    pub(crate) fn launch(arbiter: &ArbiterHandle, launch: Launch) -> Self {
        let Launch { shard, node, clock, limits, types, policies, tenants, .. } = launch;
        let Launch { space, metrics, live_bytes, preparing, group, replica, options, .. } = launch;
        let valve = Arc::new(Valve::default());
        let shared = Arc::new(Shared {
            shard,
            open: AtomicBool::new(false),
            handed_over: AtomicBool::new(false),
            term: AtomicU64::new(0),
            leader: AtomicU64::new(0),
            active: AtomicUsize::new(0),
            gate_bytes: AtomicUsize::new(0),
            messages_per_s: AtomicU64::new(0),
            overlay: Overlay::default(),
            listeners: Arc::new(Listeners::new(live_bytes)),
        });
        let hot_twins = metrics.hot_twin_messages_per_second.clone();
        let parts = {
            let (shared, replica, valve) =
                (Arc::clone(&shared), Arc::clone(&replica), Arc::clone(&valve));
            move || Parts {
                node,
                clock,
                limits,
                types,
                policies,
                quota: Quota::new(shard, tenants, Arc::clone(&replica)),
                space,
                metrics,
                shared,
                replica,
                valve,
            }
        };
        let actor = ShardActor::launch(arbiter, group.clone(), options, parts);
        let leadership = group.leadership();
        Self { actor, group, leadership, replica, valve, shared, hot_twins, preparing }
    }

    pub(crate) fn id(&self) -> ShardId {
        self.shared.shard
    }

    pub(crate) const fn group(&self) -> &Group {
        &self.group
    }

    /// The way to hand the shard to another node.
    pub(crate) fn hand_over(&self) -> HandOver {
        let preparing = Arc::clone(&self.preparing);
        HandOver { actor: self.actor.clone(), group: self.group.clone(), preparing }
    }

    /// Who leads the shard's group, as this node knows it.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.leadership.borrow().leader
    }

    /// The epoch of that leader, or of the newest election.
    pub(crate) fn epoch(&self) -> pollux_cluster::Epoch {
        self.leadership.borrow().epoch
    }

    pub(crate) fn valve(&self) -> Arc<Valve> {
        Arc::clone(&self.valve)
    }

    /// Whether the shard was offered to another node since it was opened here last.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.shared.handed_over.load(Ordering::Acquire)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.shared.open.load(Ordering::Acquire)
    }

    /// Hands a call over; the answer comes to `reply`.
    pub(crate) fn call(
        &self,
        call: Call,
        behalf: Option<Arc<str>>,
        reply: CallReply,
    ) -> Result<(), Rejection> {
        let asked = ShardCall { call, behalf, reply, waited: false };
        self.actor.try_send(asked).map_err(|_| no_room())
    }

    /// Reads a twin that nobody has to be asked about: the shard is open, this node leads its group
    /// alone, and the table has all that its actor could tell. `None`: hand a call over.
    ///
    /// That is a read barrier begun after the request came, and passed: all that was acknowledged
    /// before is in the table, as acknowledgements are released by the answer of apply (safety rules 2
    /// and 3), and nothing that is not committed ever is.
    pub(crate) fn read_now(&self, key: &TwinKey) -> Option<Result<View, Rejection>> {
        let alone = self.shared.opened().is_some_and(|epoch| self.group.leads_alone(epoch));
        if !alone || self.shared.overlay.contains(key) {
            return None;
        }
        self.hot_twins.note(key);
        Some(self.replica.read(key))
    }

    /// Hands a device over; the answer comes to `reply`.
    pub(crate) fn attach(&self, attach: Attach, reply: AttachReply) -> Result<(), Rejection> {
        self.actor.try_send(ShardAttach { attach, reply }).map_err(|_| no_room())
    }

    /// Tells all devices that the node stops.
    pub(crate) async fn say_bye(&self) {
        let _ = self.actor.send(SayBye).await;
    }

    /// Keys of the table that begin with `beginning`, after a key, in order.
    pub(crate) fn keys_after(
        &self,
        after: Option<&TwinKey>,
        beginning: &str,
        most: usize,
    ) -> Vec<TwinKey> {
        self.replica.keys_after(after, beginning, most)
    }

    /// How long ago, at most, the table held all that was acknowledged: at the owner it does, as an
    /// acknowledgement is released by the answer of apply; elsewhere the newest entry says when.
    pub(crate) fn age_ms(&self, now: Time) -> u64 {
        if self.is_open() { 0 } else { now.since_ms(self.replica.time()) }
    }

    /// The shard's time as of the newest entry that the table has.
    pub(crate) fn time(&self) -> Time {
        self.replica.time()
    }

    /// A twin as the table has it.
    pub(crate) fn view(&self, key: &TwinKey) -> Option<View> {
        self.replica.view(key)
    }

    /// Twins after a key that can be brought back at this time, with what is known of them.
    pub(crate) fn restorable(
        &self,
        beginning: &str,
        after: Option<&TwinKey>,
        now: Time,
        most: usize,
    ) -> Vec<(TwinKey, Restorable)> {
        self.replica.restorable(beginning, after, now, most)
    }

    /// Log index that the table has.
    pub(crate) fn applied(&self) -> u64 {
        self.replica.counts().0
    }

    /// Up to where the shard's log is committed; only its owner knows.
    pub(crate) async fn committed(&self) -> Option<u64> {
        let ours = self.group.leadership().borrow().ours?;
        self.group.read_barrier(ours.epoch()).await.ok().map(|position| position.index)
    }

    /// Waits until the table has a place in the log; `false` if that takes too long.
    pub(crate) async fn reaches(&self, index: u64) -> bool {
        let reached = async {
            while self.applied() < index {
                tokio::time::sleep(Duration::from_millis(APPLIED_LOOK_MS)).await;
            }
        };
        let patience = Duration::from_millis(OWNER_WAIT_MS_MAX);
        tokio::time::timeout(patience, reached).await.is_ok()
    }

    /// Whether this node owns the shard, and its table has all that was acknowledged before this call.
    pub(crate) async fn has_all_acknowledged(&self) -> bool {
        match self.committed().await {
            Some(index) => self.reaches(index).await,
            None => false,
        }
    }

    /// Its table.
    pub(crate) fn replica(&self) -> Arc<Replica> {
        Arc::clone(&self.replica)
    }

    /// The whole state as of now, to be pulled piece by piece.
    pub(crate) fn outgoing(&self) -> Result<Outgoing, Fault> {
        Outgoing::begin(Arc::clone(&self.replica))
    }

    /// Those who hear telemetry as it comes here.
    pub(crate) fn listeners(&self) -> &Arc<Listeners> {
        &self.shared.listeners
    }

    /// The newest changes, for those who watch here.
    pub(crate) fn hub(&self) -> Arc<Hub> {
        self.replica.hub()
    }

    pub(crate) fn status(&self) -> ShardStatus {
        let (applied, checkpointed, twins) = self.replica.counts();
        let metrics = self.group.metrics();
        let ids = |nodes: &BTreeSet<NodeId>| -> Vec<u64> { nodes.iter().map(|n| n.0).collect() };
        ShardStatus {
            shard: self.id().0,
            open: self.is_open(),
            term: metrics.leadership.epoch.term,
            owner: metrics.leadership.leader.map_or(0, |leader| leader.0),
            voters: ids(&metrics.members.voters),
            learners: ids(&metrics.members.learners),
            leaving: metrics.members.leaving.as_ref().map(ids).unwrap_or_default(),
            // One that nothing is known of has not caught up, however short the log.
            lags: metrics
                .replicas
                .iter()
                .filter(|replica| replica.matched.is_some())
                .map(|replica| (replica.node.0, replica.lag_entries))
                .collect(),
            messages_per_s: self.shared.messages_per_s.load(Ordering::Relaxed),
            applied,
            checkpointed,
            twins,
            bytes: self.replica.table_bytes(),
            gate_bytes: self.shared.gate_bytes.load(Ordering::Relaxed) as u64,
            active: self.shared.active.load(Ordering::Relaxed) as u64,
        }
    }
}

const fn no_room() -> Rejection {
    Rejection::Overloaded { retry_after_ms: CALL_RETRY_MS }
}
