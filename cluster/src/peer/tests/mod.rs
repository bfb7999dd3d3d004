//! The network between nodes over real QUIC on loopback. Owns a small cluster of networks in one process;
//! each file below tries one side of them.

mod calls;
mod groups;
mod joining;
mod lanes;
mod strangers;
mod streams;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::*;
use crate::identity::{Identity, Standing, Uuid};

const CLUSTER: Uuid = Uuid(0x77);

/// A cluster's CA.
struct Ca {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let certificate = params.self_signed(&key).unwrap();
        let certificate: CertificateDer<'static> = certificate.into();
        let issuer = Issuer::from_ca_cert_der(&certificate, key).unwrap();
        Self { certificate, issuer }
    }

    /// What a node with this name gets.
    fn tls(&self, cluster: Uuid, node: u64) -> PeerTls {
        let uri = pollux_proto::peer::node_uri(cluster.0, node);
        self.tls_named(vec![SanType::URI(uri.as_str().try_into().unwrap())])
    }

    fn tls_named(&self, names: Vec<SanType>) -> PeerTls {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        PeerTls {
            roots: vec![self.certificate.clone()],
            chain: vec![certificate.into(), self.certificate.clone()],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        }
    }

    fn options(&self, identity: Identity) -> PeerOptions {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tls = self.tls(identity.cluster, identity.node.0);
        PeerOptions { socket, identity, config: 5, tls, snapshot_bytes_per_s: 1 << 30 }
    }

    fn start(&self, identity: Identity) -> PeerNetwork {
        PeerNetwork::start(self.options(identity)).unwrap()
    }
}

fn identity(node: u64) -> Identity {
    let node_uuid = Uuid(u128::from(node) * 100);
    let standing = Standing::Member;
    let node = NodeId(node);
    Identity { cluster: CLUSTER, node_uuid, node, lineage: 1, shards: 16, starts: 1, standing }
}

fn record(address: SocketAddr) -> PeerRecord {
    PeerRecord { addresses: vec![address.to_string()], ..PeerRecord::default() }
}

/// Tells all of each other.
fn introduce(networks: &[PeerNetwork]) {
    let records: BTreeMap<_, _> =
        networks.iter().map(|n| (n.node(), record(n.address().unwrap()))).collect();
    for network in networks {
        network.set_peers(records.clone());
    }
}

/// Waits until something holds; far longer than it takes, so that a busy machine does not matter.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..3_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

async fn connected(network: &PeerNetwork, node: u64) {
    let what = format!("{} connected with {node}", network.node());
    until(&what, || network.is_connected(NodeId(node))).await;
}

/// Two nodes that know each other. One of them dials, so that there is one connection from the start.
async fn pair() -> (Ca, PeerNetwork, PeerNetwork) {
    let ca = Ca::new();
    let (one, two) = (ca.start(identity(1)), ca.start(identity(2)));
    let at = |network: &PeerNetwork| {
        BTreeMap::from([(network.node(), record(network.address().unwrap()))])
    };
    one.set_peers(at(&two));
    connected(&one, 2).await;
    connected(&two, 1).await;
    two.set_peers(at(&one));
    (ca, one, two)
}

/// A group that answers by a function.
struct Answering<F>(F);

impl<F, A> Inbound for Answering<F>
where
    F: Fn(Bytes) -> A + Send + Sync + 'static,
    A: Future<Output = Result<Bytes, CallFault>> + Send + 'static,
{
    fn answer(&self, call: Bytes) -> BoxFuture<'static, Result<Bytes, CallFault>> {
        Box::pin((self.0)(call))
    }
}

fn echo() -> Option<Arc<dyn Inbound>> {
    Some(Arc::new(Answering(|call| async move { Ok(call) })))
}

const LONG: Duration = Duration::from_secs(30);
const GROUP: GroupId = GroupId(1);

async fn ask(
    network: &PeerNetwork,
    to: u64,
    lane: Lane,
    call: impl Into<Bytes>,
) -> Result<Bytes, CallFault> {
    let from = network.node();
    Network::call(network, from, NodeId(to), GROUP, lane, call.into(), LONG).await
}
