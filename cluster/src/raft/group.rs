//! A replicated group as a handle. Owns its start, its end, and the calls of the runtime; leaves
//! agreement to the consensus library, entries' meaning to the state machine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{InitializeError, RaftError};
use openraft::impls::OneshotResponder;
use openraft::metrics::RaftServerMetrics;
use openraft::raft::ClientWriteResult;
use openraft::type_config::alias::WatchReceiverOf;
use openraft::{Config, EmptyNode, Raft, ReadPolicy};
use tokio::sync::watch;

use super::adapter::{Adapter, Checkpoints};
use super::alone::Alone;
use super::change::Changing;
use super::config::GroupOptions;
use super::inbound::Receiver;
use super::leadership::{Follower, Leadership};
use super::log_store::LogStore;
use super::peer::Peers;
use super::proposal::{Proposal, ProposeError};
use super::types::{C, Proposed, epoch, leader_id, log_id, position};
use crate::fault::Fault;
use crate::ids::{Epoch, GroupId, NodeId, Position};
use crate::limits::CHECKPOINT_RETRY;
use crate::network::Network;
use crate::state_machine::StateMachine;
use crate::wal::{GroupLog, Log};

/// What the log let go must be in the checkpoint (safety rule 21): a checkpoint that is older, or gone,
/// cannot be made good from the log.
fn no_gap(id: GroupId, applied: Option<Position>, purged: Option<Position>) -> Result<(), Fault> {
    let next = |position: Option<Position>| position.map_or(0, |position| position.index + 1);
    let (ends, begins) = (next(applied), next(purged));
    if begins <= ends {
        return Ok(());
    }
    Err(Fault::Group(format!(
        "{id}: its checkpoint ends before entry {ends}, but its log begins at entry {begins}; restore \
         this node's data directory from a backup, or replace the node"
    )))
}

/// A group on this node: cheap to clone.
#[derive(Clone)]
pub struct Group {
    inner: Arc<Inner>,
}

struct Inner {
    id: GroupId,
    node: NodeId,
    options: GroupOptions,
    raft: Raft<C, Adapter>,
    log: GroupLog,
    alone: Alone,
    network: Arc<dyn Network>,
    receiver: Arc<Receiver>,
    checkpoints: Arc<Mutex<Checkpoints>>,
    leadership: watch::Receiver<Leadership>,
    changing: Changing,
}

impl Group {
    /// Starts this node's replica: from the state machine's checkpoint and the log after it. A replica
    /// that is the only voter stands for election at once, without waiting for a silence.
    ///
    /// A replica with nothing in either never stands: it waits for [`Group::initialize`], or until the
    /// leader of an existing group adds it. One that comes after another has left this node neither
    /// votes nor stands until it has all that the other one had. A replica that once had something and
    /// has lost it must not be started under its old node id: its vote is lost as well. Whoever knows
    /// that this node was a member checks [`Group::is_pristine`].
    ///
    /// # Errors
    /// When the checkpoint and the log do not fit together, or the log or the options refuse.
    pub async fn start<S: StateMachine>(
        id: GroupId,
        node: NodeId,
        options: GroupOptions,
        log: &Log,
        network: Arc<dyn Network>,
        machine: S,
    ) -> Result<Self, Fault> {
        let config = options.config(id)?;
        Self::start_as(config, id, node, options, &log.group(id)?, network, machine).await
    }

