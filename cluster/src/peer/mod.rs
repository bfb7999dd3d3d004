//! The network between nodes: [`PeerNetwork`] carries the groups' calls, the application's requests and
//! streams, and joining nodes, over QUIC. Owns connections, queues and their bounds; leaves what is said to
//! groups and to the service, who belongs to the cluster to the meta group, and certificates to the runtime.
//!
//! # Use
//!
//! ```text
//! let network = PeerNetwork::start(PeerOptions { socket, identity, config, tls, .. })?;
//! network.set_service(Some(Arc::new(service)));        // requests and streams of other nodes
//! network.set_join_desk(Some(Arc::new(desk)));         // nodes that want to join
//! network.set_peers(records);                          // whom to connect with: again at each change
//! Group::start(id, node, options, &log, Arc::new(network.clone()), machine)   // it is a `Network`
//! network.call(node, kind, payload, deadline).await    // a request; dropped, it is cancelled there
//! network.open(node, kind, payload).await              // a stream of items; dropped, it ends there
//! network.close().await                                // peers are told
//! pollux_cluster::join(address, ca_fingerprint, request).await    // before there is a certificate
//! ```
//!
//! # Faults of a call
//!
//! [`CallFault::Unreachable`]: certainly not executed: no connection, not written yet when the time was
//! over, or not taken on by the other side. [`CallFault::Timeout`]: unknown; it was written, and no answer
//! came in time or the connection broke. [`CallFault::Failed`]: the other side says that it failed, or a
//! message is too large; it may have been executed in part. See [`CallFault::is_not_executed`].
//!
//! # Connections
//!
//! One for each pair of nodes, whoever dialled it; both keep trying while there is none. Each lane is one
//! stream with one writer, which takes everything that waits and writes it at once. Control goes before
//! entries, those before the application's frames, those before snapshots. A node's certificate names
//! cluster and node; its hello must say the same, and a disk that was set back, a second process with one id,
//! another lineage or configuration are refused with a reason.

mod accept;
mod book;
mod dial;
mod greeting;
mod hub;
mod items;
mod join;
mod link;
mod pending;
mod queue;
mod rate;
mod reader;
mod served;
mod site;
mod tls;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use pollux_proto::peer::{NodeFacts, PeerLane, WIRE_VERSION};
use quinn::{Endpoint, EndpointConfig, TokioRuntime};

pub use book::PeerRecord;
pub use items::Items;
pub use join::{JoinFault, join};
pub use site::{JoinDesk, PeerStats, Service};
pub use tls::{PeerTls, fingerprint, hmac_sha256, sha256};

use crate::fault::Fault;
use crate::identity::{Identity, Uuid};
use crate::ids::{GroupId, NodeId};
use crate::network::{CallFault, Inbound, Lane, Network};
use crate::raft::SnapshotPace;
use hub::Hub;

/// What the network of a node needs to start.
pub struct PeerOptions {
    /// Where peers dial, bound.
    pub socket: UdpSocket,
    /// Who this node is; its start already counted.
    pub identity: Identity,
    /// Fingerprint of what must be configured alike on all nodes of the cluster.
    pub config: u64,
    /// Its certificate, and whom it trusts.
    pub tls: PeerTls,
    /// How fast snapshots leave this node, all of them together.
    pub snapshot_bytes_per_s: u64,
}

/// A node's connections with its peers. Cheap to clone; one for each process.
#[derive(Clone)]
pub struct PeerNetwork {
    hub: Arc<Hub>,
    pace: SnapshotPace,
}

impl PeerNetwork {
    /// Listens. Within a tokio runtime.
    ///
    /// # Errors
    /// [`Fault::Peers`] when the certificates are not what they should be, or do not name this node.
    pub fn start(options: PeerOptions) -> Result<Self, Fault> {
        let PeerOptions { socket, identity, config, tls, snapshot_bytes_per_s } = options;
        let named = tls.chain.first().map(tls::name_of);
        let own = (identity.cluster.0, identity.node.0);
        if named != Some(Ok(own)) {
            return Err(Fault::Peers(format!(
                "the certificate between nodes should name node {} of cluster {}: {named:?}",
                identity.node, identity.cluster
            )));
        }
        let (server, client) = (tls::server_config(&tls)?, tls::client_config(&tls)?);
        let listen = |fault| Fault::io("listen for peers", fault);
        socket.set_nonblocking(true).map_err(listen)?;
        let runtime = Arc::new(TokioRuntime);
        let endpoint = Endpoint::new(EndpointConfig::default(), Some(server), socket, runtime);
        let endpoint = endpoint.map_err(listen)?;
        let facts = NodeFacts {
            wire: WIRE_VERSION,
            cluster: identity.cluster.0,
            lineage: identity.lineage,
            node: identity.node.0,
            node_uuid: identity.node_uuid.0,
            starts: identity.starts,
            instance: rand::random(),
            config,
        };
        let hub = Arc::new(Hub::new(endpoint, facts, client));
        hub.spawn(accept::accept(Arc::clone(&hub)));
        Ok(Self { hub, pace: SnapshotPace::new(snapshot_bytes_per_s) })
    }

    /// This node.
    #[must_use]
    pub fn node(&self) -> NodeId {
        NodeId(self.hub.own.node)
    }

