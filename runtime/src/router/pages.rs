//! Pages of what tables have, from the replicas here and on other nodes: as lists show twins, and what can be restored.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use pollux_cluster::NodeId;
use pollux_twin::twin::Restorable;
use pollux_twin::{Rejection, ShardId, TwinKey};

use super::{Router, Scope};
use crate::cluster::Owner;
use crate::limits::PAGE_MAX;
use crate::shard::ShardHandle;
use crate::watch::Cursor;

/// Some of a page, and the key after which it goes on.
type Part<T> = (Vec<(TwinKey, T)>, Option<TwinKey>);
/// Shards, and the places in their logs that their tables must have come to.
type Asked = Vec<(ShardId, u64)>;

impl Router {
    /// One page of twins that were deleted and can be brought back, from the tables as [`Router::list`] has them.
    pub(crate) async fn restorable(
        &self,
        scope: &Scope,
        after: Option<&TwinKey>,
        limit: usize,
        reached: &BTreeMap<ShardId, Cursor>,
    ) -> Result<Part<Restorable>, Rejection> {
        let (limit, beginning) = (limit.clamp(1, PAGE_MAX), scope.beginning());
        let now = self.clock().wall();
        let here = |shard: &ShardHandle| shard.restorable(&beginning, after, now, limit + 1);
        let there =
            |node, shards| self.forward.restorable(node, shards, &beginning, after, limit + 1);
        self.gather(scope, limit, reached, here, there).await
    }

    /// One page of such, which another node asked for: the shards that were looked into, and what was found.
    pub(crate) fn restorable_for_peer(
        &self,
        shards: &[(u16, u64)],
        beginning: &str,
        after: Option<&TwinKey>,
        limit: usize,
    ) -> (Vec<u16>, Vec<(TwinKey, Restorable)>) {
        let now = self.clock().wall();
        let held = shards.iter().filter_map(|(shard, least)| self.shown(ShardId(*shard), *least));
        let (mut items, mut found) = (BTreeMap::new(), Vec::new());
        for handle in held {
            found.push(handle.id().0);
            items.extend(handle.restorable(beginning, after, now, limit));
        }
        (found, items.into_iter().take(limit).collect())
    }

    /// What `here` finds in replicas that are here and `there` at other nodes, in the order of keys.
    pub(super) async fn gather<T, F: Future<Output = Result<Vec<(TwinKey, T)>, Rejection>>>(
        &self,
        scope: &Scope,
        limit: usize,
        reached: &BTreeMap<ShardId, Cursor>,
        here: impl Fn(&ShardHandle) -> Vec<(TwinKey, T)>,
        there: impl Fn(NodeId, Asked) -> F,
    ) -> Result<Part<T>, Rejection> {
        let mut items = BTreeMap::new();
        let mut elsewhere: BTreeMap<NodeId, Asked> = BTreeMap::new();
        for shard in self.shards_of(scope) {
            let least = reached.get(&shard).map_or(0, |place| place.index);
            match (self.shown(shard, least), self.inner.owners.owner(shard)) {
                (Some(handle), _) => items.extend(here(&handle)),
                (None, Owner::There(node)) => {
                    elsewhere.entry(node).or_default().push((shard, least));
                }
                (None, Owner::Here(_) | Owner::Unknown) => return Err(Rejection::NotOwner),
            }
        }
        let there = &there;
        let asked = elsewhere.into_iter().map(|(node, shards)| async move {
            let page = there(node, shards.clone()).await;
            if page.is_err() {
                // Whoever asks again asks the next one.
                shards.iter().for_each(|(shard, _)| self.inner.owners.not_at(*shard, node));
            }
            page
        });
        for page in try_join_all(asked).await? {
            items.extend(page);
        }
        items.retain(|key, _| scope.contains(key));
        let next = (items.len() > limit).then(|| items.keys().nth(limit - 1).cloned()).flatten();
        Ok((items.into_iter().take(limit).collect(), next))
    }
}
