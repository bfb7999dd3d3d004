//! One connection with a peer, once both have greeted. Owns its queues, its calls under way and its end;
//! leaves the streams to `writer` and `reader`, and who connects to `dial` and `accept`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pollux_proto::peer::{NodeFacts, PeerHead, PeerLane};
use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use super::items::{Inbox, Items};
use super::pending::{Pending, Waiting};
use super::queue::Queue;
use super::served::{Served, lane_room};
use super::site::Site;
use super::{reader, writer};
use crate::ids::{GroupId, NodeId};
use crate::limits::{
    PEER_LANE_QUEUE_BYTES_MAX, PEER_LANE_SERVED_BYTES_MAX, PEER_MESSAGE_BYTES_MAX, PEER_PROBE_MS,
    PEER_STREAM_CREDIT_BYTES,
};
use crate::network::CallFault;

/// Why a connection between nodes is closed; part of the wire, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum CloseCode {
    /// The node stops.
    Stopping = 0,
    /// The other side was refused; the greeting says why.
    Refused = 1,
    /// A newer connection takes its place.
    Replaced = 2,
    /// It was one too many: both had dialled.
    Duplicate = 3,
    /// No greeting in time.
    Late = 4,
    /// The other side reads too slowly for what it asks.
    Flooded = 5,
    /// What came is not of this protocol.
    Malformed = 16,
}

/// A connection with a peer.
pub(super) struct Link {
    pub(super) connection: Connection,
    /// The other side.
    pub(super) remote: NodeFacts,
    pub(super) dialled_by: NodeId,
    /// When it came to be, by the node's clock.
    pub(super) since: Duration,
    pub(super) site: Arc<Site>,
    pub(super) pending: Pending,
    pub(super) served: Served,
    /// In the order of [`PeerLane::ALL`].
    queues: [Queue; 4],
    rooms: [Arc<Semaphore>; 4],
}

/// The two ends of each lane, in the order of [`PeerLane::ALL`].
pub(super) type Lanes = Vec<(SendStream, RecvStream)>;

/// How urgent a lane's bytes are among those of a connection.
pub(super) const fn priority(lane: PeerLane) -> i32 {
    match lane {
        PeerLane::Control => 3,
        PeerLane::Entries => 2,
        PeerLane::Application => 1,
        PeerLane::Snapshot => 0,
    }
}

impl Link {
    pub(super) fn new(
        connection: Connection,
        remote: NodeFacts,
        dialled_by: NodeId,
        since: Duration,
        site: Arc<Site>,
    ) -> Arc<Self> {
        Arc::new(Self {
            connection,
            remote,
            dialled_by,
            since,
            site,
            pending: Pending::default(),
            served: Served::default(),
            queues: PEER_LANE_QUEUE_BYTES_MAX.map(Queue::new),
            rooms: PEER_LANE_SERVED_BYTES_MAX.map(lane_room),
        })
    }

    /// Carries the lanes until the connection ends.
    pub(super) async fn run(self: Arc<Self>, lanes: Lanes) {
        let mut tasks = JoinSet::new();
        for (lane, (send, recv)) in PeerLane::ALL.into_iter().zip(lanes) {
            tasks.spawn(writer::write(Arc::clone(&self), lane, send));
            tasks.spawn(reader::read(Arc::clone(&self), lane, recv));
        }
        tokio::select! {
            reason = self.connection.closed() => {
                tracing::debug!(peer = %self.peer(), %reason, "connection ended");
            }
            _ = tasks.join_next() => {}
        }
        self.end();
        tasks.shutdown().await;
    }

    /// Ends the connection and whatever waits for something on it.
    pub(super) fn end(&self) {
        self.close(CloseCode::Stopping, b"");
        for queue in &self.queues {
            queue.close();
        }
        self.pending.close();
        self.served.close();
    }

    /// Who is on the other side.
    pub(super) const fn peer(&self) -> NodeId {
        NodeId(self.remote.node)
    }

    pub(super) fn is_open(&self) -> bool {
        self.connection.close_reason().is_none()
    }

    /// Ends the connection, if it has not ended for another reason before.
    pub(super) fn close(&self, code: CloseCode, reason: &[u8]) {
        self.connection.close((code as u32).into(), reason);
    }

