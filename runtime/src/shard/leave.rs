//! A replica that leaves this node for good, because its shard moved elsewhere: first its checkpoint is
//! marked, then the log forgets the group, last the checkpoint goes. A start in between finds the mark
//! and goes on; so nobody takes what is half gone for a shard that is new, or for damage.

use std::sync::Arc;

use pollux_cluster::{GroupId, Log};

use crate::checkpoint::{Store, StoreFault, shard_of_tree, tree_name};
use crate::fault::Fault;
use crate::node::internal;

/// Drops all that this node holds of a shard. Its group must have been shut down, and nobody may write
/// its checkpoint any more.
pub(crate) async fn leave(
    store: &Store,
    log: &Log,
    shard: pollux_twin::ShardId,
) -> Result<(), Fault> {
    let name = tree_name(shard);
    blocking(store, move |store| store.leave(&name)).await?;
    finish(store, log, shard).await
}

/// Ends what was begun before the last start.
pub(crate) async fn finish_leaving(store: &Store, log: &Log) -> Result<(), Fault> {
    for name in blocking(store, Store::leaving).await? {
        if let Some(shard) = shard_of_tree(&name) {
            tracing::info!(%shard, "the shard's replica had begun to leave this node; goes on");
            finish(store, log, shard).await?;
        }
    }
    Ok(())
}

async fn finish(store: &Store, log: &Log, shard: pollux_twin::ShardId) -> Result<(), Fault> {
    log.group(GroupId::shard(u32::from(shard.0)))?.forget().await?;
    let name = tree_name(shard);
    blocking(store, move |store| store.forget(&name)).await
}

async fn blocking<T: Send + 'static>(
    store: &Store,
    run: impl FnOnce(&Store) -> Result<T, StoreFault> + Send + 'static,
) -> Result<T, Fault> {
    let store = Arc::new(store.clone());
    let done = tokio::task::spawn_blocking(move || run(&store)).await;
    Ok(done.map_err(|error| internal("a shard's checkpoint", &error))??)
}
