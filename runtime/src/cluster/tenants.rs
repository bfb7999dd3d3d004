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
use crate::limits::{STATUS_MS_MAX, TENANT_LOOK_MS, TENANT_SHARE_MS_MAX};
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
    seen: Mutex<Seen>,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was heard while this node leads.
#[derive(Default)]
struct Seen {
    /// When the first round began; none did while it does not lead.
    since_ms: Option<u64>,
    /// What nodes said last, and when they were asked.
    said: BTreeMap<u64, (u64, Uses)>,
}

impl Seen {
    /// A round begins. What is too old goes: whoever said it may have nothing any more.
    fn begin(&mut self, members: &[u64], now_ms: u64) {
        self.since_ms.get_or_insert(now_ms);
        self.said.retain(|id, (at_ms, _)| {
            members.contains(id) && now_ms.saturating_sub(*at_ms) < TENANT_SHARE_MS_MAX
        });
    }

    /// Those of a round that began then have answered; none of it counts where this node has not led ever since.
    fn hear(&mut self, asked_ms: u64, answers: BTreeMap<u64, Uses>) {
        if self.since_ms.is_some_and(|since_ms| since_ms <= asked_ms) {
            self.said.extend(answers.into_iter().map(|(id, uses)| (id, (asked_ms, uses))));
        }
    }

    /// What each node uses of a tenant. One that is silent uses nothing once it could have been heard for long; before
    /// that nobody knows.
    fn uses(&self, nodes: &[u64], tenant: &str, now_ms: u64) -> Option<Vec<Used>> {
        let since_ms = self.since_ms?;
        let silent = now_ms.saturating_sub(since_ms) >= TENANT_SHARE_MS_MAX;
        let of = |id: &u64| match self.said.get(id) {
            Some((_, uses)) => uses.get(tenant).copied(),
            None => silent.then(Used::default),
        };
        nodes.iter().map(of).collect()
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
        let told = {
            let mut seen = self.shared.seen();
            let nodes: Vec<u64> = meta.members().map(|(id, _)| id).collect();
            seen.begin(&nodes, now_ms);
            told(meta, &nodes, &seen, now_ms)
        };
        let (control, shared) = (control.clone(), Arc::clone(&self.shared));
        tokio::spawn(async move {
            let answers = control.ask_uses(told).await;
            shared.seen().hear(now_ms, answers);
            shared.under_way.store(false, Ordering::Release);
        });
    }

    /// This node does not lead: what it heard is another one's to hear.
    pub(super) fn rest(&self) {
        *self.shared.seen() = Seen::default();
    }
}

/// What each node is asked and told, by what was seen last.
fn told(meta: &Meta, nodes: &[u64], seen: &Seen, now_ms: u64) -> BTreeMap<u64, Asked> {
    let mut told: BTreeMap<u64, Asked> = nodes.iter().map(|id| (*id, Asked::new())).collect();
    for (tenant, known) in &meta.fleet.tenants {
        // Before all were heard nobody knows better than each node itself.
        let shares: Vec<_> = match seen.uses(nodes, tenant, now_ms) {
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

    #[test]
    fn who_is_silent_for_long_has_nothing() {
        const LONG: u64 = TENANT_SHARE_MS_MAX;
        let used = |bytes| Used { bytes, ..Used::default() };
        let said =
            |id: u64, bytes| BTreeMap::from([(id, Uses::from([("acme".into(), used(bytes))]))]);
        let mut seen = Seen::default();
        let uses = |seen: &Seen, now_ms| seen.uses(&[1, 2], "acme", now_ms);
        seen.hear(5, said(1, 7));
        assert_eq!(uses(&seen, 5 + LONG), None, "it does not lead");
        // A new leader waits as long for one that is dead as an old one does.
        seen.since_ms = Some(1_000);
        seen.hear(999, said(1, 9));
        assert!(seen.said.is_empty(), "a round of before");
        seen.hear(1_000, said(1, 7));
        assert_eq!(uses(&seen, 1_000), None);
        assert_eq!(uses(&seen, 999 + LONG), None);
        assert_eq!(uses(&seen, 1_000 + LONG), Some(vec![used(7), used(0)]));
        seen.hear(1_500, said(2, 5));
        assert_eq!(uses(&seen, 1_500), Some(vec![used(7), used(5)]));
        // Nobody knows yet what it has of a tenant that has limits since then.
        assert_eq!(seen.uses(&[1, 2], "other", 1_500), None);
        // What one said before it fell silent counts as long.
        seen.begin(&[1, 2], 999 + LONG);
        assert_eq!(uses(&seen, 999 + LONG), Some(vec![used(7), used(5)]));
        seen.begin(&[1, 2], 1_000 + LONG);
        assert_eq!(uses(&seen, 1_000 + LONG), Some(vec![used(0), used(5)]));
        seen.begin(&[1], 1_000 + LONG);
        assert_eq!((seen.since_ms, seen.said.len()), (Some(1_000), 0), "members only");
    }
}