    /// Whether the other side still answers on this connection.
    pub(super) async fn answers(&self) -> bool {
        let before = self.connection.stats().udp_rx.datagrams;
        // Nothing has this number: the frame says nothing, but its packet is acknowledged.
        self.say(PeerHead::Cancel { id: u64::MAX });
        tokio::time::sleep(Duration::from_millis(PEER_PROBE_MS)).await;
        self.is_open() && self.connection.stats().udp_rx.datagrams > before
    }

    pub(super) fn queue(&self, lane: PeerLane) -> &Queue {
        &self.queues[lane as usize]
    }

    pub(super) fn room(&self, lane: PeerLane) -> &Arc<Semaphore> {
        &self.rooms[lane as usize]
    }

    /// Says something small of the application that must not wait.
    pub(super) fn say(&self, head: PeerHead) {
        self.say_on(PeerLane::Application, head);
    }

    /// Says something small that must not wait.
    pub(super) fn say_on(&self, lane: PeerLane, head: PeerHead) {
        if self.queue(lane).push_now(head).is_err() {
            tracing::warn!(peer = %self.peer(), ?lane, "closing: the peer asks and does not read");
            self.close(CloseCode::Flooded, b"asks and does not read");
        }
    }

    /// Nobody waits for a call any more.
    pub(super) fn give_up(&self, id: u64) {
        if self.pending.give_up(id) == Some(true) {
            self.say(PeerHead::Cancel { id });
        }
    }

    /// Calls the peer's replica of a group.
    pub(super) async fn call(
        &self,
        group: GroupId,
        lane: PeerLane,
        payload: Bytes,
        ttl: Duration,
    ) -> Result<Bytes, CallFault> {
        let head = |id| PeerHead::Call { id, group: group.0, ttl_ms: millis(ttl) };
        self.ask(lane, head, payload, ttl).await
    }

    /// Calls the peer's service.
    pub(super) async fn request(
        &self,
        kind: u16,
        payload: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, CallFault> {
        let head = |id| PeerHead::Request { id, kind, deadline_ms: millis(deadline) };
        self.ask(PeerLane::Application, head, payload, deadline).await
    }

    async fn ask(
        &self,
        lane: PeerLane,
        head: impl FnOnce(u64) -> PeerHead,
        payload: Bytes,
        ttl: Duration,
    ) -> Result<Bytes, CallFault> {
        if payload.len() > PEER_MESSAGE_BYTES_MAX {
            tracing::error!(bytes = payload.len(), "a call to a peer is too large");
            return Err(CallFault::Failed);
        }
        let (caller, answer) = oneshot::channel();
        let id = self.pending.register(Waiting::Answer(caller)).ok_or(CallFault::Unreachable)?;
        let mut asked = Asked { link: self, id, cancel: lane == PeerLane::Application };
        let asking = async {
            let queued = self.queue(lane).push(head(id), payload).await;
            queued.map_err(|_| CallFault::Unreachable)?;
            answer.await.unwrap_or(Err(CallFault::Timeout))
        };
        match tokio::time::timeout(ttl, asking).await {
            Ok(answer) => answer,
            Err(_) => Err(asked.too_late()),
        }
    }

    /// Opens a stream of items.
    pub(super) async fn open(
        self: &Arc<Self>,
        kind: u16,
        payload: Bytes,
    ) -> Result<Items, CallFault> {
        if payload.len() > PEER_MESSAGE_BYTES_MAX {
            tracing::error!(bytes = payload.len(), "a call to a peer is too large");
            return Err(CallFault::Failed);
        }
        let inbox = Arc::new(Inbox::new());
        let waiting = Waiting::Items(Arc::clone(&inbox));
        let id = self.pending.register(waiting).ok_or(CallFault::Unreachable)?;
        let items = Items::remote(Arc::clone(self), id, inbox);
        let head = PeerHead::Open { id, kind, credit: PEER_STREAM_CREDIT_BYTES };
        let queued = self.queue(PeerLane::Application).push(head, payload).await;
        queued.map(|()| items).map_err(|_| CallFault::Unreachable)
    }
}

/// A call under way; dropped, it is given up.
struct Asked<'a> {
    link: &'a Link,
    id: u64,
    cancel: bool,
}

impl Asked<'_> {
    /// The time is over: what that means.
    fn too_late(&mut self) -> CallFault {
        match self.link.pending.give_up(self.id) {
            Some(false) => CallFault::Unreachable,
            // The other side knows the time as well, and ends by itself.
            Some(true) | None => CallFault::Timeout,
        }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if self.cancel {
            self.link.give_up(self.id);
        } else {
            self.link.pending.give_up(self.id);
        }
    }
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
