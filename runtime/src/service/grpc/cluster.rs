//! `pollux.v1.Cluster`: what those who run a cluster ask and have done.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use pollux_cluster::NodeId;
use pollux_cluster::access::{Action, On};
use pollux_proto::status::to_status;
use pollux_proto::v1;
use pollux_proto::v1::cluster_server::Cluster;
use tonic::{Request, Response, Status};

use super::super::desk::{Desk, reason};
use super::caller;
use crate::access::Caller;
use crate::cluster::{Asked, Balancing, Confirmed, ControlFault, Drain, Planned, Rebalance};
use crate::service::limits::{TOKEN_TIME, TOKEN_TIME_MAX};

/// The service over a node's control of its cluster.
#[derive(Clone)]
pub(super) struct ClusterDoor(pub(super) Desk);

impl ClusterDoor {
    /// Who makes a request, if it may do that to the cluster.
    fn allowed<T>(&self, request: &Request<T>, action: Action) -> Result<Caller, Status> {
        let desk = &self.0;
        let caller = caller(desk, request);
        let allowed = caller
            .and_then(|caller| desk.doorman.check(&caller, action, On::Cluster).map(|()| caller));
        allowed.map_err(|rejection| {
            let reason = reason(&rejection);
            desk.metrics.rejections_total.of(reason).inc();
            tracing::debug!(action = action.name(), reason, "call refused");
            to_status(&rejection)
        })
    }

    /// Has something done that the audit shows.
    async fn audited<T>(
        &self,
        caller: &Caller,
        what: &str,
        on: String,
        done: impl Future<Output = Result<T, ControlFault>>,
    ) -> Result<T, Status> {
        self.0.control.audited(caller, what, on, done).await.map_err(status)
    }
}