    /// [`Group::start`] with the library's options given as they are.
    pub(super) async fn start_as<S: StateMachine>(
        config: Arc<Config>,
        id: GroupId,
        node: NodeId,
        options: GroupOptions,
        log: &GroupLog,
        network: Arc<dyn Network>,
        machine: S,
    ) -> Result<Self, Fault> {
        let log = log.clone();
        let alone = Alone::new(node);
        let mut adapter = Adapter::new(Box::new(machine), alone.clone())?;
        let sinks = adapter.sinks();
        no_gap(id, adapter.applied(), log.purged())?;
        let checkpoints = adapter.checkpoints();
        let peers =
            Peers { network: Arc::clone(&network), group: id, node, pace: network.snapshot_pace() };
        let store = LogStore::new(log.clone(), alone.clone());
        let raft = Raft::build(node.0, config, peers, store, adapter);
        let raft = raft.await.map_err(|e| Fault::Group(format!("start group {id}: {e}")))?;
        raft.runtime_config().elect(!log.is_below_floor());
        raft.run();
        let receiver = Arc::new(Receiver::new(raft.clone(), log.clone(), sinks));
        network.attach(node, id, Some(Arc::<Receiver>::clone(&receiver)));
        let changing = Changing::default();
        let silence = options.election_max();
        let follower = Follower { raft: raft.clone(), changing: Arc::clone(&changing), silence };
        let leadership = follower.follow();
        let metrics = raft.server_metrics();
        let inner = Inner {
            id,
            node,
            options,
            raft,
            log,
            alone,
            network,
            receiver,
            checkpoints,
            leadership,
            changing,
        };
        let group = Self { inner: Arc::new(inner) };
        tokio::spawn(settle_alone(Arc::downgrade(&group.inner), metrics));
        group.start_serving().await?;
        Ok(group)
    }

    async fn start_serving(&self) -> Result<(), Fault> {
        let raft = &self.inner.raft;
        let served = raft.with_state_machine(|adapter: &mut Adapter| {
            adapter.serve();
            Box::pin(async {})
        });
        served.await.map_err(stopped)?;
        let alone = {
            let metrics = raft.server_metrics();
            let metrics = metrics.borrow_watched();
            let mut voters = metrics.membership_config.membership().voter_ids();
            voters.next() == Some(self.inner.node.0) && voters.next().is_none()
        };
        if alone { raft.trigger().elect(false).await.map_err(stopped) } else { Ok(()) }
    }

    /// Makes this node the group's only voter, if the group has no members yet. Safe to repeat.
    ///
    /// # Errors
    /// When the group has stopped.
    pub async fn initialize_alone(&self) -> Result<(), Fault> {
        self.initialize(&[self.inner.node]).await
    }

