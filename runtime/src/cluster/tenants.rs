//! What tenants use of the whole cluster. The node that leads the meta group asks all nodes again and again, and tells
//! each its share of what tenants with limits may have a second; whoever is asked what a tenant uses asks them, too.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use pollux_cluster::NodeId;
use pollux_cluster::fleet::TenantLimits;
use pollux_cluster::meta::Meta;

use super::Kind;
use super::control::Control;
use crate::limits::{STATUS_MS_MAX, TENANT_LOOK_MS};
use crate::router::Router;
use crate::tenants::{TenantBook, Told, Used, divide};

/// What a node is asked about: tenants, and what it is told of them.
type Asked = BTreeMap<String, Option<Told>>;
/// What it has and uses of each.
type Uses = BTreeMap<String, Used>;

/// What this node has and uses, of tenants that another one asks about; takes what it is told of them.
pub(super) fn answer(router: &Router, book: &TenantBook, payload: &[u8]) -> Option<Vec<u8>> {
    let asked: Asked = serde_json::from_slice(payload).ok()?;
    let uses: Uses =
        asked.keys().map(|tenant| (tenant.clone(), of(router, book, tenant))).collect();
    book.take(asked.into_iter().filter_map(|(tenant, told)| Some((tenant, told?))).collect());
    Some(serde_json::to_vec(&uses).expect("plain numbers are JSON"))
}

/// What a tenant has in the shards that this node owns, and what of it comes by here.
pub(crate) fn of(router: &Router, book: &TenantBook, tenant: &str) -> Used {
    let (messages_per_s, writes_per_s) = book.rates(tenant);
    let mut used = Used { messages_per_s, writes_per_s, ..Used::default() };
    for shard in router.shards().all().iter().filter(|shard| shard.is_open()) {
        let counts = shard.replica().tenant(tenant);
        used.devices += counts.alive;
        used.bytes += counts.bytes;
    }
    used
}

impl Control {
    /// What tenants use of the cluster, and the nodes that did not say.
    pub(crate) async fn used(&self, tenants: &[String]) -> (BTreeMap<String, Used>, Vec<u64>) {
        let asked: Asked = tenants.iter().map(|tenant| (tenant.clone(), None)).collect();
        let nodes: Vec<u64> = self.meta().members().map(|(id, _)| id).collect();
        let told = nodes.iter().map(|id| (*id, asked.clone())).collect();
        let answers = self.ask_uses(told).await;
        let silent = nodes.into_iter().filter(|id| !answers.contains_key(id)).collect();
        let mut all: BTreeMap<String, Used> = BTreeMap::new();
        for (tenant, used) in answers.into_values().flatten() {
            all.entry(tenant).or_default().add(used);
        }
        (all, silent)
    }

    async fn ask_uses(&self, told: BTreeMap<u64, Asked>) -> BTreeMap<u64, Uses> {
        let asked = told.into_iter().map(|(id, asked)| async move {
            let payload = serde_json::to_vec(&asked).expect("plain numbers are JSON");
            let patience = Duration::from_millis(STATUS_MS_MAX);
            let said = self.forward.ask(NodeId(id), Kind::Tenants, payload.into(), patience).await;
            Some((id, serde_json::from_slice(&said.ok()?).ok()?))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

/// The rounds of the node that leads.
#[derive(Default)]
pub(super) struct Rounds {
    last_ms: u64,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    under_way: AtomicBool,
    seen: Mutex<BTreeMap<u64, Uses>>,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, BTreeMap<u64, Uses>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rounds {
    /// Begins a round if it is time for one and there is anything to ask; does not wait for it.
    pub(super) fn turn(&mut self, control: &Control, meta: &Arc<Meta>) {
        let now_ms = control.clock.elapsed_ms();
        let due = now_ms.saturating_sub(self.last_ms) >= TENANT_LOOK_MS;
        if meta.fleet.tenants.is_empty() || !due {
            return;
        }
        if self.shared.under_way.swap(true, Ordering::AcqRel) {
            return;
        }
        self.last_ms = now_ms;
        let (control, meta, shared) = (control.clone(), Arc::clone(meta), Arc::clone(&self.shared));
        tokio::spawn(async move {
            let told = told(&meta, &shared.seen());
            let answers = control.ask_uses(told).await;
            let mut seen = shared.seen();
            // One that does not answer has what it was told last, for a while.
            seen.extend(answers);
            seen.retain(|id, _| meta.members().any(|(member, _)| member == *id));
            drop(seen);
            shared.under_way.store(false, Ordering::Release);
        });
    }
}

/// What each node is asked and told, by what was seen last.
fn told(meta: &Meta, seen: &BTreeMap<u64, Uses>) -> BTreeMap<u64, Asked> {
    let nodes: Vec<u64> = meta.members().map(|(id, _)| id).collect();
    let mut told: BTreeMap<u64, Asked> = nodes.iter().map(|id| (*id, Asked::new())).collect();
    for (tenant, known) in &meta.fleet.tenants {
        let uses: Vec<_> = nodes
            .iter()
            .map(|id| seen.get(id).and_then(|uses| uses.get(tenant)).copied())
            .collect();
        // Before all were heard nobody knows better than each node itself.
        let shares: Vec<_> = match uses.iter().copied().collect::<Option<Vec<Used>>>() {
            None => vec![None; nodes.len()],
            Some(uses) => shares(&known.limits, &uses).into_iter().map(Some).collect(),
        };
        for (id, share) in nodes.iter().zip(shares) {
            told.entry(*id).or_default().insert(tenant.clone(), share);
        }
    }
    told
}

fn shares(limits: &TenantLimits, uses: &[Used]) -> Vec<Told> {
    let of = |limit: Option<u64>, use_of: fn(&Used) -> u64| {
        divide(limit.unwrap_or(0), &uses.iter().map(use_of).collect::<Vec<_>>())
    };
    let messages = of(limits.messages_per_s, |used| used.messages_per_s);
    let writes = of(limits.writes_per_s, |used| used.writes_per_s);
    let bytes = uses.iter().fold(0_u64, |all, used| all.saturating_add(used.bytes));
    let full = limits.bytes.is_some_and(|limit| bytes >= limit);
    let both = messages.into_iter().zip(writes);
    both.map(|(messages_per_s, writes_per_s)| Told { messages_per_s, writes_per_s, full }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_what_is_asked_for() {
        let limits = TenantLimits {
            messages_per_s: Some(100),
            bytes: Some(1000),
            ..TenantLimits::default()
        };
        let used = |messages_per_s, bytes| Used { messages_per_s, bytes, ..Used::default() };
        let both = shares(&limits, &[used(300, 400), used(0, 500)]);
        assert_eq!((both[0].messages_per_s, both[1].messages_per_s), (95, 5));
        assert!(!both[0].full);
        assert!(shares(&limits, &[used(0, 500), used(0, 500)]).iter().all(|told| told.full));
        let none = shares(&TenantLimits::default(), &[used(9, 9)]);
        assert!(!none[0].full);
    }
}
