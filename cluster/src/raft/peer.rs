//! A group's calls to its other replicas. Owns the translation of the library's network into bytes on a
//! [`Network`]; leaves the answering to `inbound`, and a snapshot's pieces to `sending`.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use openraft::errors::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{RPCOption, RPCTypes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{EmptyNode, OptionalSend, RaftNetworkFactory, RaftNetworkV2};

use super::adapter::SnapshotData;
use super::message::{Call, decode_appended, decode_voted};
use super::pace::SnapshotPace;
use super::types::{C, SnapshotC, VoteC};
use crate::fault::Fault;
use crate::ids::{GroupId, NodeId};
use crate::network::{CallFault, Lane, Network};

/// Makes the clients of one group on one node.
#[derive(Clone)]
pub(crate) struct Peers {
    pub(crate) network: Arc<dyn Network>,
    pub(crate) group: GroupId,
    pub(crate) node: NodeId,
    /// What all snapshots of the node share.
    pub(crate) pace: Option<SnapshotPace>,
}

/// One replica as seen from another.
pub(crate) struct Peer {
    peers: Peers,
    target: NodeId,
}

impl RaftNetworkFactory<C> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, _: &EmptyNode) -> Peer {
        Peer { peers: self.clone(), target: NodeId(target) }
    }
}

impl Peer {
    async fn call(
        &self,
        call: Call,
        kind: RPCTypes,
        option: &RPCOption,
    ) -> Result<Bytes, RPCError<C>> {
        self.send(call.lane(), call.encode(), kind, option).await
    }

    pub(super) async fn send(
        &self,
        lane: Lane,
        call: Bytes,
        kind: RPCTypes,
        option: &RPCOption,
    ) -> Result<Bytes, RPCError<C>> {
        let Peers { network, group, node, .. } = &self.peers;
        let ttl = option.soft_ttl();
        match network.call(*node, self.target, *group, lane, call, ttl).await {
            Ok(answer) => Ok(answer),
            Err(fault @ CallFault::Unreachable) => Err(Unreachable::new(&fault).into()),
            Err(fault @ CallFault::Failed) => Err(NetworkError::new(&fault).into()),
            Err(CallFault::Timeout) => Err(RPCError::Timeout(Timeout {
                action: kind,
                id: node.0,
                target: self.target.0,
                timeout: ttl,
            })),
        }
    }

    /// Waits until so many bytes of snapshots may go.
    pub(super) async fn pass(&self, bytes: usize) {
        if let Some(pace) = &self.peers.pace {
            pace.pass(bytes).await;
        }
    }
}

fn malformed(fault: Fault) -> RPCError<C> {
    NetworkError::new(&fault).into()
}

impl RaftNetworkV2<C> for Peer {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<C>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<C>, RPCError<C>> {
        let answer = self.call(Call::Append(rpc), RPCTypes::AppendEntries, &option).await?;
        decode_appended(answer).map_err(malformed)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<C>,
        option: RPCOption,
    ) -> Result<VoteResponse<C>, RPCError<C>> {
        let answer = self.call(Call::Vote(rpc), RPCTypes::Vote, &option).await?;
        decode_voted(answer).map_err(malformed)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<C>,
        option: RPCOption,
    ) -> Result<VoteResponse<C>, RPCError<C>> {
        let answer = self.call(Call::PreVote(rpc), RPCTypes::Vote, &option).await?;
        decode_voted(answer).map_err(malformed)
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteC,
        snapshot: SnapshotC<SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<C>, StreamingError<C>> {
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_pieces(vote, snapshot, &option) => sent,
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<C>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<C>, RPCError<C>> {
        let expected = request.last_log_id().copied();
        let kind = RPCTypes::TransferLeader;
        let answer = self.call(Call::Transfer(request), kind, &option).await?;
        if answer.first() == Some(&0) {
            return Ok(Ok(()));
        }
        Ok(Err(TransferLeaderError::LogNotFlushed { expected, actual: None }))
    }
}
