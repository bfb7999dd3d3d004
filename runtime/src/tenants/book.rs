//! The limits that this node knows, and what of the tenants that have some comes by here. Where none has, nothing is
//! looked at.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pollux_cluster::fleet::{Change, Share, TenantLimits};
use pollux_cluster::meta::{Command, Meta, MetaPicture};
use pollux_twin::ShardId;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::cluster::Decider;
use crate::limits::{TENANT_SHARE_MS_MAX, TENANT_WINDOW_MS};
use crate::metrics::Metrics;
use crate::session::Rate;

/// What a tenant has and uses, on one node or on all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Used {
    /// Devices of shards that are owned there.
    pub(crate) devices: u64,
    /// Bytes of their twins.
    pub(crate) bytes: u64,
    /// Messages of devices a second, also those that were refused.
    pub(crate) messages_per_s: u64,
    /// Writes of services a second, also those that were refused.
    pub(crate) writes_per_s: u64,
}

impl Used {
    pub(crate) fn add(&mut self, other: Self) {
        self.devices += other.devices;
        self.bytes += other.bytes;
        self.messages_per_s += other.messages_per_s;
        self.writes_per_s += other.writes_per_s;
    }
}

/// What a node is told of a tenant by whoever asks all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// The node's share of the messages a second.
    pub(crate) messages_per_s: u64,
    /// Its share of the writes a second.
    pub(crate) writes_per_s: u64,
    /// Whether the tenant has all the bytes that it may have.
    pub(crate) full: bool,
}

/// See the module.
pub(crate) struct TenantBook {
    /// Whether any tenant has limits.
    any: AtomicBool,
    picture: watch::Receiver<MetaPicture>,
    decider: Decider,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// Where shares are asked for: the threads of shards are not for that.
    tasks: Handle,
    traffic: Mutex<HashMap<String, Traffic>>,
    /// Shares that are being asked for.
    asking: Mutex<HashSet<(String, u16)>>,
}

/// What of a tenant comes by.
struct Traffic {
    limits: TenantLimits,
    told: Option<(u64, Told)>,
    messages: Flow,
    writes: Flow,
}

/// A rate that is held, and measured.
struct Flow {
    per_s: u64,
    bucket: Rate,
    /// How many were asked for since when, and how many a second before that.
    count: u64,
    since_ms: u64,
    measured: u64,
}

impl Flow {
    fn new(now_ms: u64) -> Self {
        let bucket = Rate::new(0, 0, now_ms);
        Self { per_s: 0, bucket, count: 0, since_ms: now_ms, measured: 0 }
    }

    fn take(&mut self, limit: Option<u64>, share: u64, now_ms: u64) -> Result<(), u32> {
        self.roll(now_ms);
        self.count += 1;
        if limit.is_none() {
            return Ok(());
        }
        if self.per_s != share {
            self.per_s = share;
            let per_s = u32::try_from(share).unwrap_or(u32::MAX).max(1);
            // A second's worth at once; what was used up stays used up.
            let before = self.bucket;
            self.bucket = Rate::new(per_s, per_s, now_ms);
            self.bucket.less_as(&before);
        }
        self.bucket.take(now_ms)
    }

    fn roll(&mut self, now_ms: u64) {
        let passed = now_ms.saturating_sub(self.since_ms);
        if passed >= TENANT_WINDOW_MS {
            self.measured = self.count.saturating_mul(1000) / passed;
            (self.count, self.since_ms) = (0, now_ms);
        }
    }

    fn per_s(&mut self, now_ms: u64) -> u64 {
        self.roll(now_ms);
        self.measured
    }
}

/// What was told, if that was lately: who told it may be gone.
fn fresh(told: Option<(u64, Told)>, now_ms: u64) -> Option<Told> {
    told.filter(|(at, _)| now_ms.saturating_sub(*at) < TENANT_SHARE_MS_MAX).map(|(_, told)| told)
}

impl TenantBook {
    /// One that follows what the cluster agrees on.
    pub(crate) fn follow(decider: Decider, clock: Clock, metrics: Arc<Metrics>) -> Arc<Self> {
        let picture = decider.picture();
        let book = Arc::new(Self {
            any: AtomicBool::new(false),
            picture,
            decider,
            clock,
            metrics,
            tasks: Handle::current(),
            traffic: Mutex::default(),
            asking: Mutex::default(),
        });
        let meta = book.meta();
        book.learn(&meta);
        let (learning, mut picture) = (Arc::clone(&book), book.picture.clone());
        tokio::spawn(async move {
            while picture.changed().await.is_ok() {
                let meta = Arc::clone(&picture.borrow_and_update().meta);
                learning.learn(&meta);
            }
        });
        book
    }

    fn meta(&self) -> Arc<Meta> {
        Arc::clone(&self.picture.borrow().meta)
    }

    fn learn(&self, meta: &Meta) {
        let (mut traffic, now_ms) = (self.traffic(), self.clock.elapsed_ms());
        traffic.retain(|tenant, _| meta.fleet.tenants.contains_key(tenant));
        for (tenant, known) in &meta.fleet.tenants {
            let fresh = || Traffic {
                limits: known.limits,
                told: None,
                messages: Flow::new(now_ms),
                writes: Flow::new(now_ms),
            };
            traffic.entry(tenant.clone()).or_insert_with(fresh).limits = known.limits;
        }
        self.any.store(!traffic.is_empty(), Ordering::Release);
    }

