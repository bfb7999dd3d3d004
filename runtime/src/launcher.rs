//! Starts and ends this node's replicas of shards: checkpoint, group, actors.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use actix::ArbiterHandle;
use pollux_cluster::{Group, GroupId, GroupOptions, Network, NodeId};
use pollux_twin::{ShardId, table};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::access::PolicyBook;
use crate::checkpoint::{FreeBytes, Keep, Roll, StoreFault, Written, restore_shard};
use crate::clock::Clock;
use crate::config::Checked;
use crate::disk::{Disk, group_options};
use crate::fault::Fault;
use crate::metrics::Metrics;
use crate::node::internal;
use crate::shard::{Launch, Replica, ReplicaMachine, ShardHandle, ShardOptions, leave};
use crate::shards::Shards;
use crate::space::Space;
use crate::tenants::TenantBook;
use crate::types::TypeBook;

/// What all shards are launched with.
pub(crate) struct Launcher {
    pub(crate) disk: Arc<Disk>,
    pub(crate) config: Checked,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) arbiters: Vec<ArbiterHandle>,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    /// Bytes of telemetry that wait for all who listen at this node.
    pub(crate) live_bytes: Arc<AtomicUsize>,
    /// Turns of shards to tell some of their devices of a move ahead.
    pub(crate) preparing: Arc<Semaphore>,
    pub(crate) space: Space,
    pub(crate) shards: Shards,
    pub(crate) types: Arc<TypeBook>,
    pub(crate) policies: PolicyBook,
    pub(crate) tenants: Arc<TenantBook>,
    /// Takes those whose checkpoints are to be written.
    pub(crate) written: mpsc::Sender<Roll>,
}

impl Launcher {
    /// Starts the replica of a shard from what the disk holds of it. From nothing, it waits to be
    /// brought up by the others, or makes the group.
    pub(crate) async fn launch(&self, shard: ShardId, origin: Origin) -> Result<(), Fault> {
        let (replica, keep) = self.restore(shard).await?;
        let group = Group::start(
            GroupId::shard(u32::from(shard.0)),
            self.node(),
            group_options(&self.config, GroupOptions::shard()),
            &self.disk.log,
            Arc::clone(&self.network),
            ReplicaMachine::new(Arc::clone(&replica), Arc::clone(&keep), Arc::clone(&self.metrics)),
        )
        .await?;
        if origin == Origin::Founded {
            group.initialize_alone().await?;
        }
        let written = Written { replica: Arc::clone(&replica), group: group.clone(), keep };
        self.tell(Roll::Added(Box::new(written))).await?;
        let launch = Launch {
            shard,
            node: self.node().0,
            clock: self.clock,
            limits: self.config.limits.clone(),
            types: Arc::clone(&self.types),
            policies: self.policies.clone(),
            tenants: Arc::clone(&self.tenants),
            space: self.space.clone(),
            metrics: Arc::clone(&self.metrics),
            live_bytes: Arc::clone(&self.live_bytes),
            preparing: Arc::clone(&self.preparing),
            group,
            replica,
            options: shard_options(&self.config),
        };
        let arbiter = &self.arbiters[usize::from(shard.0) % self.arbiters.len()];
        self.shards.insert(Arc::new(ShardHandle::launch(arbiter, launch)));
        Ok(())
    }

    /// Ends the replica of a shard that is no longer meant to be here.
    pub(crate) async fn drop_replica(&self, shard: ShardId) -> Result<(), Fault> {
        if let Some(handle) = self.shards.remove(shard) {
            handle.group().shutdown().await;
            drop(handle);
            let (done, left) = oneshot::channel();
            self.tell(Roll::Left(shard, done)).await?;
            left.await.map_err(|error| internal("checkpoints", &error))?;
            leave(&self.disk.store, &self.disk.log, shard).await?;
            tracing::info!(%shard, "a replica has left this node");
        }
        Ok(())
    }

    async fn tell(&self, roll: Roll) -> Result<(), Fault> {
        let told = self.written.send(roll).await;
        told.map_err(|_| internal("checkpoints", &"the checkpointer has ended"))
    }

    /// Whether the disk holds anything of a shard.
    pub(crate) fn holds(&self, shard: ShardId) -> Result<bool, Fault> {
        let log = self.disk.log.group(GroupId::shard(u32::from(shard.0)))?;
        Ok(log.last().is_some() || log.purged().is_some())
    }

    async fn restore(&self, shard: ShardId) -> Result<(Arc<Replica>, Arc<Keep>), Fault> {
        let (store, watch_bytes) = (self.disk.store.clone(), self.config.watch_bytes_per_shard);
        let options = table::Options {
            hot_bytes_max: self.config.twins.hot_bytes / usize::from(self.shards.count()),
            indexes: self.config.indexes.clone().into(),
            ..Default::default()
        };
        let room = self.space.clone();
        let free: FreeBytes = Arc::new(move || room.free_bytes());
        let restored = tokio::task::spawn_blocking(move || {
            let replica = restore_shard(&store, shard, options.clone(), watch_bytes)?;
            Ok::<_, StoreFault>((replica, Keep::new(store, shard, options, free)))
        });
        let restored = restored.await;
        Ok(restored.map_err(|error| internal("a shard's checkpoint", &error))??)
    }

    fn node(&self) -> NodeId {
        self.disk.identity.node
    }
}

/// Where a shard's group comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// This node makes it, with the cluster.
    Founded,
    /// It is there, on other nodes at least.
    There,
}

fn shard_options(config: &Checked) -> ShardOptions {
    ShardOptions {
        machine: pollux_twin::shard::Options {
            gate_bytes_max: config.twins.gate_bytes,
            idle_ms: u64::try_from(config.twins.idle.as_millis()).unwrap_or(u64::MAX),
            ..Default::default()
        },
        grace_ms: u64::try_from(config.devices.idle_timeout.as_millis()).unwrap_or(u64::MAX),
    }
}
