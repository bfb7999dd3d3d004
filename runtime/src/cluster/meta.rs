//! This node's replica of the meta group: started before the shards, told of every start, and
//! checkpointed beside them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use pollux_cluster::meta::{Answer, Command, MetaMachine, MetaPicture};
use pollux_cluster::{
    CallFault, Group, GroupId, GroupOptions, NodeId, ProposeError, Quorum, Standing,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Kind;
use super::book::Book;
use super::forward::Forward;
use super::seen::meta_status;
use crate::access::PolicyBook;
use crate::checkpoint::{Store, StoreFault};
use crate::clock::Clock;
use crate::config::Checked;
use crate::disk::{Disk, group_options};
use crate::fault::Fault;
use crate::limits::{META_ASK_MS, META_DECIDE_MS_MAX, META_LOOK_MS, STATUS_MS_MAX, TAKER_MS_MAX};
use crate::node::internal;
use crate::status::{MetaStatus, NodeStatus};

/// Name of the meta group's tree.
pub(crate) const TREE: &str = "meta";
/// Before an answer of the meta group: it was decided.
const DECIDED: u8 = 0;
/// In its place: this node does not lead, and perhaps who does.
const ELSEWHERE: u8 = 1;

/// The meta group on this node.
pub(crate) struct MetaGroup {
    decider: Decider,
    writer: JoinHandle<()>,
    stop: CancellationToken,
}

impl MetaGroup {
    /// Starts the replica. That of a node which founds the cluster makes itself the only voter;
    /// that of a node which joins waits to be added; that of a member must find what it had.
    pub(crate) async fn open(
        disk: &Disk,
        config: &Checked,
        clock: Clock,
        forward: Forward,
        known: &Book,
    ) -> Result<Self, Fault> {
        let checkpoint = disk
            .store
            .tree(TREE)?
            .header()?
            .map(|bytes| MetaPicture::decode(&bytes))
            .transpose()?;
        let kept = disk.store.clone();
        let keep = move |picture: &MetaPicture| {
            keep_meta(&kept, picture)
                .map_err(|fault| pollux_cluster::Fault::StateMachine(fault.to_string()))
        };
        let (machine, picture) = MetaMachine::new(checkpoint, Box::new(keep));
        let group = Group::start(
            GroupId::META,
            disk.identity.node,
            group_options(config, GroupOptions::meta()),
            &disk.log,
            forward.network(),
            machine,
        )
        .await?;
        match disk.identity.standing {
            Standing::Founding => group.initialize_alone().await?,
            Standing::Joining => {}
            Standing::Member if group.is_pristine() => {
                return Err(Fault::NotAdmitted {
                    reason: format!(
                        "this node was a member, and its log and checkpoints are gone: with them went votes \
                         it gave; have a new node take its place with `pollux node join --replace {}`",
                        disk.identity.node
                    ),
                });
            }
            Standing::Member => {}
        }
        let stop = CancellationToken::new();
        let interval = config.checkpoint.interval;
        let writer = write_checkpoints(
            disk.store.clone(),
            group.clone(),
            picture.clone(),
            interval,
            stop.clone(),
        );
        let node = disk.identity.node;
        let seeds = known.keys().copied().collect();
        let looked = Arc::default();
        let policies = PolicyBook::new(picture.clone());
        let decider = Decider { group, node, picture, policies, forward, clock, seeds, looked };
        Ok(Self { decider, writer: tokio::spawn(writer), stop })
    }

    /// The way to have something decided.
    pub(crate) const fn decider(&self) -> &Decider {
        &self.decider
    }

    /// A last checkpoint, then the end of the replica.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        if self.writer.await.is_err() {
            tracing::error!("the meta group's checkpointer ended before its time");
        }
        self.decider.group.shutdown().await;
    }
}

/// Has the meta group decide things, from any node. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Decider {
    group: Group,
    node: NodeId,
    picture: watch::Receiver<MetaPicture>,
    policies: PolicyBook,
    forward: Forward,
    clock: Clock,
    /// Nodes that were there when this one ran last.
    seeds: Arc<[NodeId]>,
    /// When the last look began after which all that was decided before was known here, by elapsed time.
    looked: Arc<tokio::sync::Mutex<Option<Duration>>>,
}

impl Decider {
    /// The meta group's replica here.
    pub(crate) const fn group(&self) -> &Group {
        &self.group
    }

    /// The newest state known here.
    pub(crate) fn picture(&self) -> watch::Receiver<MetaPicture> {
        self.picture.clone()
    }

