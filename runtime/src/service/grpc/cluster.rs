//! `pollux.v1.Cluster`: what those who run a cluster ask and have done.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use pollux_cluster::NodeId;
use pollux_proto::v1;
use pollux_proto::v1::cluster_server::Cluster;
use tonic::{Request, Response, Status};

use crate::cluster::{
    Asked, Balancing, Confirmed, Control, ControlFault, Drain, Planned, Rebalance,
};
use crate::service::limits::{TOKEN_TIME, TOKEN_TIME_MAX};

/// The service over a node's control of its cluster.
#[derive(Clone)]
pub(super) struct ClusterDoor(pub(super) Control);

type Pieces = BoxStream<'static, Result<v1::BackUpShardResponse, Status>>;
type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Cluster for ClusterDoor {
    async fn status(
        &self,
        request: Request<v1::ClusterStatusRequest>,
    ) -> Answer<v1::ClusterStatusResponse> {
        let asked = match request.into_inner().this_node_only {
            true => Asked::ThisNode,
            false => Asked::AllNodes,
        };
        Ok(Response::new(self.0.status(asked).await))
    }

    async fn create_join_token(
        &self,
        request: Request<v1::CreateJoinTokenRequest>,
    ) -> Answer<v1::CreateJoinTokenResponse> {
        let good_for = match request.into_inner().good_for_ms {
            0 => TOKEN_TIME,
            ms => Duration::from_millis(ms),
        };
        if good_for > TOKEN_TIME_MAX {
            let most = TOKEN_TIME_MAX.as_millis();
            return Err(Status::invalid_argument(format!("good_for_ms: it takes up to {most}")));
        }
        let made = self.0.create_join_token(good_for).await.map_err(status)?;
        let (token, good_until_ms) = made;
        Ok(Response::new(v1::CreateJoinTokenResponse { token, good_until_ms }))
    }

    async fn drain_node(
        &self,
        request: Request<v1::DrainNodeRequest>,
    ) -> Answer<v1::DrainNodeResponse> {
        let v1::DrainNodeRequest { node, undo } = request.into_inner();
        let drain = if undo { Drain::Undo } else { Drain::Begin };
        self.0.drain(NodeId(node), drain).await.map_err(status)?;
        Ok(Response::new(v1::DrainNodeResponse {}))
    }

    async fn remove_node(
        &self,
        request: Request<v1::RemoveNodeRequest>,
    ) -> Answer<v1::RemoveNodeResponse> {
        self.0.remove(NodeId(request.into_inner().node)).await.map_err(status)?;
        Ok(Response::new(v1::RemoveNodeResponse {}))
    }

    async fn move_shard(
        &self,
        request: Request<v1::MoveShardRequest>,
    ) -> Answer<v1::MoveShardResponse> {
        let v1::MoveShardRequest { shard, to } = request.into_inner();
        self.0.move_shard(shard, NodeId(to)).await.map_err(status)?;
        Ok(Response::new(v1::MoveShardResponse {}))
    }

    async fn rotate_ca(
        &self,
        request: Request<v1::RotateCaRequest>,
    ) -> Answer<v1::RotateCaResponse> {
        match request.into_inner().finish {
            true => self.0.finish_ca().await.map_err(status)?,
            false => self.0.rotate_ca().await.map_err(status)?,
        }
        Ok(Response::new(v1::RotateCaResponse {}))
    }

    type BackUpShardStream = Pieces;

    async fn back_up_shard(
        &self,
        request: Request<v1::BackUpShardRequest>,
    ) -> Answer<Self::BackUpShardStream> {
        let v1::BackUpShardRequest { shard, stale } = request.into_inner();
        let confirmed = if stale { Confirmed::ByNobody } else { Confirmed::ByOwner };
        let pieces = self.0.back_up(shard, confirmed).await.map_err(status)?;
        let response = |piece: Result<Bytes, String>| {
            piece
                .map(|chunk| v1::BackUpShardResponse { chunk: chunk.into() })
                .map_err(Status::aborted)
        };
        Ok(Response::new(pieces.map(response).boxed()))
    }

    async fn set_balancing(
        &self,
        request: Request<v1::SetBalancingRequest>,
    ) -> Answer<v1::SetBalancingResponse> {
        let paused = request.into_inner().paused;
        let balancing = if paused { Balancing::Paused } else { Balancing::Resumed };
        self.0.set_balancing(balancing).await.map_err(status)?;
        Ok(Response::new(v1::SetBalancingResponse {}))
    }

    async fn rebalance(
        &self,
        request: Request<v1::RebalanceRequest>,
    ) -> Answer<v1::RebalanceResponse> {
        let dry_run = request.into_inner().dry_run;
        let what = if dry_run { Rebalance::Rehearsed } else { Rebalance::Now };
        let planned = self.0.rebalance(what).await.map_err(status)?;
        let moves = planned.into_iter().map(planned_move).collect();
        Ok(Response::new(v1::RebalanceResponse { moves }))
    }

    async fn finish_upgrade(
        &self,
        request: Request<v1::FinishUpgradeRequest>,
    ) -> Answer<v1::FinishUpgradeResponse> {
        let level = Some(request.into_inner().level).filter(|level| *level > 0);
        let level = self.0.finish_upgrade(level).await.map_err(status)?;
        Ok(Response::new(v1::FinishUpgradeResponse { level }))
    }
}

fn planned_move(planned: Planned) -> v1::PlannedMove {
    let Planned { shard, from_voters, to_voters, from_learners, to_learners, why } = planned;
    v1::PlannedMove { shard, from_voters, to_voters, from_learners, to_learners, why }
}

fn status(fault: ControlFault) -> Status {
    let text = fault.to_string();
    match fault {
        ControlFault::Refused(_) => Status::failed_precondition(text),
        ControlFault::NoAnswer(_) => Status::unavailable(text),
        ControlFault::Invalid(_) => Status::invalid_argument(text),
    }
}
