//! This node's end of the network between nodes: its socket, its certificate, and whom it trusts.

use std::net::UdpSocket;

use pollux_cluster::peer::{PeerNetwork, PeerOptions, PeerTls, fingerprint};

use rustls::pki_types::CertificateDer;

use super::book::{self, Book};
use super::meta;
use crate::clock::Clock;
use crate::config::Checked;
use crate::disk::Disk;
use crate::fault::Fault;
use crate::limits::{NODE_CERTIFICATE_DAYS, SOCKET_BUFFER_BYTES};
use crate::pki;

/// The network, and by which fingerprint a joining node knows the cluster.
pub(super) struct Listening {
    pub(super) network: PeerNetwork,
    pub(super) ca_fingerprint: [u8; 32],
    /// What this node shows to others.
    pub(super) shown: CertificateDer<'static>,
}

/// Begins to listen, and to dial those whose addresses were known last.
pub(super) fn listen(
    disk: &Disk,
    config: &Checked,
    clock: Clock,
    known: &Book,
) -> Result<Listening, Fault> {
    let address = config.listen.peers;
    let socket = UdpSocket::bind(address).map_err(|source| Fault::Listen {
        address,
        what: "other nodes",
        flag: "--peers-listen",
        source,
    })?;
    let sizes = socket2::SockRef::from(&socket);
    // What the kernel does not grant costs only a retransmission under a burst.
    let _ = sizes.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = sizes.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    let identity = &disk.identity;
    let now = clock.wall();
    let ca = pki::cluster_authority(&config.data_dir.join(pki::PKI_DIR), now)?;
    let own = ca.issue_node(identity.cluster, identity.node, now, NODE_CERTIFICATE_DAYS)?;
    let tls = PeerTls {
        roots: vec![ca.certificate().clone()],
        chain: own.chain().to_vec(),
        key: own.key().clone_key(),
    };
    let network = PeerNetwork::start(PeerOptions {
        socket,
        identity: identity.clone(),
        config: meta::fingerprint(config),
        tls,
    })?;
    network.set_peers(book::records(known));
    let (ca_fingerprint, shown) = (fingerprint(ca.certificate()), own.chain()[0].clone());
    Ok(Listening { network, ca_fingerprint, shown })
}
