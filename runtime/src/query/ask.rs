//! Asking the owners of all shards, until each has answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use pollux_cluster::NodeId;
use pollux_cluster::meta::CONTROL_LEVEL;
use pollux_proto::position::{Place, Position};
use pollux_query::Collector;
use pollux_twin::{Rejection, ShardId};

use super::scan::{Found, scan};
use super::{Answer, Question, refused, remote};
use crate::cluster::Owner;
use crate::limits::OWNER_WAIT_MS_MAX;
use crate::router::Router;

impl Router {
    /// Finds twins by what is in them, as of a place in each shard's log that has all that was acknowledged
    /// before. While a shard's owner changes it is asked again; what others found stays.
    pub(crate) async fn query(&self, question: &Question) -> Result<Answer, Rejection> {
        if question.explain && self.level() < CONTROL_LEVEL {
            let reason = "explain: not all nodes know it before the upgrade is finished; run `pollux cluster upgrade --finish`";
            return Err(Rejection::Invalid { reason: reason.into() });
        }
        let mut left: BTreeSet<ShardId> = self.shards().ids().collect();
        let mut collector = Collector::new(Arc::clone(&question.query));
        let (mut places, mut ways) = (BTreeMap::new(), Vec::new());
        let end = self.clock().elapsed() + Duration::from_millis(OWNER_WAIT_MS_MAX);
        loop {
            for found in self.ask_owners(&left, question).await {
                match found {
                    Ok(Found { part, places: at, ways: told }) => {
                        collector.add(part).map_err(refused)?;
                        ways.extend(told);
                        for (shard, index) in at {
                            left.remove(&shard);
                            // Whoever resumes there has seen all of that entry.
                            places.insert(shard, Place { index, ordinal: u32::MAX });
                        }
                    }
                    Err(Rejection::NotOwner) => {}
                    Err(rejection) => return Err(rejection),
                }
            }
            let Some(waited) = left.first() else { break };
            if self.clock().elapsed() >= end {
                return Err(Rejection::NotOwner);
            }
            self.owner_changed(*waited).await;
        }
        let position = Position { lineage: self.lineage(), shards: places };
        ways.sort_by_key(|way| way.shard);
        Ok(Answer { part: collector.finish(), position, ways })
    }

    async fn ask_owners(
        &self,
        shards: &BTreeSet<ShardId>,
        question: &Question,
    ) -> Vec<Result<Found, Rejection>> {
        let mut here = Vec::new();
        let mut there: BTreeMap<NodeId, Vec<ShardId>> = BTreeMap::new();
        for shard in shards {
            match self.owner(*shard) {
                Owner::Here(_) => here.push(*shard),
                Owner::There(node) => there.entry(node).or_default().push(*shard),
                Owner::Unknown => {}
            }
        }
        let elsewhere = there.into_iter().map(|(node, shards)| async move {
            let found = remote::ask(self.forward(), node, &shards, question).await;
            if found.as_ref().is_err_and(|rejection| *rejection == Rejection::NotOwner) {
                // Whoever asks again asks the next one.
                shards.iter().for_each(|shard| self.not_at(*shard, node));
            }
            found
        });
        let mine = async {
            if here.is_empty() {
                return None;
            }
            Some(self.query_here(&here, question).await)
        };
        let (mine, mut found) = tokio::join!(mine, join_all(elsewhere));
        found.extend(mine);
        found
    }

    /// What is on shards that this node owns: all of them, or nothing.
    pub(crate) async fn query_here(
        &self,
        shards: &[ShardId],
        question: &Question,
    ) -> Result<Found, Rejection> {
        let owned = shards.iter().map(|shard| match self.owner(*shard) {
            Owner::Here(handle) => Ok(handle),
            Owner::There(_) | Owner::Unknown => Err(Rejection::NotOwner),
        });
        let owned = owned.collect::<Result<_, _>>()?;
        scan(self.turns(), (self.node(), owned), question).await
    }
}
