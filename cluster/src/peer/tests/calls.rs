//! Calls and requests: answers, faults, time, cancelling, and coming back after a peer was away.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::Semaphore;

use super::*;

/// Echoes; but for kind 1 waits for ever, and counts what was begun and what was dropped.
#[derive(Default)]
struct Echo {
    begun: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

struct OnDrop(Arc<AtomicUsize>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Service for Echo {
    fn call(
        &self,
        from: NodeId,
        kind: u16,
        payload: Bytes,
        _: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallFault>> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let dropped = OnDrop(Arc::clone(&self.dropped));
        Box::pin(async move {
            match kind {
                0 => Ok(Bytes::from([format!("{from}: ").as_bytes(), &payload].concat())),
                1 => {
                    std::future::pending::<()>().await;
                    drop(dropped);
                    Ok(payload)
                }
                2 => Err(CallFault::Failed),
                _ => Err(CallFault::Unreachable),
            }
        })
    }

    fn open(&self, _: NodeId, _: u16, _: Bytes) -> BoxStream<'static, Result<Bytes, CallFault>> {
        stream::empty().boxed()
    }
}

#[tokio::test]
async fn calls_of_groups_are_answered_both_ways_on_one_connection() {
    let (_ca, one, two) = pair().await;
    for network in [&one, &two] {
        network.attach(network.node(), GROUP, echo());
    }
    for lane in [Lane::Control, Lane::Entries, Lane::Snapshot] {
        assert_eq!(ask(&one, 2, lane, "a").await, Ok(Bytes::from("a")));
        assert_eq!(ask(&two, 1, lane, "b").await, Ok(Bytes::from("b")));
        let large = Bytes::from(vec![7; 3 * 1024 * 1024]);
        assert_eq!(ask(&one, 2, lane, large.clone()).await, Ok(large));
    }
    // To itself without a connection.
    assert_eq!(ask(&one, 1, Lane::Control, "self").await, Ok(Bytes::from("self")));
    assert_eq!(one.stats().connections, 1, "one connection for both directions");
    assert_eq!(two.stats().connections, 1);
    assert_eq!(two.seen(NodeId(1)), Some((Uuid(100), 1)));
    one.close().await;
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_dial_each_other_at_once_keep_one_connection() {
    let ca = Ca::new();
    for _ in 0..10 {
        let (one, two) = (ca.start(identity(1)), ca.start(identity(2)));
        for network in [&one, &two] {
            network.attach(network.node(), GROUP, echo());
        }
        introduce(&[one.clone(), two.clone()]);
        connected(&one, 2).await;
        connected(&two, 1).await;
        until("one connection is left on both sides", || {
            [&one, &two].iter().all(|network| network.hub.endpoint.open_connections() == 1)
        })
        .await;
        assert_eq!(ask(&one, 2, Lane::Control, "a").await, Ok(Bytes::from("a")));
        assert_eq!(ask(&two, 1, Lane::Control, "b").await, Ok(Bytes::from("b")));
        assert!(one.is_connected(NodeId(2)) && two.is_connected(NodeId(1)));
        one.close().await;
        two.close().await;
    }
}

#[tokio::test]
async fn faults_say_what_is_known() {
    let (_ca, one, two) = pair().await;
    // Nobody there for it.
    assert_eq!(ask(&one, 2, Lane::Control, "x").await, Err(CallFault::Unreachable));
    assert_eq!(ask(&one, 3, Lane::Control, "x").await, Err(CallFault::Unreachable));
    let waits = Answering(|_| std::future::pending());
    two.attach(NodeId(2), GROUP, Some(Arc::new(waits)));
    let short = Duration::from_millis(50);
    let late = Network::call(&one, NodeId(1), NodeId(2), GROUP, Lane::Entries, "x".into(), short);
    assert_eq!(late.await, Err(CallFault::Timeout));
    let too_large = Bytes::from(vec![0; crate::limits::PEER_MESSAGE_BYTES_MAX + 1]);
    assert_eq!(ask(&one, 2, Lane::Entries, too_large).await, Err(CallFault::Failed));
    // The peer ends while a call is under way: nobody knows.
    let begun = Arc::new(Semaphore::new(0));
    let tell = Arc::clone(&begun);
    let tells = Answering(move |_| {
        tell.add_permits(1);
        std::future::pending()
    });
    two.attach(NodeId(2), GROUP, Some(Arc::new(tells)));
    let (answer, ()) = tokio::join!(ask(&one, 2, Lane::Entries, "x"), async {
        let _begun = begun.acquire().await.unwrap();
        two.close().await;
    });
    assert_eq!(answer, Err(CallFault::Timeout));
    until("the connection is gone", || !one.is_connected(NodeId(2))).await;
    assert_eq!(ask(&one, 2, Lane::Entries, "x").await, Err(CallFault::Unreachable));
    one.close().await;
}

#[tokio::test]
async fn requests_reach_the_service_and_end_when_nobody_waits() {
    let (_ca, one, two) = pair().await;
    let call = |kind, text: &'static str, time| one.call(NodeId(2), kind, text.into(), time);
    assert_eq!(call(0, "no service yet", LONG).await, Err(CallFault::Unreachable));
    let service = Arc::new(Echo::default());
    two.set_service(Some(service.clone()));
    one.set_service(Some(Arc::new(Echo::default())));
    assert_eq!(call(0, "x", LONG).await, Ok(Bytes::from("1: x")));
    assert_eq!(two.call(NodeId(1), 0, "y".into(), LONG).await, Ok(Bytes::from("2: y")));
    assert_eq!(one.call(NodeId(1), 0, "z".into(), LONG).await, Ok(Bytes::from("1: z")));
    assert_eq!(call(2, "", LONG).await, Err(CallFault::Failed));
    assert_eq!(call(3, "", LONG).await, Err(CallFault::Unreachable));
    let before = service.dropped.load(Ordering::SeqCst);
    // At the deadline both sides end by themselves.
    assert_eq!(call(1, "", Duration::from_millis(50)).await, Err(CallFault::Timeout));
    until("it ended there", || service.dropped.load(Ordering::SeqCst) == before + 1).await;
    // Dropped here, it is cancelled there.
    let begun = service.begun.load(Ordering::SeqCst);
    let waiting = Box::pin(call(1, "", LONG));
    let started = until("it began there", || service.begun.load(Ordering::SeqCst) > begun);
    tokio::select! {
        answer = waiting => panic!("{answer:?}"),
        () = started => {}
    }
    until("it was cancelled", || service.dropped.load(Ordering::SeqCst) == before + 2).await;
    // One that was never polled has not gone out.
    assert!(call(0, "never", LONG).now_or_never().is_none());
    assert_eq!(call(0, "after", LONG).await, Ok(Bytes::from("1: after")));
    one.close().await;
    two.close().await;
}

#[test]
fn a_killed_peer_comes_back_under_a_new_address() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (here, there) = (runtime(), runtime());
    let ca = Ca::new();
    let one = here.block_on(async { ca.start(identity(1)) });
    let start = |runtime: &tokio::runtime::Runtime, starts| {
        runtime.block_on(async {
            let two = ca.start(Identity { starts, ..identity(2) });
            two.attach(NodeId(2), GROUP, echo());
            two.set_peers(BTreeMap::from([(NodeId(1), record(one.address().unwrap()))]));
            two
        })
    };
    let two = start(&there, 1);
    here.block_on(async {
        connected(&one, 2).await;
        assert_eq!(ask(&one, 2, Lane::Control, "x").await, Ok(Bytes::from("x")));
    });
    // Killed: nothing is said. It is back at once, elsewhere, and its first call replaces what the other
    // side still takes for a connection.
    there.shutdown_background();
    drop(two);
    let there = runtime();
    let two = start(&there, 2);
    here.block_on(async {
        until("the new start was seen", || one.seen(NodeId(2)).is_some_and(|s| s.1 == 2)).await;
        assert_eq!(ask(&one, 2, Lane::Control, "y").await, Ok(Bytes::from("y")));
    });
    there.block_on(two.close());
    here.block_on(async {
        until("it is gone", || !one.is_connected(NodeId(2))).await;
        one.close().await;
    });
}
