//! A snapshot on its way to another replica: piece by piece, at the pace that all of this node share. Owns
//! what is sent again: a piece that got no answer. One that was refused ends the transfer, and the library
//! begins another one.

use std::time::Duration;

use bytes::Bytes;
use openraft::Instant;
use openraft::errors::{NetworkError, RPCError, StreamingError};
use openraft::network::{RPCOption, RPCTypes};
use openraft::raft::SnapshotResponse;
use openraft::type_config::TypeConfigExt;

use super::adapter::SnapshotData;
use super::message::{Call, Piece, decode_snapshot_answer};
use super::peer::Peer;
use super::types::{C, SnapshotC, VoteC};
use crate::limits::{
    SNAPSHOT_PIECES_MAX, SNAPSHOT_RETRY_MS, SNAPSHOT_RETRY_MS_MAX, SNAPSHOT_UNANSWERED_MS_MAX,
};
use crate::network::Lane;

impl Peer {
    /// Sends all pieces, until the last one is answered.
    pub(super) async fn send_pieces(
        &self,
        vote: VoteC,
        snapshot: SnapshotC<SnapshotData>,
        option: &RPCOption,
    ) -> Result<SnapshotResponse<C>, StreamingError<C>> {
        let SnapshotC { meta, snapshot } = snapshot;
        let SnapshotData::Cut(mut source) = snapshot else {
            return Err(StreamingError::Network(NetworkError::from_string(
                "only a cut of the state can be sent",
            )));
        };
        for number in 0..SNAPSHOT_PIECES_MAX {
            let bytes = source.next_chunk().map_err(|e| NetworkError::new(&e))?;
            let last = bytes.is_none();
            let piece = Piece { vote, meta: meta.clone(), number, bytes };
            let call = Call::Snapshot(piece).encode();
            let answer = self.deliver(call, option).await.map_err(streaming)?;
            let answer = decode_snapshot_answer(answer).map_err(|e| NetworkError::new(&e))?;
            if last || answer.vote > vote {
                return Ok(answer);
            }
        }
        Err(StreamingError::Network(NetworkError::from_string("a snapshot has too many pieces")))
    }

    /// Sends a piece until it is answered or refused, or was not answered for too long. Whether it was
    /// taken the time before nobody knows; the other side takes it once.
    async fn deliver(&self, call: Bytes, option: &RPCOption) -> Result<Bytes, RPCError<C>> {
        let patience = Duration::from_millis(SNAPSHOT_UNANSWERED_MS_MAX);
        let mut pause = Duration::from_millis(SNAPSHOT_RETRY_MS);
        let mut first = None;
        loop {
            self.pass(call.len()).await;
            let first = first.get_or_insert_with(C::now);
            let sent = self.send(Lane::Snapshot, call.clone(), RPCTypes::InstallSnapshot, option);
            match sent.await {
                Err(RPCError::Timeout(_) | RPCError::Unreachable(_))
                    if first.elapsed() < patience => {}
                done => return done,
            }
            C::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(SNAPSHOT_RETRY_MS_MAX));
        }
    }
}

fn streaming(fault: RPCError<C>) -> StreamingError<C> {
    match fault {
        RPCError::Timeout(e) => StreamingError::Timeout(e),
        RPCError::Unreachable(e) => StreamingError::Unreachable(e),
        RPCError::Network(e) => StreamingError::Network(e),
        RPCError::RemoteError(e) => StreamingError::Network(NetworkError::new(&e)),
    }
}
