//! Watches where callers on this node meet them: who may tell what happens on shards, how far those are, and which twins a
//! filter's picture has. How a watch goes on is watch/'s business.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use pollux_cluster::NodeId;
use pollux_cluster::meta::CONTROL_LEVEL;
use pollux_proto::position::{Place, Position};
use pollux_twin::{Rejection, ShardId, TwinKey, View};
use tokio::time::timeout;

use super::{Picture, Router, Scope};
use crate::access::Narrowed;
use crate::cluster::Owner;
use crate::limits::KEEP_STATES_EVERY_MS;
use crate::watch::{self, Sieve, Walk, Watch};

/// When each node was last told to keep what filters are asked of: many watches need tell it once.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<BTreeMap<(NodeId, ShardId), Duration>>);

impl Kept {
    /// Whether it is to be told now; then it counts as told.
    fn is_due(&self, node: NodeId, shard: ShardId, now: Duration) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.entry((node, shard));
        let again = Duration::from_millis(KEEP_STATES_EVERY_MS / 2);
        match before {
            Entry::Occupied(at) if now < *at.get() + again => false,
            Entry::Occupied(mut at) => {
                at.insert(now);
                true
            }
            Entry::Vacant(never) => {
                never.insert(now);
                true
            }
        }
    }
}

impl Router {
    /// Watches the changes of a scope, those that a filter lets through if there is one, from a position or from
    /// now, wherever its shards are.
    pub(crate) async fn watch(
        &self,
        scope: Scope,
        asked: &Narrowed,
        from: Option<&Position>,
        picture: Picture,
    ) -> Result<Watch, Rejection> {
        if !asked.filter.is_empty() && self.level() < CONTROL_LEVEL {
            let reason = "filter: not all nodes know it before the upgrade is finished; run `pollux cluster \
                          upgrade --finish`";
            return Err(Rejection::Invalid { reason: reason.into() });
        }
        Watch::new(self.clone(), scope, asked, from, picture).await
    }

    /// Some twins of a shard for which a filter holds, from the table of a replica that has come to a place.
    pub(crate) async fn sift(
        &self,
        (shard, least): (ShardId, u64),
        sieve: Arc<Sieve>,
        after: Option<&TwinKey>,
    ) -> Result<watch::Page, Rejection> {
        if let Some(handle) = self.shown(shard, least) {
            return watch::page(handle.replica(), sieve, after.cloned()).await;
        }
        let Owner::There(node) = self.owner(shard) else { return Err(Rejection::NotOwner) };
        let page = watch::there(self.forward(), node, (shard, least), &sieve, after).await;
        if page.is_err() {
            self.not_at(shard, node);
        }
        page
    }

    /// A twin if it is within bounds, from the table of a replica that has come to these places.
    pub(crate) async fn matching(
        &self,
        key: &TwinKey,
        bounds: &Narrowed,
        reached: &Position,
    ) -> Result<Option<View>, Rejection> {
        let scope = Scope::One(key.clone());
        // What policies ask can be asked of changes, too.
        let Some(sieve) = Sieve::of(scope.beginning(), bounds)?.map(Arc::new) else {
            return Ok(None);
        };
        let shard = self.inner.shards.of(key);
        let least = reached.shards.get(&shard).map_or(0, |place| place.index);
        let page = self.sift((shard, least), sieve, None).await?;
        // Names that begin like this one follow it.
        let first = page.items.into_iter().next();
        Ok(first.filter(|(found, _)| found == key).map(|(_, view)| view))
    }

    /// Has all nodes that may tell the changes of a scope keep what filters are asked of. One that does not
    /// hear of it is told the next time.
    pub(crate) async fn keep_states(&self, scope: &Scope) {
        let mut others: BTreeMap<NodeId, Vec<u16>> = BTreeMap::new();
        let now = self.inner.clock.elapsed();
        for shard in self.shards_of(scope) {
            for node in self.holders(shard) {
                if node == self.node() {
                    self.keep_states_of(shard);
                } else if self.inner.kept.is_due(node, shard, now) {
                    others.entry(node).or_default().push(shard.0);
                }
            }
        }
        let told = others.into_iter().map(|(node, shards)| async move {
            if let Err(fault) = self.forward().keep_states(node, shards).await {
                tracing::debug!(%node, ?fault, "a node does not hear that a filter is watched");
            }
        });
        join_all(told).await;
    }

    /// The replica of a shard here, if there is one, keeps what filters are asked of.
    pub(crate) fn keep_states_of(&self, shard: ShardId) {
        if let Some(handle) = self.inner.shards.held(shard) {
            handle.replica().keep_states();
        }
    }

    /// Whether a shard has come to a place: a replica here has, or its owner says so. None if nobody who knows is found
    /// for as long as that.
    pub(crate) async fn has_come_to(
        &self,
        shard: ShardId,
        place: Place,
        patience: Duration,
    ) -> Option<bool> {
        if self.shown(shard, place.index).is_some() {
            return Some(true);
        }
        self.committed(shard, patience).await.map(|committed| place.index <= committed)
    }

    /// Up to where a shard's log is committed, and at least where it was when this began; only its owner knows. None if
    /// that is not found for as long as that.
    pub(crate) async fn committed(&self, shard: ShardId, patience: Duration) -> Option<u64> {
        let told = async {
            loop {
                let index = match self.owner(shard) {
                    Owner::Here(handle) => handle.committed().await,
                    Owner::There(node) => {
                        let index = self.forward.barrier(node, shard).await.ok();
                        if index.is_none() {
                            self.not_at(shard, node);
                        }
                        index
                    }
                    Owner::Unknown => None,
                };
                match index {
                    Some(index) => return index,
                    None => self.owner_changed(shard).await,
                }
            }
        };
        timeout(patience, told).await.ok()
    }

    /// Walks over the shards of a scope, from a position or from now.
    pub(crate) fn walks(
        &self,
        scope: &Scope,
        sieve: Option<&Arc<Sieve>>,
        from: Option<&Position>,
    ) -> Vec<Walk> {
        let beginning = scope.beginning();
        let walk = |shard| {
            let after = from.and_then(|from| from.shards.get(&shard)).copied();
            Walk::new(self.clone(), shard, beginning.clone(), sieve.cloned(), after)
        };
        self.shards_of(scope).map(walk).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_watches_tell_a_node_once() {
        let kept = Kept::default();
        let at = |ms| Duration::from_millis(ms);
        let (node, shard) = (NodeId(2), ShardId(1));
        assert!(kept.is_due(node, shard, at(0)));
        assert!(!kept.is_due(node, shard, at(1)));
        assert!(kept.is_due(NodeId(3), shard, at(1)) && kept.is_due(node, ShardId(2), at(1)));
        assert!(kept.is_due(node, shard, at(KEEP_STATES_EVERY_MS)), "each tells it in turn");
    }
}
