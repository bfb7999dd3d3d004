//! What is bulky does not delay what is urgent, and many small frames share a write.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;

use super::*;

/// Snapshots flood one lane in both directions, as fast as they are taken. Meanwhile hundreds of
/// heartbeats are answered one after the other; if a heartbeat had to wait for what was queued before it,
/// each would wait for a whole queue of pieces, and far more pieces would pass than there are heartbeats.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_snapshots_does_not_delay_heartbeats() {
    const HEARTBEATS: usize = 200;
    const FLOOD: usize = 16;
    let (_ca, one, two) = pair().await;
    let pieces = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&pieces);
    let takes = Answering(move |call: Bytes| {
        if call.len() > 1_000 {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        async move { Ok(call.slice(..call.len().min(10))) }
    });
    two.attach(NodeId(2), GROUP, Some(Arc::new(takes)));
    let flood: Vec<_> = (0..FLOOD)
        .map(|_| {
            let one = one.clone();
            tokio::spawn(async move {
                let piece = Bytes::from(vec![3; 1024 * 1024]);
                while ask(&one, 2, Lane::Snapshot, piece.clone()).await.is_ok() {}
            })
        })
        .collect();
    until("the flood has begun", || pieces.load(Ordering::SeqCst) > 2 * FLOOD).await;
    let before = pieces.load(Ordering::SeqCst);
    for n in 0..HEARTBEATS {
        let answer = ask(&one, 2, Lane::Control, format!("{n}")).await;
        assert_eq!(answer, Ok(Bytes::from(format!("{n}"))));
    }
    let passed = pieces.load(Ordering::SeqCst) - before;
    assert!(
        passed < HEARTBEATS * FLOOD / 4,
        "{passed} pieces passed {HEARTBEATS} heartbeats: they waited behind the {FLOOD} queued ones"
    );
    one.close().await;
    two.close().await;
    for task in flood {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn what_waits_together_is_written_together() {
    let (_ca, one, two) = pair().await;
    two.attach(NodeId(2), GROUP, echo());
    let before = one.stats();
    let calls = (0..500).map(|n| ask(&one, 2, Lane::Control, format!("{n}")));
    for answer in join_all(calls).await {
        answer.unwrap();
    }
    let after = one.stats();
    assert_eq!(after.frames_out - before.frames_out, 500);
    let writes = after.writes_out - before.writes_out;
    assert!(writes < 50, "500 frames that waited together took {writes} writes");
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn a_full_entries_lane_lets_control_through() {
    let (_ca, one, two) = pair().await;
    let stuck = Arc::new(tokio::sync::Semaphore::new(0));
    let gate = Arc::clone(&stuck);
    let waits = Answering(move |call: Bytes| {
        let gate = Arc::clone(&gate);
        async move {
            if call.len() > 1_000 {
                let _open = gate.acquire().await.map_err(|_| CallFault::Failed)?;
            }
            Ok(call.slice(..1))
        }
    });
    two.attach(NodeId(2), GROUP, Some(Arc::new(waits)));
    // Far more than the lane takes on at once: those beyond are refused as not executed.
    let large = Bytes::from(vec![9; 4 * 1024 * 1024]);
    let flood = join_all((0..40).map(|_| ask(&one, 2, Lane::Entries, large.clone())));
    let control = async {
        for _ in 0..100 {
            assert_eq!(ask(&one, 2, Lane::Control, "h").await, Ok(Bytes::from("h")));
        }
        stuck.add_permits(1_000);
    };
    let (answers, ()) = tokio::join!(flood, control);
    let done = answers.iter().filter(|answer| answer.is_ok()).count();
    let refused = answers.iter().filter(|a| **a == Err(CallFault::Unreachable)).count();
    assert!(done > 0, "what was taken on is answered");
    assert_eq!(done + refused, 40, "{answers:?}");
    one.close().await;
    two.close().await;
}
