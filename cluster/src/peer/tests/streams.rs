//! Streams of items: order, end, faults, the credit that bounds them, and what a dropped one does.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::stream::{self, BoxStream, StreamExt};

use super::*;
use crate::limits::{PEER_FRAME_COST_BYTES, PEER_ITEM_BYTES_MAX, PEER_STREAM_CREDIT_BYTES};

/// Streams of numbered items; counts those made, and the streams that ended.
#[derive(Clone, Default)]
struct Numbers {
    made: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

struct OnDrop(Arc<AtomicUsize>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

const ENDLESS: u16 = 0;
const THREE: u16 = 1;
const FAULT: u16 = 2;
const LARGE: u16 = 3;
/// Bytes of an item of the endless stream.
const ITEM: usize = 1_000;

impl Service for Numbers {
    fn call(
        &self,
        _: NodeId,
        _: u16,
        payload: Bytes,
        _: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallFault>> {
        Box::pin(async move { Ok(payload) })
    }

    fn open(
        &self,
        _: NodeId,
        kind: u16,
        payload: Bytes,
    ) -> BoxStream<'static, Result<Bytes, CallFault>> {
        let three = stream::iter(0..3).map(move |n| Ok(Bytes::from(format!("{payload:?} {n}"))));
        match kind {
            THREE => three.boxed(),
            FAULT => three.chain(stream::iter([Err(CallFault::Failed)])).boxed(),
            LARGE => stream::iter([PEER_ITEM_BYTES_MAX, PEER_ITEM_BYTES_MAX + 1])
                .map(|bytes| Ok(Bytes::from(vec![1; bytes])))
                .boxed(),
            _ => {
                let made = Arc::clone(&self.made);
                let dropped = OnDrop(Arc::clone(&self.dropped));
                stream::iter(0_u64..)
                    .map(move |n| {
                        let _owned = &dropped;
                        made.fetch_add(1, Ordering::SeqCst);
                        let mut item = vec![0; ITEM];
                        item[..8].copy_from_slice(&n.to_le_bytes());
                        Ok(Bytes::from(item))
                    })
                    .boxed()
            }
        }
    }
}

#[tokio::test]
async fn items_come_in_order_and_the_end_is_told() {
    let (_ca, one, two) = pair().await;
    let open = |kind| one.open(NodeId(2), kind, "w".into());
    let none: Vec<_> = open(THREE).await.unwrap().collect().await;
    assert_eq!(none, [Err(CallFault::Unreachable)], "there is no service yet");
    two.set_service(Some(Arc::new(Numbers::default())));
    one.set_service(Some(Arc::new(Numbers::default())));
    let want = ["b\"w\" 0", "b\"w\" 1", "b\"w\" 2"].map(|text| Ok(Bytes::from(text)));
    assert_eq!(open(THREE).await.unwrap().collect::<Vec<_>>().await, want);
    let local = one.open(NodeId(1), THREE, "w".into()).await.unwrap();
    assert_eq!(local.collect::<Vec<_>>().await, want);
    let fault: Vec<_> = open(FAULT).await.unwrap().collect().await;
    assert_eq!(fault[..3], want);
    assert_eq!(fault[3..], [Err(CallFault::Failed)]);
    // The largest item passes, a larger one is the service's fault.
    let large: Vec<_> = open(LARGE).await.unwrap().collect().await;
    assert_eq!(large.len(), 2);
    assert_eq!(large[0].as_ref().map(Bytes::len), Ok(PEER_ITEM_BYTES_MAX));
    assert_eq!(large[1], Err(CallFault::Failed));
    assert!(matches!(one.open(NodeId(3), THREE, "".into()).await, Err(CallFault::Unreachable)));
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn a_slow_reader_holds_up_its_own_stream_only() {
    let (_ca, one, two) = pair().await;
    let numbers = Numbers::default();
    two.set_service(Some(Arc::new(numbers.clone())));
    two.attach(NodeId(2), GROUP, echo());
    let mut slow = one.open(NodeId(2), ENDLESS, Bytes::new()).await.unwrap();
    let most = PEER_STREAM_CREDIT_BYTES as usize / (ITEM + PEER_FRAME_COST_BYTES) + 2;
    until("the credit is used up", || numbers.made.load(Ordering::SeqCst) >= most).await;
    // Everything else goes on: calls, and another stream, which is read far beyond the first one.
    for n in 0..100 {
        assert!(ask(&one, 2, Lane::Control, format!("{n}")).await.is_ok());
        assert!(one.call(NodeId(2), 0, "x".into(), LONG).await.is_ok());
    }
    assert_eq!(numbers.made.load(Ordering::SeqCst), most, "no item beyond the credit was made");
    let fast = one.open(NodeId(2), ENDLESS, Bytes::new()).await.unwrap();
    let numbered =
        |item: Result<Bytes, CallFault>| u64::from_le_bytes(item.unwrap()[..8].try_into().unwrap());
    let read: Vec<_> = fast.take(5 * most).map(numbered).collect().await;
    let want: Vec<_> = (0..5 * most as u64).collect();
    assert_eq!(read, want);
    until("the dropped stream ended there", || numbers.dropped.load(Ordering::SeqCst) == 1).await;
    // The slow one has lost nothing.
    for n in 0..2 * most as u64 {
        assert_eq!(numbered(slow.next().await.unwrap()), n);
    }
    // Its peer ends: so does the stream, with a fault.
    two.close().await;
    let rest: Vec<_> = slow.collect().await;
    assert_eq!(rest.last(), Some(&Err(CallFault::Timeout)));
    one.close().await;
}
