//! Calls from other replicas of a group. Owns decoding, the call into the consensus library, and the
//! pieces of a snapshot until it is whole.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use openraft::Raft;
use openraft::raft::{SnapshotResponse, TransferLeaderResponse};

use super::adapter::{Adapter, SnapshotData};
use super::message::{Call, Piece, encode_appended, encode_snapshot_answer, encode_voted};
use super::types::{C, MetaC, SnapshotC};
use crate::fault::Fault;
use crate::limits::INCOMING_SNAPSHOT_BYTES_MAX;
use crate::network::{CallFault, Inbound};
use crate::state_machine::SnapshotSource;
use crate::wal::GroupLog;

/// The receiving end of a group on this node.
pub(crate) struct Receiver {
    raft: Raft<C, Adapter>,
    log: GroupLog,
    incoming: Arc<Mutex<Option<Incoming>>>,
}

/// A snapshot that is not whole yet.
struct Incoming {
    meta: MetaC,
    pieces: Vec<Bytes>,
    bytes: usize,
}

/// The pieces of a whole one.
struct Received(std::vec::IntoIter<Bytes>);

impl SnapshotSource for Received {
    fn next_chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        Ok(self.0.next())
    }
}

impl Receiver {
    pub(crate) fn new(raft: Raft<C, Adapter>, log: GroupLog) -> Self {
        Self { raft, log, incoming: Arc::default() }
    }
}

impl Inbound for Receiver {
    fn answer(&self, call: Bytes) -> BoxFuture<'static, Result<Bytes, CallFault>> {
        let (raft, incoming) = (self.raft.clone(), Arc::clone(&self.incoming));
        let below_floor = self.log.is_below_floor();
        Box::pin(async move {
            let call = Call::decode(call).map_err(|fault| {
                tracing::warn!(%fault, "refused a peer's call");
                CallFault::Failed
            })?;
            // To those who want its vote it is as if it were not there.
            if below_floor && matches!(call, Call::Vote(_) | Call::PreVote(_) | Call::Transfer(_)) {
                return Err(CallFault::Unreachable);
            }
            answer(&raft, &incoming, call).await
        })
    }
}

async fn answer(
    raft: &Raft<C, Adapter>,
    incoming: &Mutex<Option<Incoming>>,
    call: Call,
) -> Result<Bytes, CallFault> {
    let failed = |_| CallFault::Failed;
    Ok(match call {
        Call::Append(request) => {
            encode_appended(&raft.append_entries(request).await.map_err(failed)?)
        }
        Call::Vote(request) => encode_voted(&raft.vote(request).await.map_err(failed)?),
        Call::PreVote(request) => encode_voted(&raft.pre_vote(request).await.map_err(failed)?),
        Call::Transfer(request) => {
            let answer: TransferLeaderResponse<C> =
                raft.handle_transfer_leader(request).await.map_err(|_| CallFault::Failed)?;
            Bytes::copy_from_slice(&[u8::from(answer.is_err())])
        }
        Call::Snapshot(piece) => {
            let vote = piece.vote;
            let whole = collect(incoming, piece)?;
            let answer = match whole {
                Some(snapshot) => raft.install_full_snapshot(vote, snapshot).await,
                None => Ok(SnapshotResponse::new(vote)),
            };
            encode_snapshot_answer(&answer.map_err(|_| CallFault::Failed)?)
        }
    })
}

/// Keeps a piece; gives the whole when it was the last one.
fn collect(
    incoming: &Mutex<Option<Incoming>>,
    piece: Piece,
) -> Result<Option<SnapshotC<SnapshotData>>, CallFault> {
    let mut slot = incoming.lock().unwrap_or_else(PoisonError::into_inner);
    if piece.number == 0 {
        *slot = Some(Incoming { meta: piece.meta.clone(), pieces: Vec::new(), bytes: 0 });
    }
    let fits = |i: &Incoming| i.meta == piece.meta && i.pieces.len() == piece.number as usize;
    let mut whole = slot.take().filter(fits).ok_or(CallFault::Failed)?;
    if let Some(bytes) = piece.bytes {
        whole.bytes += bytes.len();
        if whole.bytes > INCOMING_SNAPSHOT_BYTES_MAX {
            tracing::error!(bytes = whole.bytes, "refused a snapshot that is too large");
            return Err(CallFault::Failed);
        }
        whole.pieces.push(bytes);
        *slot = Some(whole);
        return Ok(None);
    }
    let source = Received(whole.pieces.into_iter());
    Ok(Some(SnapshotC { meta: whole.meta, snapshot: SnapshotData::Cut(Box::new(source)) }))
}
