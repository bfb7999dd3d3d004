//! Nodes without a certificate: what they may ask, and that nothing else is reachable that way.

use std::sync::atomic::{AtomicUsize, Ordering};

use pollux_proto::limits::JOIN_PAYLOAD_BYTES_MAX;
use tokio::sync::Semaphore;

use super::*;
use crate::limits::PEER_JOINS_MAX;

#[derive(Default)]
struct Desk(AtomicUsize);

impl JoinDesk for Desk {
    fn join(&self, _: SocketAddr, request: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            match request.strip_prefix(b"token ") {
                Some(b"large") => Ok(Bytes::from(vec![0; JOIN_PAYLOAD_BYTES_MAX + 1])),
                Some(name) => Ok(Bytes::from([b"welcome ", name].concat())),
                None => Err("the token is not known; ask for a new one".into()),
            }
        })
    }
}

#[tokio::test]
async fn a_node_joins_by_a_token_and_the_fingerprint_of_the_ca() {
    let ca = Ca::new();
    let one = ca.start(identity(1));
    let (at, pin) = (one.address().unwrap(), fingerprint(&ca.certificate));
    let refused = join(at, pin, "token a".into()).await.unwrap_err();
    assert_eq!(refused, JoinFault::Refused("this node takes in nobody now".into()));
    let desk = Arc::new(Desk::default());
    one.set_join_desk(Some(desk.clone()));
    assert_eq!(join(at, pin, "token a".into()).await, Ok(Bytes::from("welcome a")));
    let refused = join(at, pin, "x".into()).await.unwrap_err();
    assert_eq!(refused, JoinFault::Refused("the token is not known; ask for a new one".into()));
    let refused = join(at, pin, "token large".into()).await.unwrap_err();
    assert_eq!(refused, JoinFault::Refused("the node failed over it".into()));
    let asked = desk.0.load(Ordering::SeqCst);
    // Another cluster is there: nothing is told to it.
    let other = fingerprint(&Ca::new().certificate);
    let unknown = join(at, other, "token a".into()).await.unwrap_err();
    assert!(matches!(&unknown, JoinFault::Unreachable(_)), "{unknown}");
    let too_large = Bytes::from(vec![0; JOIN_PAYLOAD_BYTES_MAX + 1]);
    let refused = join(at, pin, too_large).await.unwrap_err();
    assert!(matches!(&refused, JoinFault::Unreachable(_)), "{refused}");
    assert_eq!(desk.0.load(Ordering::SeqCst), asked);
    one.close().await;
}

/// A desk that says nothing before it may.
struct Slow(Arc<Semaphore>);

impl JoinDesk for Slow {
    fn join(&self, _: SocketAddr, request: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let may = Arc::clone(&self.0);
        Box::pin(async move {
            let _may = may.acquire().await.map_err(|fault| fault.to_string())?;
            Ok(request)
        })
    }
}

#[tokio::test]
async fn few_nodes_join_at_once() {
    let ca = Ca::new();
    let one = ca.start(identity(1));
    let may = Arc::new(Semaphore::new(0));
    one.set_join_desk(Some(Arc::new(Slow(Arc::clone(&may)))));
    let (at, pin) = (one.address().unwrap(), fingerprint(&ca.certificate));
    let first: Vec<_> =
        (0..PEER_JOINS_MAX).map(|_| tokio::spawn(join(at, pin, "token".into()))).collect();
    until("all places are taken", || one.hub.joins.available_permits() == 0).await;
    let refused = join(at, pin, "token".into()).await.unwrap_err();
    assert!(matches!(&refused, JoinFault::Refused(why) if why.contains("come back")), "{refused}");
    may.add_permits(1_000);
    for joining in first {
        assert_eq!(joining.await.unwrap(), Ok(Bytes::from("token")));
    }
    one.close().await;
}