    /// Where peers dial.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> Result<SocketAddr, Fault> {
        self.hub.endpoint.local_addr().map_err(|e| Fault::io("listen for peers", e))
    }

    /// From now on connections are kept with these nodes, and with no others; an entry for this node is
    /// ignored. A connection with a node that is not listed stays until it ends.
    pub fn set_peers(&self, records: BTreeMap<NodeId, PeerRecord>) {
        self.hub.book().set_records(records);
        self.hub.follow_book();
    }

    /// These nodes were removed from the cluster: they are refused, and their connections end.
    pub fn set_removed(&self, removed: BTreeSet<NodeId>) {
        self.hub.book().set_removed(removed);
        self.hub.follow_book();
    }

    /// From now on new connections use this certificate and trust; those there are go on.
    ///
    /// # Errors
    /// As [`PeerNetwork::start`].
    pub fn set_tls(&self, tls: &PeerTls) -> Result<(), Fault> {
        let (server, client) = (tls::server_config(tls)?, tls::client_config(tls)?);
        self.hub.endpoint.set_server_config(Some(server));
        *self.hub.client.write().unwrap_or_else(PoisonError::into_inner) = client;
        Ok(())
    }

    /// Who answers requests and opens streams here; without one they are refused as not executed.
    pub fn set_service(&self, service: Option<Arc<dyn Service>>) {
        self.hub.site.set_service(service);
    }

    /// Who takes in joining nodes here; without one they are refused.
    pub fn set_join_desk(&self, desk: Option<Arc<dyn JoinDesk>>) {
        self.hub.site.set_desk(desk);
    }

    /// Whether there is a connection with a node now. This node is always connected with itself.
    #[must_use]
    pub fn is_connected(&self, node: NodeId) -> bool {
        node == self.node() || self.hub.link(node).is_some()
    }

    /// Why a peer that was dialled last does not take this node for what it says it is, if one does not: its
    /// disk was set back, copied or is another's, or it was removed.
    #[must_use]
    pub fn turned_away(&self) -> Option<String> {
        self.hub.why_turned_away()
    }

    /// The disk and its start that a connected node has shown, for the meta group to remember.
    #[must_use]
    pub fn seen(&self, node: NodeId) -> Option<(Uuid, u64)> {
        let link = self.hub.link(node)?;
        Some((Uuid(link.remote.node_uuid), link.remote.starts))
    }

    /// Counts since the start.
    #[must_use]
    pub fn stats(&self) -> PeerStats {
        self.hub.site.counts.read()
    }

    /// Calls the service of a node, or of this one. Dropped before its end, it is cancelled there.
    ///
    /// # Errors
    /// [`CallFault`], which says whether it may have been executed.
    pub async fn call(
        &self,
        to: NodeId,
        kind: u16,
        payload: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, CallFault> {
        if to == self.node() {
            let service = self.hub.site.service().ok_or(CallFault::Unreachable)?;
            let work = service.call(to, kind, payload, deadline);
            let answer = tokio::time::timeout(deadline, work).await;
            return answer.unwrap_or(Err(CallFault::Timeout));
        }
        let link = self.hub.link(to).ok_or(CallFault::Unreachable)?;
        link.request(kind, payload, deadline).await
    }

    /// Opens a stream of items at the service of a node, or of this one. Dropped, it ends there.
    ///
    /// # Errors
    /// [`CallFault::Unreachable`] when there is no connection. What comes later is told by the stream.
    pub async fn open(&self, to: NodeId, kind: u16, payload: Bytes) -> Result<Items, CallFault> {
        if to == self.node() {
            let service = self.hub.site.service().ok_or(CallFault::Unreachable)?;
            return Ok(Items::local(service.open(to, kind, payload)));
        }
        let link = self.hub.link(to).ok_or(CallFault::Unreachable)?;
        link.open(kind, payload).await
    }

    /// Ends all connections: peers are told. Calls under way end.
    pub async fn close(&self) {
        self.hub.close().await;
    }
}

impl Network for PeerNetwork {
    fn call(
        &self,
        _from: NodeId,
        to: NodeId,
        group: GroupId,
        lane: Lane,
        call: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallFault>> {
        let hub = Arc::clone(&self.hub);
        let lane = match lane {
            Lane::Control => PeerLane::Control,
            Lane::Entries => PeerLane::Entries,
            Lane::Snapshot => PeerLane::Snapshot,
        };
        Box::pin(async move {
            if to.0 == hub.own.node {
                let inbound = hub.site.group(group).ok_or(CallFault::Unreachable)?;
                let answer = tokio::time::timeout(ttl, inbound.answer(call)).await;
                return answer.unwrap_or(Err(CallFault::Timeout));
            }
            let link = hub.link(to).ok_or(CallFault::Unreachable)?;
            link.call(group, lane, call, ttl).await
        })
    }

    fn attach(&self, node: NodeId, group: GroupId, inbound: Option<Arc<dyn Inbound>>) {
        assert_eq!(node, self.node(), "a group of another node is attached to this node's network");
        self.hub.site.attach(group, inbound);
    }

    fn snapshot_pace(&self) -> Option<SnapshotPace> {
        Some(self.pace.clone())
    }
}
