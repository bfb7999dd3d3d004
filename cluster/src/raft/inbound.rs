//! Calls from other replicas of a group. Owns decoding and the call into the consensus library; leaves the
//! pieces of a snapshot to `incoming` until it is whole.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use openraft::Raft;
use openraft::raft::{SnapshotResponse, TransferLeaderResponse};
use openraft::type_config::TypeConfigExt;
use tokio::sync::Mutex;

use super::adapter::{Adapter, SnapshotData};
use super::incoming::{Incoming, Outcome, Taken, watch};
use super::message::{Call, Piece, encode_appended, encode_snapshot_answer, encode_voted};
use super::types::{C, SnapshotC, VoteC};
use crate::network::{CallFault, Inbound};
use crate::state_machine::Sinks;
use crate::wal::GroupLog;

/// The receiving end of a group on this node.
pub(crate) struct Receiver {
    raft: Raft<C, Adapter>,
    log: GroupLog,
    incoming: Arc<Mutex<Incoming>>,
}

impl Receiver {
    pub(crate) fn new(raft: Raft<C, Adapter>, log: GroupLog, sinks: Sinks) -> Self {
        Self { raft, log, incoming: Arc::new(Mutex::new(Incoming::new(sinks))) }
    }

    /// From now on no snapshot comes in, and what has come of one is gone.
    pub(crate) async fn close(&self) {
        self.incoming.lock().await.close();
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
    incoming: &Arc<Mutex<Incoming>>,
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
        Call::Snapshot(piece) => take(raft, incoming, piece).await?,
    })
}

async fn take(
    raft: &Raft<C, Adapter>,
    incoming: &Arc<Mutex<Incoming>>,
    piece: Piece,
) -> Result<Bytes, CallFault> {
    let vote = piece.vote;
    let taken = {
        let mut slot = incoming.lock().await;
        let taken = slot.take(piece, |snapshot| install(raft.clone(), vote, snapshot));
        watch(incoming, &mut slot);
        taken?
    };
    match taken {
        Taken::Piece => Ok(encode_snapshot_answer(&SnapshotResponse::new(vote))),
        Taken::Last(outcome) => outcome.await,
    }
}

/// Installs a snapshot to its end, whether its sender waits for that or not.
fn install(raft: Raft<C, Adapter>, vote: VoteC, snapshot: SnapshotC<SnapshotData>) -> Outcome {
    let installed = C::spawn(async move { raft.install_full_snapshot(vote, snapshot).await });
    let outcome = async move {
        match installed.await {
            Ok(Ok(answer)) => Ok(encode_snapshot_answer(&answer)),
            Ok(Err(_)) | Err(_) => Err(CallFault::Failed),
        }
    };
    outcome.boxed().shared()
}