    /// Whether any tenant has limits.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// The tenants that have limits.
    pub(crate) fn limited(&self) -> Vec<String> {
        if self.any() { self.meta().fleet.tenants.keys().cloned().collect() } else { Vec::new() }
    }

    /// Whether a device may say one thing more now; otherwise when.
    pub(crate) fn may_send(&self, tenant: &str) -> Result<(), u32> {
        let now_ms = self.clock.elapsed_ms();
        let mut all = self.traffic();
        let Some(traffic) = all.get_mut(tenant) else { return Ok(()) };
        let limit = traffic.limits.messages_per_s;
        let share = self.share_of(limit, traffic.told, now_ms, |told| told.messages_per_s);
        let taken = traffic.messages.take(limit, share, now_ms);
        taken.inspect_err(|_| self.refused("messages"))
    }

    /// Whether a service may write once more now; otherwise when.
    pub(crate) fn may_write(&self, tenant: &str) -> Result<(), u32> {
        let now_ms = self.clock.elapsed_ms();
        let mut all = self.traffic();
        let Some(traffic) = all.get_mut(tenant) else { return Ok(()) };
        let limit = traffic.limits.writes_per_s;
        let share = self.share_of(limit, traffic.told, now_ms, |told| told.writes_per_s);
        let taken = traffic.writes.take(limit, share, now_ms);
        taken.inspect_err(|_| self.refused("writes"))
    }

    /// A node's share of a rate: as it was told lately; otherwise as if all nodes did as much.
    fn share_of(
        &self,
        limit: Option<u64>,
        told: Option<(u64, Told)>,
        now_ms: u64,
        of: impl Fn(Told) -> u64,
    ) -> u64 {
        let Some(limit) = limit else { return 0 };
        fresh(told, now_ms).map_or_else(
            || {
                let nodes = self.picture.borrow().meta.active().count();
                (limit / u64::try_from(nodes.max(1)).unwrap_or(1)).max(1)
            },
            |told| of(told).min(limit),
        )
    }

    /// The bytes that a tenant may have, if it has them all: its twins must not grow.
    pub(crate) fn full(&self, tenant: &str) -> Option<u64> {
        let now_ms = self.clock.elapsed_ms();
        let all = self.traffic();
        let traffic = all.get(tenant)?;
        let full = fresh(traffic.told, now_ms).is_some_and(|told| told.full);
        traffic.limits.bytes.filter(|_| full)
    }

    /// How many devices of a tenant a shard may have.
    pub(crate) fn share(&self, tenant: &str, shard: ShardId) -> Share {
        let picture = self.picture.borrow();
        picture.meta.fleet.tenants.get(tenant).map_or(Share::All, |known| known.share(shard.0))
    }

    /// How many shards there are.
    pub(crate) fn shards(&self) -> u64 {
        u64::try_from(self.picture.borrow().meta.map.len()).unwrap_or(u64::MAX)
    }

    /// Has it agreed on that a shard, which has so many devices, may have so many instead of its share of that turn. Does
    /// not wait for it; whether it is asked for, and nothing else is at the moment.
    pub(crate) fn ask(
        self: &Arc<Self>,
        tenant: &str,
        (shard, turn): (ShardId, u64),
        (has, wants): (u64, u64),
    ) -> bool {
        let name = (tenant.to_owned(), shard.0);
        if !self.asking().insert(name.clone()) {
            return false;
        }
        let book = Arc::clone(self);
        let tenant = tenant.to_owned();
        let share = Change::ShareDevices { tenant, shard: shard.0, turn, has, wants };
        self.tasks.spawn(async move {
            if let Err(fault) = book.decider.decide(Command::Fleet(Box::new(share))).await {
                tracing::debug!(%fault, "no share of a tenant's devices; it is asked for again");
            }
            book.asking().remove(&name);
        });
        true
    }

    /// Takes what is told of tenants.
    pub(crate) fn take(&self, told: BTreeMap<String, Told>) {
        let (mut traffic, now_ms) = (self.traffic(), self.clock.elapsed_ms());
        for (tenant, told) in told {
            if let Some(known) = traffic.get_mut(&tenant) {
                known.told = Some((now_ms, told));
            }
        }
    }

    /// What of a tenant comes by here a second: messages and writes.
    pub(crate) fn rates(&self, tenant: &str) -> (u64, u64) {
        let now_ms = self.clock.elapsed_ms();
        let mut all = self.traffic();
        all.get_mut(tenant)
            .map_or((0, 0), |known| (known.messages.per_s(now_ms), known.writes.per_s(now_ms)))
    }

    /// Counts something that was refused for a limit.
    pub(crate) fn refused(&self, limit: &str) {
        self.metrics.tenant_refusals_total.of(limit).inc();
    }

    fn traffic(&self) -> MutexGuard<'_, HashMap<String, Traffic>> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asking(&self) -> MutexGuard<'_, HashSet<(String, u16)>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_counts_for_a_while() {
        let told = Told { full: true, ..Told::default() };
        let at = |now_ms| fresh(Some((1_000, told)), now_ms);
        assert_eq!(at(1_000), Some(told));
        assert_eq!(at(999 + TENANT_SHARE_MS_MAX), Some(told));
        assert_eq!(at(1_000 + TENANT_SHARE_MS_MAX), None, "nor is it full any more");
        assert_eq!(fresh(None, 0), None);
    }
}
