//! Who owns a shard, as far as this node knows. The truth is the shard's own group; where no replica
//! of it is here, the map and what other nodes said stand in, and being wrong costs one answer more.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use pollux_cluster::meta::MetaPicture;
use pollux_cluster::{Epoch, NodeId};
use pollux_twin::ShardId;
use tokio::sync::watch;

use crate::limits::OWNER_LOOK_MS;
use crate::shard::ShardHandle;
use crate::shards::Shards;

/// Who owns a shard.
#[derive(Clone)]
pub(crate) enum Owner {
    /// This node.
    Here(Arc<ShardHandle>),
    /// Another node.
    There(NodeId),
    /// Nobody, as far as is known: an election may be under way.
    Unknown,
}

/// Owners of all shards. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Owners {
    me: NodeId,
    shards: Shards,
    picture: watch::Receiver<MetaPicture>,
    /// What other nodes said of shards that are not held here.
    hints: Arc<RwLock<Vec<Option<NodeId>>>>,
}

impl Owners {
    pub(crate) fn new(me: NodeId, shards: Shards, picture: watch::Receiver<MetaPicture>) -> Self {
        let hints = Arc::new(RwLock::new(vec![None; usize::from(shards.count())]));
        Self { me, shards, picture, hints }
    }

    /// Who owns a shard now.
    pub(crate) fn owner(&self, shard: ShardId) -> Owner {
        let Some(handle) = self.shards.held(shard) else {
            return self.elsewhere(shard).map_or(Owner::Unknown, Owner::There);
        };
        match handle.leader() {
            Some(leader) if leader == self.me => Owner::Here(handle),
            Some(leader) => Owner::There(leader),
            // A replica that is yet to be brought up knows nothing.
            None if handle.group().is_pristine() => {
                self.elsewhere(shard).map_or(Owner::Unknown, Owner::There)
            }
            None => Owner::Unknown,
        }
    }

    /// A node that was asked does not own a shard, or cannot be reached: of those that are meant to hold
    /// it, the next one is asked. Each that holds a replica is asked again within a few looks, so that
    /// the owner is found as soon as there is one.
    pub(crate) fn not_at(&self, shard: ShardId, node: NodeId) {
        let at = usize::from(shard.0);
        let next = {
            let picture = self.picture.borrow();
            // While a shard moves, its owner may be one of those that hold it until then.
            let ring: Vec<u64> = picture.meta.map.get(at).map_or_else(Vec::new, |place| {
                let goal = &place.goal.voters;
                let acting = place.acting.iter().filter(|node| !goal.contains(node));
                goal.iter().chain(acting).copied().collect()
            });
            next_after(&ring, node.0, self.me.0).map(NodeId)
        };
        self.hints.write().unwrap_or_else(PoisonError::into_inner)[at] = next;
    }

    /// The nodes that may hold a replica of a shard, in the order in which to ask them for what replicas
    /// know: this one if it votes, then the owner, then those that are meant to hold it or do until then.
    /// A replica here that only follows comes last, as it may be being brought up.
    pub(crate) fn holders(&self, shard: ShardId) -> Vec<NodeId> {
        let here = self.shards.held(shard).filter(|held| !held.group().is_pristine());
        let votes =
            |held: &Arc<ShardHandle>| held.group().metrics().members.voters.contains(&self.me);
        let first = here.as_ref().filter(|held| votes(held)).map(|_| self.me);
        let owner = match self.owner(shard) {
            Owner::There(node) => Some(node),
            Owner::Here(_) | Owner::Unknown => None,
        };
        let meant: Vec<_> = {
            let picture = self.picture.borrow();
            let place = picture.meta.map.get(usize::from(shard.0)).into_iter();
            let nodes = place.flat_map(|place| place.goal.members().chain(place.acting.clone()));
            nodes.map(NodeId).collect()
        };
        let others = owner.into_iter().chain(meant).filter(|node| *node != self.me);
        let mut all = Vec::new();
        for node in first.into_iter().chain(others).chain(here.map(|_| self.me)) {
            if !all.contains(&node) {
                all.push(node);
            }
        }
        all
    }

    /// Waits until the owner of a shard may have changed, at most a moment.
    pub(crate) async fn changed(&self, shard: ShardId) {
        let look = Duration::from_millis(OWNER_LOOK_MS);
        let Some(handle) = self.shards.held(shard) else {
            return tokio::time::sleep(look).await;
        };
        let mut leadership = handle.group().leadership();
        // A leader that is known and not open yet says so by no change of leadership.
        let _ = tokio::time::timeout(look, leadership.changed()).await;
    }

    /// Where a device finds the node that owns a shard.
    pub(crate) fn door(&self, node: NodeId, shard: ShardId) -> Option<(String, Epoch)> {
        let address = self.device_address(node.0)?;
        let epoch = self.shards.held(shard).map(|handle| handle.epoch()).unwrap_or_default();
        Some((address, epoch))
    }

    /// Whether a node belongs to the cluster.
    pub(crate) fn is_member(&self, node: NodeId) -> bool {
        self.picture.borrow().meta.nodes.contains_key(&node.0)
    }

    /// The level at which the cluster writes.
    pub(crate) fn level(&self) -> u32 {
        self.picture.borrow().meta.level
    }

    /// Device addresses of the other nodes that are meant to hold a shard.
    pub(crate) fn next(&self, shard: ShardId) -> Vec<String> {
        let replicas = match self.picture.borrow().meta.map.get(usize::from(shard.0)) {
            Some(place) => place.goal.voters.clone(),
            None => Vec::new(),
        };
        let others = replicas.into_iter().filter(|node| *node != self.me.0);
        others.filter_map(|node| self.device_address(node)).collect()
    }

    fn device_address(&self, node: u64) -> Option<String> {
        let picture = self.picture.borrow();
        let address = &picture.meta.nodes.get(&node)?.profile.addresses.devices;
        (!address.is_empty()).then(|| address.clone())
    }

    fn elsewhere(&self, shard: ShardId) -> Option<NodeId> {
        let at = usize::from(shard.0);
        let hint = self.hints.read().unwrap_or_else(PoisonError::into_inner)[at];
        hint.or_else(|| {
            let picture = self.picture.borrow();
            let preferred = picture.meta.map.get(at)?.goal.preferred();
            preferred.map(NodeId).filter(|node| *node != self.me)
        })
    }
}

/// Who comes after `node` in a list that is taken for a ring, `me` left out.
fn next_after(ring: &[u64], node: u64, me: u64) -> Option<u64> {
    let after = ring.iter().position(|id| *id == node).map_or(0, |at| at + 1);
    let from_there = ring.iter().cycle().skip(after).take(ring.len());
    from_there.copied().find(|id| *id != me)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_holder_is_asked_in_turn() {
        let ring = [3, 1, 2];
        assert_eq!(next_after(&ring, 3, 4), Some(1));
        assert_eq!(next_after(&ring, 1, 4), Some(2));
        assert_eq!(next_after(&ring, 2, 4), Some(3));
        // One that is not meant to hold it any more, and this node itself.
        assert_eq!(next_after(&ring, 7, 4), Some(3));
        assert_eq!(next_after(&ring, 7, 3), Some(1));
        assert_eq!(next_after(&ring, 2, 3), Some(1));
        // A lone holder is asked again.
        assert_eq!(next_after(&[5], 5, 4), Some(5));
        assert_eq!(next_after(&[4], 4, 4), None);
        assert_eq!(next_after(&[], 1, 4), None);
    }
}