    /// Who may do what, by that.
    pub(crate) fn policies(&self) -> PolicyBook {
        self.policies.clone()
    }

    /// Where devices find a node, as it advertised.
    pub(super) fn device_address(&self, node: NodeId) -> Option<Arc<str>> {
        let picture = self.picture.borrow();
        let address = &picture.meta.nodes.get(&node.0)?.profile.addresses.devices;
        (!address.is_empty()).then(|| address.as_str().into())
    }

    /// Whether another node says that it may own shards, now and at once.
    pub(super) async fn may_own(&self, node: NodeId) -> bool {
        let patience = Duration::from_millis(TAKER_MS_MAX);
        let said = self.forward.ask(node, Kind::Status, Bytes::new(), patience).await;
        let said = said.ok().and_then(|said| serde_json::from_slice::<NodeStatus>(&said).ok());
        said.is_some_and(|status| status.may_own)
    }

    /// The other nodes that say so.
    pub(super) async fn takers(&self) -> BTreeSet<NodeId> {
        let asked = self
            .others()
            .into_iter()
            .map(|node| async move { self.may_own(node).await.then_some(node) });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// Whether whoever leads the group is heard now, so that what is known here is what was decided.
    pub(crate) async fn hears_leader(&self) -> bool {
        let now = *self.group.leadership().borrow();
        if now.ours.is_some() {
            return now.quorum == Quorum::Answers;
        }
        self.ask_leader().await.is_some_and(|meta| meta.answered)
    }

    /// What another node that leads says of the group.
    async fn ask_leader(&self) -> Option<MetaStatus> {
        let leader = self.leader()?;
        let patience = Duration::from_millis(STATUS_MS_MAX);
        let said = self.forward.ask(leader, Kind::Status, Bytes::new(), patience).await;
        serde_json::from_slice::<NodeStatus>(&said.ok()?).ok()?.meta
    }

    /// Waits until what was decided before this was called is known here; false where that cannot be found out. Those who
    /// ask meanwhile share one look.
    pub(crate) async fn catches_up(&self) -> bool {
        let asked = self.clock.elapsed();
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|begun| begun >= asked) {
            return true;
        }
        let begun = self.clock.elapsed();
        let caught_up = self.catches_up_now().await;
        if caught_up {
            *looked = Some(begun);
        }
        caught_up
    }

    async fn catches_up_now(&self) -> bool {
        let told = match meta_status(&self.group) {
            Some(own) => Some(own),
            None => self.ask_leader().await,
        };
        let told = told.filter(|told| told.answered);
        let Some(committed) = told.and_then(|told| told.committed) else { return false };
        let mut picture = self.picture.clone();
        let here = |now: &MetaPicture| now.applied.map_or(0, |applied| applied.index + 1);
        let caught_up = picture.wait_for(|now| here(now) >= committed);
        let patience = Duration::from_millis(STATUS_MS_MAX);
        tokio::time::timeout(patience, caught_up).await.is_ok_and(|seen| seen.is_ok())
    }

    /// Has a command decided, asking whoever leads, again and again for as long as
    /// [`META_DECIDE_MS_MAX`]. A command may be decided twice where an answer is lost: all of them
    /// allow that.
    pub(crate) async fn decide(&self, command: Command) -> Result<Answer, Fault> {
        self.decide_again(command).await.map(|(answer, _)| answer)
    }

    /// As [`Self::decide`]; also whether an earlier answer may have been lost.
    pub(super) async fn decide_again(&self, command: Command) -> Result<(Answer, Repeated), Fault> {
        let bytes = command.encode();
        let mut repeated = Repeated::No;
        let end = self.clock.elapsed() + Duration::from_millis(META_DECIDE_MS_MAX);
        let mut nodes = self.others().into_iter().cycle();
        let mut hint = None;
        loop {
            let asked = match self.here(&bytes).await {
                Ok(Some(answer)) => return Ok((Answer::decode(&answer)?, repeated)),
                Err(Unclear) => {
                    repeated = Repeated::Perhaps;
                    None
                }
                Ok(None) => hint.take().or_else(|| self.leader()).or_else(|| nodes.next()),
            };
            if let Some(node) = asked {
                let ask = Duration::from_millis(META_ASK_MS);
                match self.forward.ask(node, Kind::Meta, bytes.clone(), ask).await.as_deref() {
                    Ok([DECIDED, answer @ ..]) => return Ok((Answer::decode(answer)?, repeated)),
                    Ok([ELSEWHERE, leader @ ..]) => {
                        hint = leader.try_into().ok().map(u64::from_le_bytes).map(NodeId);
                    }
                    Err(CallFault::Unreachable) => {}
                    Ok(_) | Err(_) => repeated = Repeated::Perhaps,
                }
            }
            if self.clock.elapsed() >= end {
                return Err(Fault::Internal {
                    what: "the meta group",
                    problem: "no majority of its nodes answers; see `pollux cluster status`".into(),
                });
            }
            tokio::time::sleep(Duration::from_millis(META_LOOK_MS)).await;
        }
    }

