//! Starts the replicas that the map wants here, and ends those that are here no longer.

use std::sync::Arc;
use std::time::Duration;

use pollux_cluster::NodeId;
use pollux_cluster::meta::{Meta, MetaPicture};
use pollux_twin::ShardId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::launcher::{Launcher, Origin};
use crate::limits::HOLD_LOOK_MS;

/// Looks whenever the map changes, and now and then, until the node stops.
pub(super) async fn run(
    node: NodeId,
    mut picture: watch::Receiver<MetaPicture>,
    launcher: Arc<Launcher>,
    stop: CancellationToken,
) {
    loop {
        let meta = Arc::clone(&picture.borrow_and_update().meta);
        for shard in launcher.shards.ids() {
            hold(node, &meta, &launcher, shard).await;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = picture.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(Duration::from_millis(HOLD_LOOK_MS)) => {}
        }
    }
}

async fn hold(node: NodeId, meta: &Meta, launcher: &Launcher, shard: ShardId) {
    let Some(place) = meta.map.get(usize::from(shard.0)) else { return };
    let wanted = place.goal.members().any(|member| member == node.0);
    let result = match launcher.shards.held(shard) {
        None if wanted => launcher.launch(shard, Origin::There).await,
        // The group is settled elsewhere: what is meant and what is are the same without this node.
        Some(_) if !place.may_hold(node.0) => launcher.drop_replica(shard).await,
        Some(_) | None => Ok(()),
    };
    if let Err(fault) = result {
        tracing::error!(%shard, %fault, "a replica is not as the cluster wants it; it is tried again");
    }
}
