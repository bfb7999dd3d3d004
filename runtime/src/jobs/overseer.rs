//! Sees to it that jobs whose twins this node owns are carried out here, and forgotten when it is time. Whoever owned
//! them before finds that out by the first write that it tries.

use std::collections::BTreeMap;
use std::time::Duration;

use pollux_twin::{Rejection, ShardId, TwinKey};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::limits::{LOOK_EVERY, OVER_LOOK, SEEN_MAX};
use super::record::{self, Kept, Wish};
use super::runner::{Office, Runner};
use crate::cluster::Owner;

/// Carries out the jobs that are this node's until it stops.
pub(crate) async fn oversee(office: Office, stopping: CancellationToken) {
    let mut overseer = Overseer { office, running: BTreeMap::new(), later: BTreeMap::new() };
    let mut tick = interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopping.cancelled() => break,
            _ = tick.tick() => overseer.look(),
        }
    }
    overseer.running.into_values().for_each(|task| task.abort());
}

struct Overseer {
    office: Office,
    running: BTreeMap<TwinKey, JoinHandle<()>>,
    /// Jobs that are over, and when to look at them again.
    later: BTreeMap<TwinKey, Duration>,
}

impl Overseer {
    fn look(&mut self) {
        self.running.retain(|_, task| !task.is_finished());
        let now = self.office.clock.elapsed();
        self.later.retain(|_, at| *at > now);
        let beginning = record::beginning();
        for handle in self.office.router.shards().all() {
            let shard = handle.id();
            let owner = self.office.router.owner(shard);
            if !matches!(owner, Owner::Here(_)) || !handle.is_open() {
                continue;
            }
            let keys = handle.keys_after(None, &beginning, SEEN_MAX);
            if keys.len() == SEEN_MAX {
                tracing::warn!(%shard, SEEN_MAX, "more jobs than are looked through: delete some");
            }
            for key in keys {
                if self.running.contains_key(&key) || self.later.contains_key(&key) {
                    continue;
                }
                let Some(kept) = handle.view(&key).as_ref().and_then(Kept::read) else {
                    // Deleted, or of a program that knows more.
                    self.later.insert(key, now + OVER_LOOK);
                    continue;
                };
                self.see_to(shard, key, kept, now);
            }
        }
    }

    fn see_to(&mut self, shard: ShardId, key: TwinKey, kept: Kept, now: Duration) {
        let task = if !kept.is_over() {
            let runner = Runner::new(self.office.clone(), shard, key.clone(), &kept);
            tokio::spawn(runner.run())
        } else if self.is_to_be_forgotten(&kept) {
            let store = self.office.store.clone();
            let job = key.clone();
            tokio::spawn(async move {
                match store.forget(&kept).await {
                    Ok(()) => tracing::info!(%job, "a job is forgotten"),
                    Err(Rejection::VersionMismatch { .. }) => {}
                    Err(rejection) => tracing::debug!(%job, ?rejection, "not forgotten yet"),
                }
            })
        } else {
            self.later.insert(key, now + OVER_LOOK);
            return;
        };
        self.running.insert(key, task);
    }

    fn is_to_be_forgotten(&self, kept: &Kept) -> bool {
        let keep_ms = kept.record.kept_plan().map_or(u64::MAX, |plan| plan.keep_ms);
        let end_ms = kept.progress.ended_ms.saturating_add(keep_ms);
        kept.record.wish == Wish::Delete || end_ms <= self.office.now().ms
    }
}
