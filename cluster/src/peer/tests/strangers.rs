//! Who is not let in, and that those who are notice nothing of it.

use pollux_proto::device::encode;
use pollux_proto::peer::{Greeting, PeerLane, PeerRefusal};
use quinn::Connection;

use super::*;
use crate::peer::{greeting, tls};

/// Dials with a certificate, without the rules of the house.
async fn dial(one: &PeerNetwork, tls: &PeerTls) -> (Endpoint, Result<Connection, String>) {
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let config = tls::client_config(tls).unwrap();
    let at = one.address().unwrap();
    let connecting = endpoint.connect_with(config, at, tls::SERVER_NAME).unwrap();
    let connection = connecting.await.map_err(|fault| fault.to_string());
    (endpoint, connection)
}

fn facts(node: u64) -> NodeFacts {
    NodeFacts {
        wire: WIRE_VERSION,
        cluster: CLUSTER.0,
        lineage: 1,
        node,
        node_uuid: u128::from(node) * 100,
        starts: 1,
        instance: 1,
        config: 5,
    }
}

/// What a hello is answered by.
async fn hello(one: &PeerNetwork, tls: &PeerTls, facts: NodeFacts) -> Greeting {
    let (_endpoint, connection) = dial(one, tls).await;
    let (mut send, mut recv) = connection.unwrap().open_bi().await.unwrap();
    greeting::write(&mut send, &Greeting::Hello(facts)).await.unwrap();
    greeting::read(&mut recv).await.unwrap()
}

async fn refused(one: &PeerNetwork, tls: &PeerTls, facts: NodeFacts, expected: PeerRefusal) {
    match hello(one, tls, facts).await {
        Greeting::Refused { reason, message } => assert_eq!(reason, expected, "{message}"),
        other => panic!("{other:?}, not {expected:?}"),
    }
}

#[tokio::test]
async fn a_hello_that_does_not_fit_is_refused_with_the_reason() {
    let (ca, one, two) = pair().await;
    one.attach(NodeId(1), GROUP, echo());
    let three = ca.tls(CLUSTER, 3);
    use PeerRefusal as R;
    refused(&one, &three, facts(2), R::NotYou).await;
    refused(&one, &three, NodeFacts { cluster: 9, ..facts(3) }, R::NotYou).await;
    let elsewhere = ca.tls(Uuid(9), 3);
    refused(&one, &elsewhere, NodeFacts { cluster: 9, ..facts(3) }, R::OtherCluster).await;
    refused(&one, &three, NodeFacts { lineage: 2, ..facts(3) }, R::OtherLineage).await;
    refused(&one, &three, NodeFacts { config: 6, ..facts(3) }, R::OtherConfig).await;
    refused(&one, &three, NodeFacts { wire: 0, ..facts(3) }, R::Version).await;
    // A copy of node 2, started later, while node 2 is there; and one that was set back.
    let copy = ca.tls(CLUSTER, 2);
    refused(&one, &copy, NodeFacts { starts: 2, ..facts(2) }, R::SecondNode).await;
    assert!(one.is_connected(NodeId(2)), "node 2 is not disturbed");
    refused(&one, &copy, facts(2), R::SecondNode).await;
    assert_eq!(ask(&two, 1, Lane::Control, "x").await, Ok(Bytes::from("x")));
    two.close().await;
    until("node 2 is gone", || !one.is_connected(NodeId(2))).await;
    refused(&one, &copy, facts(2), R::SecondNode).await;
    refused(&one, &copy, NodeFacts { node_uuid: 1, starts: 9, ..facts(2) }, R::OldDisk).await;
    let next = hello(&one, &copy, NodeFacts { starts: 2, ..facts(2) }).await;
    assert!(matches!(next, Greeting::Welcome(_)), "{next:?}");
    refused(&one, &copy, facts(2), R::OldDisk).await;
    one.set_removed(BTreeSet::from([NodeId(3)]));
    refused(&one, &three, facts(3), R::Removed).await;
    one.close().await;
}