    /// A command that another node passed on: decided if this node leads.
    pub(super) async fn decide_for_peer(&self, command: &[u8]) -> Vec<u8> {
        match self.here(command).await {
            Ok(Some(answer)) => [&[DECIDED], answer.as_ref()].concat(),
            Err(Unclear) => Vec::new(),
            Ok(None) => {
                let leader = self.leader().map(|node| node.0.to_le_bytes().to_vec());
                [vec![ELSEWHERE], leader.unwrap_or_default()].concat()
            }
        }
    }

    /// Decides a command if this node leads; none if it certainly was not decided here.
    async fn here(&self, command: &[u8]) -> Result<Option<Bytes>, Unclear> {
        let Some(token) = self.group.leadership().borrow().ours else { return Ok(None) };
        let command = Bytes::copy_from_slice(command);
        let Ok(proposal) = self.group.propose(token.epoch(), command).await else {
            return Ok(None);
        };
        match proposal.applied().await {
            Ok(applied) => Ok(Some(applied.answer)),
            Err(ProposeError::Refused { .. }) => Ok(None),
            Err(ProposeError::Unknown(_)) => Err(Unclear),
        }
    }

    fn leader(&self) -> Option<NodeId> {
        self.group.leadership().borrow().leader.filter(|leader| *leader != self.node)
    }

    fn others(&self) -> Vec<NodeId> {
        let members: Vec<_> =
            self.picture.borrow().meta.members().map(|(id, _)| NodeId(id)).collect();
        let known = if members.len() > 1 { members } else { self.seeds.to_vec() };
        known.into_iter().filter(|node| *node != self.node).collect()
    }
}

/// A command may or may not have been decided.
struct Unclear;

/// Whether a command may have been decided before it was asked for the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeated {
    No,
    Perhaps,
}

async fn write_checkpoints(
    store: Store,
    group: Group,
    picture: watch::Receiver<MetaPicture>,
    interval: Duration,
    stop: CancellationToken,
) {
    let mut written = None;
    loop {
        let last = tokio::select! {
            biased;
            () = stop.cancelled() => true,
            () = tokio::time::sleep(interval) => false,
        };
        let now = picture.borrow().clone();
        if let Some(position) = now.applied.filter(|position| Some(*position) != written) {
            let store = store.clone();
            let result = tokio::task::spawn_blocking(move || keep_meta(&store, &now)).await;
            match result {
                Ok(Ok(())) => match group.checkpointed(position).await {
                    Ok(()) => written = Some(position),
                    Err(fault) => tracing::error!(%fault, "the meta group's log is kept"),
                },
                Ok(Err(fault)) => tracing::error!(%fault, "the meta group's log is kept"),
                Err(fault) => tracing::error!(%fault, "the meta group's checkpoint failed"),
            }
        }
        if last {
            return;
        }
    }
}

/// Makes a picture the checkpoint of the meta group, durably.
pub(crate) fn keep_meta(store: &Store, picture: &MetaPicture) -> Result<(), StoreFault> {
    let nothing = std::iter::empty::<(&str, Option<&[u8]>)>();
    store.tree(TREE)?.write(&picture.encode(), nothing)?;
    store.sync()
}

/// What all nodes of a cluster must have configured alike, as one number.
pub(crate) fn fingerprint(config: &Checked) -> u64 {
    let text = format!("pollux cluster config 1: shards = {}", config.cluster.shards);
    u64::from(crc32c::crc32c(text.as_bytes()))
}

/// The word of the meta group on something it must not refuse.
pub(crate) fn accepted(answer: Answer) -> Result<Answer, Fault> {
    match answer {
        Answer::Refused(refusal) => Err(Fault::NotAdmitted { reason: refusal.to_string() }),
        answer => Ok(answer),
    }
}

/// A fault of the meta group.
pub(crate) fn meta_fault(error: &dyn std::fmt::Display) -> Fault {
    internal("the meta group", error)
}