    /// Makes these nodes the group's voters, if the group has no members yet. To be called on one of
    /// them. Safe to repeat.
    ///
    /// # Errors
    /// When the group has stopped, or this node is not among the voters.
    pub async fn initialize(&self, voters: &[NodeId]) -> Result<(), Fault> {
        let members: BTreeMap<u64, EmptyNode> =
            voters.iter().map(|node| (node.0, EmptyNode {})).collect();
        match self.inner.raft.initialize(members).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(fault) => Err(Fault::Group(format!("initialize {}: {fault}", self.inner.id))),
        }
    }

    /// Whether this replica has never heard of any member, leader or entry. One that was here before and
    /// has left does not count.
    #[must_use]
    pub fn is_pristine(&self) -> bool {
        let Inner { log, .. } = self.inner.as_ref();
        let metrics = self.inner.raft.metrics();
        let members = metrics.borrow_watched().membership_config.log_id().is_some();
        log.is_new() && !members
    }

    /// Who leads, and changes of it; and whether a majority still answers this node when it does.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// Proposes an entry under a leader's identity, at most once. On return it is handed over, in the
    /// order of the calls; [`Proposal::applied`] waits for what comes of it.
    ///
    /// # Errors
    /// [`ProposeError::Refused`] when the entry is too large for the log or the group has stopped.
    pub async fn propose(&self, epoch: Epoch, entry: Bytes) -> Result<Proposal, ProposeError> {
        let (size, most) = (entry.len(), self.inner.log.entry_bytes_max());
        if size > most {
            let reason = format!("an entry of {size} bytes: at most {most} fit into the log");
            return Err(ProposeError::refused(reason));
        }
        let (responder, answer) = OneshotResponder::<C, ClientWriteResult<C>>::new_pair();
        let write = self.inner.raft.write(Proposed(entry));
        let write = write.with_leader(leader_id(epoch)).responder(responder);
        write.await.map_err(ProposeError::refused)?;
        Ok(Proposal { answer })
    }

    /// Confirms with a majority that this node still leads in `epoch`, and waits until everything
    /// committed before the call is applied here. With one voter nobody is asked.
    ///
    /// # Errors
    /// [`ProposeError::Refused`] when another epoch leads or a majority does not answer.
    pub async fn read_barrier(&self, wanted: Epoch) -> Result<Position, ProposeError> {
        let raft = &self.inner.raft;
        let read = raft.get_read_linearizer(ReadPolicy::ReadIndex).await;
        let read = read.map_err(|fault| ProposeError::from_raft(&fault))?;
        let led = epoch(*read.read_log_id().committed_leader_id());
        if led != wanted {
            return Err(ProposeError::refused(format!("epoch {led} leads, not {wanted}")));
        }
        let ready = read.await_ready(raft).await.map_err(ProposeError::refused)?;
        Ok(position(ready.read_log_id().log_id()))
    }

    /// Whether this node leads in `epoch`, has applied all that was committed before, and is the only voter,
    /// so that nobody could have been elected above it: a read barrier that begins now passes without a question to anyone. False where that is
    /// not known; then ask with [`Group::read_barrier`]. Costs one look at memory.
    #[must_use]
    pub fn leads_alone(&self, epoch: Epoch) -> bool {
        self.inner.alone.holds(epoch)
    }

    /// Everything up to `upto` is durable in the state machine's checkpoint: the log before it may
    /// go, but for the entries and bytes the options keep.
    ///
    /// # Errors
    /// When the group has stopped.
    pub async fn checkpointed(&self, upto: Position) -> Result<(), Fault> {
        let Inner { raft, log, options, checkpoints, .. } = self.inner.as_ref();
        checkpoints.lock().unwrap_or_else(PoisonError::into_inner).reached(upto);
        let mut progress = raft.watch_snapshot_progress();
        let known = Some(log_id(upto));
        loop {
            raft.trigger().snapshot().await.map_err(stopped)?;
            // While one checkpoint is being noted the library ignores the next: ask again.
            let reached = progress.wait_until_ge(&known);
            match tokio::time::timeout(CHECKPOINT_RETRY, reached).await {
                Ok(Ok(_)) => break,
                Ok(Err(_)) => return Err(Fault::Closed("the group")),
                Err(_) => {}
            }
        }
        let by_entries = upto.index.saturating_sub(options.keep_entries);
        let by_bytes = log.index_within(upto.index, options.keep_bytes);
        let keep_from = by_entries.max(by_bytes).min(upto.index + 1);
        match keep_from.checked_sub(1) {
            Some(last) => raft.trigger().purge_log(last).await.map_err(stopped),
            None => Ok(()),
        }
    }

    /// The group's id.
    #[must_use]
    pub fn id(&self) -> GroupId {
        self.inner.id
    }

    /// The node this replica is on.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.inner.node
    }

    pub(super) fn raft(&self) -> &Raft<C, Adapter> {
        &self.inner.raft
    }

    pub(super) fn log(&self) -> &GroupLog {
        &self.inner.log
    }

    pub(super) fn log_last(&self) -> Option<Position> {
        self.inner.log.last()
    }

    pub(super) fn options(&self) -> &GroupOptions {
        &self.inner.options
    }

    pub(super) fn changing(&self) -> Changing {
        Arc::clone(&self.inner.changing)
    }

    /// Ends the replica's tasks and waits for them. What is not answered by then stays unknown.
    pub async fn shutdown(&self) {
        self.inner.network.attach(self.inner.node, self.inner.id, None);
        self.inner.receiver.close().await;
        if self.inner.raft.shutdown().await.is_err() {
            tracing::error!(group = %self.inner.id, "a task of the group had panicked");
        }
    }
}

/// Asks the core after each change of leader or members, until the group ends. A leader without any
/// other member has nobody to show signs of life to and no election to fear: its clock stands still,
/// which is most of what an idle group costs.
async fn settle_alone(group: Weak<Inner>, mut metrics: WatchReceiverOf<C, RaftServerMetrics<C>>) {
    loop {
        let Some(inner) = group.upgrade() else { return };
        // The membership that gives this replica a vote comes after all that it has to have.
        inner.raft.runtime_config().elect(!inner.log.is_below_floor());
        let alone = inner.alone.clone();
        let settled = inner.raft.with_raft_state(move |state| alone.settle(state)).await;
        let Ok(by_itself) = settled else { return };
        inner.raft.runtime_config().tick(!by_itself);
        drop(inner);
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

fn stopped<E: std::fmt::Display>(fault: E) -> Fault {
    Fault::Group(format!("the group has stopped: {fault}"))
}