type Pieces = BoxStream<'static, Result<v1::BackUpShardResponse, Status>>;
type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Cluster for ClusterDoor {
    async fn status(
        &self,
        request: Request<v1::ClusterStatusRequest>,
    ) -> Answer<v1::ClusterStatusResponse> {
        self.allowed(&request, Action::ClusterRead)?;
        let asked = match request.into_inner().this_node_only {
            true => Asked::ThisNode,
            false => Asked::AllNodes,
        };
        Ok(Response::new(self.0.control.status(asked).await))
    }

    async fn create_join_token(
        &self,
        request: Request<v1::CreateJoinTokenRequest>,
    ) -> Answer<v1::CreateJoinTokenResponse> {
        let caller = self.allowed(&request, Action::ClusterAdmin)?;
        let good_for = match request.into_inner().good_for_ms {
            0 => TOKEN_TIME,
            ms => Duration::from_millis(ms),
        };
        if good_for > TOKEN_TIME_MAX {
            let most = TOKEN_TIME_MAX.as_millis();
            return Err(Status::invalid_argument(format!("good_for_ms: it takes up to {most}")));
        }
        let made = self.0.control.create_join_token(good_for);
        let (token, good_until_ms) =
            self.audited(&caller, "cluster token", String::new(), made).await?;
        Ok(Response::new(v1::CreateJoinTokenResponse { token, good_until_ms }))
    }

    async fn drain_node(
        &self,
        request: Request<v1::DrainNodeRequest>,
    ) -> Answer<v1::DrainNodeResponse> {
        let caller = self.allowed(&request, Action::ClusterAdmin)?;
        let v1::DrainNodeRequest { node, undo } = request.into_inner();
        let (drain, what) = match undo {
            true => (Drain::Undo, "node undrain"),
            false => (Drain::Begin, "node drain"),
        };
        let done = self.0.control.drain(NodeId(node), drain);
        self.audited(&caller, what, format!("node {node}"), done).await?;
        Ok(Response::new(v1::DrainNodeResponse {}))
    }

    async fn remove_node(
        &self,
        request: Request<v1::RemoveNodeRequest>,
    ) -> Answer<v1::RemoveNodeResponse> {
        let caller = self.allowed(&request, Action::ClusterAdmin)?;
        let node = request.into_inner().node;
        let done = self.0.control.remove(NodeId(node));
        self.audited(&caller, "node remove", format!("node {node}"), done).await?;
        Ok(Response::new(v1::RemoveNodeResponse {}))
    }

    async fn move_shard(
        &self,
        request: Request<v1::MoveShardRequest>,
    ) -> Answer<v1::MoveShardResponse> {
        let caller = self.allowed(&request, Action::ClusterAdmin)?;
        let v1::MoveShardRequest { shard, to } = request.into_inner();
        let done = self.0.control.move_shard(shard, NodeId(to));
        self.audited(&caller, "shard move", format!("shard {shard} to node {to}"), done).await?;
        Ok(Response::new(v1::MoveShardResponse {}))
    }

    async fn rotate_ca(
        &self,
        request: Request<v1::RotateCaRequest>,
    ) -> Answer<v1::RotateCaResponse> {
        let caller = self.allowed(&request, Action::ClusterAdmin)?;
        let control = &self.0.control;
        match request.into_inner().finish {
            true => {
                let done = control.finish_ca();
                self.audited(&caller, "ca rotate finish", String::new(), done).await?;
            }
            false => {
                self.audited(&caller, "ca rotate", String::new(), control.rotate_ca()).await?;
            }
        }
        Ok(Response::new(v1::RotateCaResponse {}))
    }

    type BackUpShardStream = Pieces;

    async fn back_up_shard(
        &self,
        request: Request<v1::BackUpShardRequest>,
    ) -> Answer<Self::BackUpShardStream> {
        let caller = self.allowed(&request, Action::ClusterBackup)?;
        let v1::BackUpShardRequest { shard, stale } = request.into_inner();
        let confirmed = if stale { Confirmed::ByNobody } else { Confirmed::ByOwner };
        // Told only: it must go on where there is no majority to keep the audit.
        tracing::info!(
            target: "pollux::audit",
            who = &*caller.name, via = %caller.proof, what = "backup", on = shard,
            "audited"
        );
        let pieces = self.0.control.back_up(shard, confirmed).await.map_err(status)?;
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
        let caller = self.allowed(&request, Action::ClusterAdmin)?;
        let (balancing, what) = match request.into_inner().paused {
            true => (Balancing::Paused, "balancing pause"),
            false => (Balancing::Resumed, "balancing resume"),
        };
        let done = self.0.control.set_balancing(balancing);
        self.audited(&caller, what, String::new(), done).await?;
        Ok(Response::new(v1::SetBalancingResponse {}))
    }

    async fn rebalance(
        &self,
        request: Request<v1::RebalanceRequest>,
    ) -> Answer<v1::RebalanceResponse> {
        let dry_run = request.get_ref().dry_run;
        let planned = if dry_run {
            self.allowed(&request, Action::ClusterRead)?;
            self.0.control.rebalance(Rebalance::Rehearsed).await.map_err(status)?
        } else {
            let caller = self.allowed(&request, Action::ClusterAdmin)?;
            let done = self.0.control.rebalance(Rebalance::Now);
            self.audited(&caller, "rebalance", String::new(), done).await?
        };
        let moves = planned.into_iter().map(planned_move).collect();
        Ok(Response::new(v1::RebalanceResponse { moves }))
    }

    async fn finish_upgrade(
        &self,
        request: Request<v1::FinishUpgradeRequest>,
    ) -> Answer<v1::FinishUpgradeResponse> {
        let caller = self.allowed(&request, Action::ClusterAdmin)?;
        let level = Some(request.into_inner().level).filter(|level| *level > 0);
        let on = level.map(|level| format!("level {level}")).unwrap_or_default();
        let done = self.0.control.finish_upgrade(level);
        let level = self.audited(&caller, "upgrade finish", on, done).await?;
        Ok(Response::new(v1::FinishUpgradeResponse { level }))
    }
}

fn planned_move(planned: Planned) -> v1::PlannedMove {
    let Planned { shard, from_voters, to_voters, from_learners, to_learners, why } = planned;
    v1::PlannedMove { shard, from_voters, to_voters, from_learners, to_learners, why }
}

pub(super) fn status(fault: ControlFault) -> Status {
    let text = fault.to_string();
    match fault {
        ControlFault::Refused(_) | ControlFault::NotYet(_) => Status::failed_precondition(text),
        ControlFault::NoAnswer(_) => Status::unavailable(text),
        ControlFault::Invalid(_) => Status::invalid_argument(text),
    }
}
