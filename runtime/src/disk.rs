//! What a node has on disk: its directory with its identity, the log, the checkpoints; and how the
//! shards come back from them.

use std::sync::Arc;
use std::time::Duration;

use pollux_cluster::{
    DataDir, Group, GroupId, GroupOptions, Identity, LocalNetwork, Log, LogOptions, Network,
    NodeId, Uuid,
};
use pollux_twin::{ShardId, table};

use crate::checkpoint::{Store, restore_shard};
use crate::config::Checked;
use crate::fault::Fault;
use crate::node::internal;
use crate::shard::{Replica, ReplicaMachine};

/// The parts that a node recovers from.
pub(crate) struct Disk {
    pub(crate) dir: DataDir,
    pub(crate) identity: Identity,
    pub(crate) log: Log,
    pub(crate) store: Store,
    pub(crate) network: Arc<dyn Network>,
}

impl Disk {
    /// Opens the data directory, founding a cluster of one in an empty one.
    pub(crate) async fn open(config: &Checked) -> Result<Self, Fault> {
        let config = config.clone();
        let opened = tokio::task::spawn_blocking(move || Self::open_blocking(&config));
        opened.await.map_err(|error| internal("the data directory", &error))?
    }

    fn open_blocking(config: &Checked) -> Result<Self, Fault> {
        let shards = u32::from(config.cluster.shards);
        let mut dir = DataDir::lock(&config.data_dir)?;
        if dir.identity().is_none() {
            dir.found(Identity {
                cluster: Uuid::random()?,
                node_uuid: Uuid::random()?,
                node: NodeId(1),
                lineage: 1,
                shards,
                starts: 0,
            })?;
        }
        dir.start(None, Some(shards))?;
        let identity = dir.identity().cloned().expect("it was founded or read above");
        let path = dir.path().to_path_buf();
        let options = LogOptions {
            dir: path.join("log"),
            segment_bytes: config.log.segment_bytes,
            spare_segments: config.log.spare_segments as usize,
        };
        let (log, recovery) = Log::open(options, pollux_cluster::Disk)?;
        tracing::info!(
            entries = recovery.entries,
            bytes = recovery.bytes,
            segments = recovery.segments,
            took_us = recovery.micros,
            "log opened"
        );
        let store = Store::open(&path.join("checkpoints"), config.checkpoint.cache_bytes)?;
        let network: Arc<dyn Network> = Arc::new(LocalNetwork::default());
        Ok(Self { dir, identity, log, store, network })
    }

    /// Restores every shard from its checkpoint, then starts its group, which replays the log.
    pub(crate) async fn shards(
        &self,
        config: &Checked,
    ) -> Result<Vec<(Arc<Replica>, Group)>, Fault> {
        let mut restoring = Vec::new();
        for shard in (0..config.cluster.shards).map(ShardId) {
            let (store, watch_bytes) = (self.store.clone(), config.watch_bytes_per_shard);
            let options = table::Options {
                hot_bytes_max: config.twins.hot_bytes / usize::from(config.cluster.shards),
                ..Default::default()
            };
            restoring.push(tokio::task::spawn_blocking(move || {
                restore_shard(&store, shard, options, watch_bytes)
            }));
        }
        let mut shards = Vec::new();
        for restored in restoring {
            let replica =
                restored.await.map_err(|error| internal("a shard's checkpoint", &error))??;
            let id = GroupId::shard(u32::from(replica.shard().0));
            let group = Group::start(
                id,
                self.identity.node,
                group_options(config, GroupOptions::shard()),
                &self.log,
                Arc::clone(&self.network),
                ReplicaMachine(Arc::clone(&replica)),
            )
            .await?;
            group.initialize_alone().await?;
            shards.push((replica, group));
        }
        Ok(shards)
    }
}

/// A group's options with the configured timing.
pub(crate) fn group_options(config: &Checked, options: GroupOptions) -> GroupOptions {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    GroupOptions {
        heartbeat_ms: ms(config.raft.heartbeat),
        election_min_ms: ms(config.raft.election_min),
        election_max_ms: ms(config.raft.election_max),
        ..options
    }
}
