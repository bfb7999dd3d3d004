//! How replicas of a group reach each other. Owns the contract and the form of it inside one process;
//! leaves sockets to `peer`, and what the bytes say to `raft`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::ids::{GroupId, NodeId};
use crate::raft::SnapshotPace;

/// Why a call to a peer has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFault {
    /// The peer cannot be reached now, or does not take the call on, as when it does not know the
    /// group: certainly not executed, to be tried again later.
    #[error("the peer cannot be reached")]
    Unreachable,
    /// No answer in time; the peer may have acted on it.
    #[error("the peer did not answer in time")]
    Timeout,
    /// The peer refused the call as malformed, or failed over it.
    #[error("the peer failed over the call")]
    Failed,
}

impl CallFault {
    /// Whether the call was certainly not executed. If not, nobody knows.
    #[must_use]
    pub const fn is_not_executed(self) -> bool {
        matches!(self, Self::Unreachable)
    }
}

/// The kind of a call, so that a bulky one never delays one that must be on time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Heartbeats, votes and hand-overs: small, and late ones cost an election.
    Control,
    /// Entries of the log.
    Entries,
    /// Pieces of a snapshot: large, and in no hurry.
    Snapshot,
}

/// The receiving end of a group's calls on one node.
pub trait Inbound: Send + Sync + 'static {
    /// Answers a call from a peer. Bytes in, bytes out; both opaque.
    fn answer(&self, call: Bytes) -> BoxFuture<'static, Result<Bytes, CallFault>>;
}

/// Calls between the replicas of a group. A call is at most
/// [`PEER_MESSAGE_BYTES_MAX`](crate::limits::PEER_MESSAGE_BYTES_MAX) long, its answer too.
pub trait Network: Send + Sync + 'static {
    /// Calls the replica of `group` on node `to`; gives up after `ttl`.
    fn call(
        &self,
        from: NodeId,
        to: NodeId,
        group: GroupId,
        lane: Lane,
        call: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallFault>>;

    /// From now on calls to `group` on `node` go to `inbound`; none ends that.
    fn attach(&self, node: NodeId, group: GroupId, inbound: Option<Arc<dyn Inbound>>);

    /// The pace that all snapshots leaving this node share; none: as fast as they are taken.
    fn snapshot_pace(&self) -> Option<SnapshotPace> {
        None
    }
}

/// All nodes in one process: a node alone, and tests.
#[derive(Clone, Default)]
pub struct LocalNetwork {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    inbound: BTreeMap<(NodeId, GroupId), Arc<dyn Inbound>>,
    cut: Vec<NodeId>,
}

impl LocalNetwork {
    /// A network that reaches nobody until groups attach.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts a node off from all others, or joins it again.
    pub fn isolate(&self, node: NodeId, isolated: Isolated) {
        let mut state = self.lock();
        state.cut.retain(|other| *other != node);
        if isolated == Isolated::Yes {
            state.cut.push(node);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a node is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolated {
    /// Cut off.
    Yes,
    /// Reachable.
    No,
}

impl Network for LocalNetwork {
    fn call(
        &self,
        from: NodeId,
        to: NodeId,
        group: GroupId,
        _lane: Lane,
        call: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallFault>> {
        let network = self.clone();
        Box::pin(async move {
            let reach = || {
                let state = network.lock();
                let cut = state.cut.contains(&from) || state.cut.contains(&to);
                state.inbound.get(&(to, group)).filter(|_| !cut).cloned()
            };
            let inbound = reach().ok_or(CallFault::Unreachable)?;
            let answer = tokio::time::timeout(ttl, inbound.answer(call)).await;
            // A cut in between loses the answer.
            reach().ok_or(CallFault::Timeout)?;
            answer.unwrap_or(Err(CallFault::Timeout))
        })
    }

    fn attach(&self, node: NodeId, group: GroupId, inbound: Option<Arc<dyn Inbound>>) {
        let mut state = self.lock();
        match inbound {
            Some(inbound) => state.inbound.insert((node, group), inbound),
            None => state.inbound.remove(&(node, group)),
        };
    }
}
