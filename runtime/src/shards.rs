//! Which of the cluster's shards this node holds a replica of. Owns the list; what a shard does is
//! `shard`'s, where it is meant to be the meta group's.

use std::sync::{Arc, PoisonError, RwLock};

use pollux_twin::{ShardId, TwinKey};

use crate::shard::ShardHandle;

/// The shards held here. Cheap to clone; all clones are the same list.
#[derive(Clone)]
pub(crate) struct Shards {
    held: Arc<RwLock<Vec<Option<Arc<ShardHandle>>>>>,
    count: u16,
}

impl Shards {
    /// None held yet of a cluster's `count` shards.
    pub(crate) fn new(count: u16) -> Self {
        assert!(count > 0, "a cluster has at least one shard");
        Self { held: Arc::new(RwLock::new(vec![None; usize::from(count)])), count }
    }

    /// How many shards the cluster has.
    pub(crate) const fn count(&self) -> u16 {
        self.count
    }

    /// The ids of all shards of the cluster.
    pub(crate) fn ids(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.count).map(ShardId)
    }

    /// The shard of a twin.
    pub(crate) fn of(&self, key: &TwinKey) -> ShardId {
        key.shard(self.count)
    }

    /// The replica of a shard, if it is here.
    pub(crate) fn held(&self, shard: ShardId) -> Option<Arc<ShardHandle>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.get(usize::from(shard.0)).and_then(Clone::clone)
    }

    /// All replicas that are here, in the order of their shards.
    pub(crate) fn all(&self) -> Vec<Arc<ShardHandle>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.iter().flatten().cloned().collect()
    }

    /// From now on the shard is here.
    pub(crate) fn insert(&self, handle: Arc<ShardHandle>) {
        let at = usize::from(handle.id().0);
        self.held.write().unwrap_or_else(PoisonError::into_inner)[at] = Some(handle);
    }

    /// From now on the shard is not here: who watches it looks elsewhere.
    pub(crate) fn remove(&self, shard: ShardId) -> Option<Arc<ShardHandle>> {
        let at = usize::from(shard.0);
        let handle = self.held.write().unwrap_or_else(PoisonError::into_inner)[at].take()?;
        handle.hub().close();
        Some(handle)
    }
}
