//! This node's end of the network between nodes: its socket, its certificate, and whom it trusts.

use std::net::UdpSocket;

use pollux_cluster::peer::{PeerNetwork, PeerOptions};

use super::authorities::{self, Authorities};
use super::book::{self, Book};
use super::meta;
use crate::clock::Clock;
use crate::config::Checked;
use crate::disk::Disk;
use crate::fault::Fault;
use crate::limits::SOCKET_BUFFER_BYTES;
use crate::pki::{ClusterCas, PKI_DIR};

/// The network, and the CAs by which nodes know each other.
pub(super) struct Listening {
    pub(super) network: PeerNetwork,
    pub(super) authorities: Authorities,
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
    let cas = ClusterCas::open(&config.data_dir.join(PKI_DIR), clock.wall())?;
    let tls = authorities::tls(&cas, identity, clock)?;
    let shown = tls.chain[0].clone();
    let network = PeerNetwork::start(PeerOptions {
        socket,
        identity: identity.clone(),
        config: meta::fingerprint(config),
        tls,
        snapshot_bytes_per_s: config.raft.snapshot_bytes_per_s,
    })?;
    network.set_peers(book::records(known));
    let authorities = Authorities::new((cas, shown), network.clone(), identity.clone(), clock);
    Ok(Listening { network, authorities })
}