#[tokio::test]
async fn certificates_of_others_do_not_pass_the_handshake() {
    let (ca, one, two) = pair().await;
    let other = Ca::new();
    // Neither side takes the other's: the dialled one's first, then the dialling one's.
    let (_endpoint, connection) = dial(&one, &other.tls(CLUSTER, 2)).await;
    connection.unwrap_err();
    let mut mixed = other.tls(CLUSTER, 3);
    mixed.roots = vec![ca.certificate.clone()];
    let before = one.stats().refused;
    let (_endpoint, connection) = dial(&one, &mixed).await;
    if let Ok(connection) = connection {
        connection.closed().await;
    }
    until("it was refused", || one.stats().refused > before).await;
    // Of the right CA, but for something else.
    let before = one.stats().refused;
    let (_endpoint, connection) = dial(&one, &ca.tls_named(vec![])).await;
    connection.unwrap().closed().await;
    until("it was refused", || one.stats().refused > before).await;
    // A node of this name is not started with the certificate of another.
    let wrong = PeerOptions { tls: ca.tls(CLUSTER, 4), ..ca.options(identity(3)) };
    let fault = PeerNetwork::start(wrong).err().unwrap().to_string();
    assert!(fault.contains("should name node 3"), "{fault}");
    assert!(one.is_connected(NodeId(2)) && two.is_connected(NodeId(1)));
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn no_certificate_reaches_nothing_but_the_desk() {
    let (ca, one, two) = pair().await;
    let pin = fingerprint(&ca.certificate);
    // With the peers' protocol, but without a certificate.
    let mut config = tls::join_config(pin).unwrap();
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let at = one.address().unwrap();
    let joining = endpoint.connect_with(config.clone(), at, tls::SERVER_NAME).unwrap();
    let joining = joining.await.unwrap();
    let (mut send, _recv) = joining.open_bi().await.unwrap();
    greeting::write(&mut send, &Greeting::Hello(facts(3))).await.unwrap();
    joining.closed().await;
    config = tls::anonymous_config(pin, pollux_proto::peer::ALPN).unwrap();
    let before = one.stats().refused;
    let peer = endpoint.connect_with(config, at, tls::SERVER_NAME).unwrap().await;
    if let Ok(peer) = peer {
        peer.closed().await;
    }
    until("it was refused", || one.stats().refused > before).await;
    assert!(!one.is_connected(NodeId(3)));
    assert!(one.is_connected(NodeId(2)) && two.is_connected(NodeId(1)));
    one.close().await;
    two.close().await;
}

/// A node of the cluster that says `bytes` on a lane after a good greeting.
async fn says(one: &PeerNetwork, tls: &PeerTls, starts: u64, lane: PeerLane, bytes: &[u8]) {
    let (_endpoint, connection) = dial(one, tls).await;
    let connection = connection.unwrap();
    let facts = NodeFacts { starts, ..facts(3) };
    let mut sends = Vec::new();
    for of in PeerLane::ALL {
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        if of == PeerLane::Control {
            greeting::write(&mut send, &Greeting::Hello(facts)).await.unwrap();
            let answer: Greeting = greeting::read(&mut recv).await.unwrap();
            assert!(matches!(answer, Greeting::Welcome(_)), "{answer:?}");
        } else {
            greeting::write(&mut send, &Greeting::Lane(of)).await.unwrap();
        }
        sends.push((send, recv));
    }
    connected(one, 3).await;
    sends[lane as usize].0.write_all(bytes).await.unwrap();
    connection.closed().await;
    until("it is gone", || !one.is_connected(NodeId(3))).await;
}

#[tokio::test]
async fn garbage_ends_the_connection_it_came_on_and_no_other() {
    let (ca, one, two) = pair().await;
    one.attach(NodeId(1), GROUP, echo());
    let before = two.stats().connections;
    let three = ca.tls(CLUSTER, 3);
    // Before the greeting: no frame, a huge length, another frame.
    let mut welcome = bytes::BytesMut::new();
    encode(&Greeting::Welcome(facts(3)), &mut welcome).unwrap();
    for bytes in [&[8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8][..], &[0xff; 64], &welcome] {
        let refused = one.stats().refused;
        let (_endpoint, connection) = dial(&one, &three).await;
        let connection = connection.unwrap();
        let (mut send, _recv) = connection.open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        connection.closed().await;
        until("it was refused", || one.stats().refused > refused).await;
    }
    // After it: huge lengths, no frames, frames that do not belong there, items nobody granted.
    let frame = |head, payload: &'static [u8]| {
        let mut out = bytes::BytesMut::new();
        let frame = pollux_proto::peer::PeerFrame { head, payload: Bytes::from(payload) };
        pollux_proto::peer::encode_peer(&frame, &mut out).unwrap();
        out.to_vec()
    };
    use pollux_proto::peer::PeerHead as H;
    let call = frame(H::Call { id: 1, group: 1, ttl_ms: 1 }, b"x");
    let request = frame(H::Request { id: 1, kind: 1, deadline_ms: 1 }, b"x");
    let cases = [
        (PeerLane::Control, vec![0xff; 6]),
        (PeerLane::Entries, vec![0, 0, 0, 1, 0xff, 0xff]),
        (PeerLane::Snapshot, vec![0, 0, 0, 0, 4, 0, 1, 2, 3, 4]),
        (PeerLane::Application, call),
        (PeerLane::Control, request),
    ];
    for (starts, (lane, bytes)) in (1..).zip(cases) {
        says(&one, &three, starts, lane, &bytes).await;
        assert_eq!(ask(&two, 1, Lane::Control, "x").await, Ok(Bytes::from("x")));
    }
    assert_eq!(two.stats().connections, before, "the other node kept its connection");
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn a_new_ca_takes_over_without_a_gap() {
    let (old, one, two) = pair().await;
    let new = Ca::new();
    // First both trust both, then both show the new one's, then the old one is trusted no more.
    let both = vec![old.certificate.clone(), new.certificate.clone()];
    for (network, node) in [(&one, 1), (&two, 2)] {
        network.set_tls(&PeerTls { roots: both.clone(), ..old.tls(CLUSTER, node) }).unwrap();
    }
    for (network, node) in [(&one, 1), (&two, 2)] {
        network.set_tls(&PeerTls { roots: both.clone(), ..new.tls(CLUSTER, node) }).unwrap();
    }
    assert!(one.is_connected(NodeId(2)), "connections that are there go on");
    one.set_tls(&new.tls(CLUSTER, 1)).unwrap();
    let (_endpoint, connection) = dial(&one, &old.tls(CLUSTER, 3)).await;
    connection.unwrap_err();
    let answer = hello(&one, &new.tls(CLUSTER, 3), facts(3)).await;
    assert!(matches!(answer, Greeting::Welcome(_)), "{answer:?}");
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn a_removed_node_is_cut_off() {
    let (_ca, one, two) = pair().await;
    one.set_removed(BTreeSet::from([NodeId(2)]));
    until("it is cut off", || !one.is_connected(NodeId(2))).await;
    let refused = one.stats().refused;
    until("it tries again, and is refused", || one.stats().refused > refused).await;
    assert!(!one.is_connected(NodeId(2)));
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn only_so_many_strangers_are_greeted_at_once() {
    let (ca, one, two) = pair().await;
    let three = ca.tls(CLUSTER, 3);
    // They connect and say nothing, and are sent away in time.
    let mut silent = Vec::new();
    for _ in 0..crate::limits::PEER_GREETINGS_MAX + 8 {
        silent.push(dial(&one, &three).await);
    }
    let refused = silent.iter().filter(|(_, connection)| connection.is_err()).count();
    assert!(refused >= 1, "all of {} were greeted", silent.len());
    one.attach(NodeId(1), GROUP, echo());
    assert_eq!(ask(&two, 1, Lane::Control, "x").await, Ok(Bytes::from("x")));
    for (_endpoint, connection) in &silent {
        if let Ok(connection) = connection {
            connection.closed().await;
        }
    }
    let answer = hello(&one, &three, facts(3)).await;
    assert!(matches!(answer, Greeting::Welcome(_)), "{answer:?}");
    one.close().await;
    two.close().await;
}
