//! Writes what waits on one lane, all of it at once. Owns how frames share a write, and the pace of
//! snapshots; leaves order and bounds to `queue`.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pollux_proto::peer::{PeerLane, encode_peer_head};
use quinn::SendStream;

use super::link::Link;
use super::queue::Outgoing;
use super::site::Counts;
use crate::clock::Clock;
use crate::limits::{PEER_JOIN_FRAMES_BYTES_MAX, PEER_SNAPSHOT_BYTES_PER_S};

/// Writes until the connection ends.
pub(super) async fn write(link: Arc<Link>, lane: PeerLane, mut send: SendStream) {
    let clock = Clock::start();
    let mut batch = Vec::new();
    let mut pieces = Vec::new();
    while link.queue(lane).take(&mut batch).await.is_ok() {
        link.pending.going_out(&mut batch);
        let counts = &link.site.counts;
        Counts::add(&counts.frames_out, batch.len());
        let bytes = pack(&mut batch, &mut pieces);
        if bytes == 0 {
            continue;
        }
        Counts::add(&counts.writes_out, 1);
        Counts::add(&counts.bytes_out, bytes);
        let began = clock.elapsed();
        if send.write_all_chunks(&mut pieces).await.is_err() {
            return;
        }
        pieces.clear();
        if lane == PeerLane::Snapshot {
            let left = pace(bytes).saturating_sub(clock.elapsed() - began);
            if !left.is_zero() {
                tokio::time::sleep(left).await;
            }
        }
    }
}

/// How long so many bytes of snapshots should take.
fn pace(bytes: usize) -> Duration {
    Duration::from_nanos((bytes as u64).saturating_mul(1_000_000_000) / PEER_SNAPSHOT_BYTES_PER_S)
}

/// The frames as pieces to be written one after the other: small ones joined, large payloads as they
/// are. Gives the bytes in all.
fn pack(batch: &mut Vec<Outgoing>, pieces: &mut Vec<Bytes>) -> usize {
    let mut joined = BytesMut::new();
    let mut bytes = 0;
    for frame in batch.drain(..) {
        if let Err(fault) = encode_peer_head(&frame.head, frame.payload.len(), &mut joined) {
            // Lengths are checked where a frame is made.
            tracing::error!(%fault, head = ?frame.head, "a frame could not be written");
            continue;
        }
        if frame.payload.len() <= PEER_JOIN_FRAMES_BYTES_MAX {
            joined.extend_from_slice(&frame.payload);
            continue;
        }
        let before = joined.split().freeze();
        bytes += before.len() + frame.payload.len();
        pieces.extend([before, frame.payload]);
    }
    bytes += joined.len();
    if !joined.is_empty() {
        pieces.push(joined.freeze());
    }
    bytes
}
