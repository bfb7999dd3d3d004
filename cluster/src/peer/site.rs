//! What this node has to offer its peers. Owns the register of groups, of the service and of the one who
//! takes in joining nodes, and the counts of what went over the wire.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use pollux_proto::peer::PeerFault;

use crate::ids::{GroupId, NodeId};
use crate::network::{CallFault, Inbound};

/// What the application answers its peers. Futures and streams are dropped when nobody waits for them any
/// more: what must go on is to be spawned.
pub trait Service: Send + Sync + 'static {
    /// Answers a request. After `deadline` nobody waits for it.
    ///
    /// [`CallFault::Unreachable`] tells the caller that the request was certainly not executed; any
    /// other fault, that it may have been.
    fn call(
        &self,
        from: NodeId,
        kind: u16,
        payload: Bytes,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallFault>>;

    /// Opens a stream of items, each at most
    /// [`PEER_ITEM_BYTES_MAX`](crate::limits::PEER_ITEM_BYTES_MAX) long. It is polled as its reader reads.
    fn open(
        &self,
        from: NodeId,
        kind: u16,
        payload: Bytes,
    ) -> BoxStream<'static, Result<Bytes, CallFault>>;
}

/// Who takes in joining nodes: one request, one answer, both opaque and at most
/// [`JOIN_PAYLOAD_BYTES_MAX`](pollux_proto::limits::JOIN_PAYLOAD_BYTES_MAX) long. The other side has shown
/// no certificate: the request has to prove its right.
pub trait JoinDesk: Send + Sync + 'static {
    /// Answers a request, or says to people why not.
    fn join(&self, from: SocketAddr, request: Bytes) -> BoxFuture<'static, Result<Bytes, String>>;
}

/// What went over the wire, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerStats {
    /// Frames written.
    pub frames_out: u64,
    /// Writes they went out with: frames share one where they can.
    pub writes_out: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Frames read.
    pub frames_in: u64,
    /// Connections with peers that came to be.
    pub connections: u64,
    /// Nodes that were refused.
    pub refused: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) frames_out: AtomicU64,
    pub(super) writes_out: AtomicU64,
    pub(super) bytes_out: AtomicU64,
    pub(super) frames_in: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl Counts {
    pub(super) fn add(count: &AtomicU64, more: usize) {
        count.fetch_add(more as u64, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> PeerStats {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        PeerStats {
            frames_out: of(&self.frames_out),
            writes_out: of(&self.writes_out),
            bytes_out: of(&self.bytes_out),
            frames_in: of(&self.frames_in),
            connections: of(&self.connections),
            refused: of(&self.refused),
        }
    }
}

/// This node, as its peers may use it.
#[derive(Default)]
pub(super) struct Site {
    pub(super) counts: Counts,
    groups: RwLock<HashMap<GroupId, Arc<dyn Inbound>>>,
    service: RwLock<Option<Arc<dyn Service>>>,
    desk: RwLock<Option<Arc<dyn JoinDesk>>>,
}

fn get<T: Clone>(lock: &RwLock<T>) -> T {
    lock.read().unwrap_or_else(PoisonError::into_inner).clone()
}

fn set<T>(lock: &RwLock<T>, value: T) {
    *lock.write().unwrap_or_else(PoisonError::into_inner) = value;
}

impl Site {
    pub(super) fn group(&self, group: GroupId) -> Option<Arc<dyn Inbound>> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner).get(&group).cloned()
    }

    pub(super) fn attach(&self, group: GroupId, inbound: Option<Arc<dyn Inbound>>) {
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        match inbound {
            Some(inbound) => groups.insert(group, inbound),
            None => groups.remove(&group),
        };
    }

    pub(super) fn service(&self) -> Option<Arc<dyn Service>> {
        get(&self.service)
    }

    pub(super) fn set_service(&self, service: Option<Arc<dyn Service>>) {
        set(&self.service, service);
    }

    pub(super) fn desk(&self) -> Option<Arc<dyn JoinDesk>> {
        get(&self.desk)
    }

    pub(super) fn set_desk(&self, desk: Option<Arc<dyn JoinDesk>>) {
        set(&self.desk, desk);
    }
}

/// A fault as it is told to a peer.
pub(super) const fn fault_out(fault: CallFault) -> PeerFault {
    match fault {
        CallFault::Unreachable => PeerFault::NotTaken,
        CallFault::Timeout => PeerFault::Late,
        CallFault::Failed => PeerFault::Failed,
    }
}

/// A fault as a peer told it.
pub(super) const fn fault_in(fault: PeerFault) -> CallFault {
    match fault {
        PeerFault::NotTaken => CallFault::Unreachable,
        PeerFault::Late => CallFault::Timeout,
        PeerFault::Failed => CallFault::Failed,
    }
}
