//! A shard's whole state for whoever backs it up, at any node: read from a replica wherever it is, once
//! that has all that was acknowledged when it was asked for.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use pollux_cluster::{CallFault, NodeId, SnapshotSource};
use pollux_twin::ShardId;
use serde::{Deserialize, Serialize};

use super::Kind;
use super::control::{Control, ControlFault};
use super::served::Served;
use crate::limits::OWNER_WAIT_MS_MAX;
use crate::router::Router;

/// Pieces of a shard's state, in order.
pub(crate) type Pieces = BoxStream<'static, Result<Bytes, String>>;

/// Whether an owner has to confirm what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confirmed {
    /// It has.
    ByOwner,
    /// Whatever a replica has is taken.
    ByNobody,
}

/// What one node asks another for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Wanted {
    shard: u16,
    /// The place in the log that must be in it.
    index: u64,
}

impl Control {
    /// The state of a shard, piece by piece.
    pub(crate) async fn back_up(
        &self,
        shard: u32,
        confirmed: Confirmed,
    ) -> Result<Pieces, ControlFault> {
        let count = self.router.shards().count();
        let id = u16::try_from(shard).ok().filter(|shard| *shard < count).map(ShardId);
        let id = id.ok_or_else(|| {
            ControlFault::Invalid(format!("there is no shard {shard}: there are {count}"))
        })?;
        let index = match confirmed {
            Confirmed::ByOwner => self.barrier(id).await?,
            Confirmed::ByNobody => 0,
        };
        let mut problem = format!("shard {id}: no node that holds it answers");
        for node in self.router.holders(id) {
            match self.open(node, Wanted { shard: id.0, index }).await {
                Ok(pieces) => return Ok(pieces),
                Err(other) => problem = format!("shard {id} from node {node}: {other}"),
            }
        }
        Err(ControlFault::NoAnswer(problem))
    }

    /// The place in a shard's log up to which all is committed that was acknowledged before this call.
    async fn barrier(&self, shard: ShardId) -> Result<u64, ControlFault> {
        let patience = Duration::from_millis(OWNER_WAIT_MS_MAX);
        self.router.committed(shard, patience).await.ok_or_else(|| {
            ControlFault::NoAnswer(format!(
                "shard {shard}: no owner confirms what was acknowledged; bring its nodes back, or \
                 take what its replicas have with --stale"
            ))
        })
    }

    async fn open(&self, node: NodeId, wanted: Wanted) -> Result<Pieces, String> {
        if node == self.node {
            return pieces(&self.router, wanted).await;
        }
        let payload = serde_json::to_vec(&wanted).expect("numbers are JSON").into();
        let opened = self.forward.open(node, Kind::BackUp, payload).await;
        let mut items = opened.map_err(|fault| fault.to_string())?;
        // What the node cannot give it says at once: then another may.
        let first = items.next().await.ok_or("it ended before it began")?;
        let first = first.map_err(|fault| fault.to_string())?;
        let rest = items.map_err(|fault| fault.to_string());
        Ok(stream::once(async { Ok(first) }).chain(rest).boxed())
    }
}

/// The committed end of a shard's log, if this node owns it; for another node.
pub(super) async fn barrier_for_peer(router: &Router, payload: &[u8]) -> Result<Bytes, CallFault> {
    let shard = payload.try_into().map(u16::from_le_bytes).map_err(|_| CallFault::Failed)?;
    let handle = router.shards().held(ShardId(shard)).ok_or(CallFault::Unreachable)?;
    let index = handle.committed().await.ok_or(CallFault::Unreachable)?;
    Ok(index.to_le_bytes().to_vec().into())
}

/// What another node backs up.
pub(super) fn open_for_peer(router: Option<Router>, payload: &[u8]) -> Served {
    let wanted = serde_json::from_slice(payload);
    stream::once(async move {
        let router = router.ok_or(CallFault::Unreachable)?;
        let wanted = wanted.map_err(|_| CallFault::Failed)?;
        let pieces = pieces(&router, wanted).await.map_err(|problem| {
            tracing::warn!(problem, "a backup cannot be read here");
            CallFault::Failed
        })?;
        Ok(pieces.map_err(|problem| {
            tracing::warn!(problem, "a backup was not read to its end");
            CallFault::Failed
        }))
    })
    .try_flatten()
    .boxed()
}

/// A replica's state, as soon as it has what is wanted.
async fn pieces(router: &Router, wanted: Wanted) -> Result<Pieces, String> {
    let handle = router.shards().held(ShardId(wanted.shard)).ok_or("it is not held there")?;
    if !handle.reaches(wanted.index).await {
        return Err("its replica there is behind".into());
    }
    let outgoing = handle.outgoing().map_err(|fault| fault.to_string())?;
    let pulled = stream::unfold(Some(outgoing), |outgoing| async {
        let mut outgoing = outgoing?;
        match outgoing.next_chunk() {
            Ok(Some(piece)) => Some((Ok(piece), Some(outgoing))),
            Ok(None) => None,
            Err(fault) => Some((Err(fault.to_string()), None)),
        }
    });
    Ok(pulled.boxed())
}
