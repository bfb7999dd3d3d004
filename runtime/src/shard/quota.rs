//! What of the limits of tenants concerns one shard: room for devices that are not there yet, the rates of what comes
//! by, and twins that must not grow. On the shard's own thread; what is shared, `tenants` has.

use std::collections::HashMap;
use std::sync::Arc;

use pollux_cluster::fleet::Share;
use pollux_twin::input::FromDevice;
use pollux_twin::output::Answer;
use pollux_twin::{Rejection, ShardId, TwinKey};

use super::replica::Replica;
use crate::limits::{TENANT_COMING_MAX, TENANT_COMING_MS, TENANT_GIVE_BACK_MS, TENANT_WAITING_MAX};
use crate::tenants::{Asked, Step, TenantBook, give_back, step};

/// See the module.
pub(super) struct Quota {
    shard: ShardId,
    book: Arc<TenantBook>,
    replica: Arc<Replica>,
    /// Twins that were let in and that the table does not have yet, since when.
    coming: HashMap<TwinKey, u64>,
    /// What was asked for, of each tenant. It stays when the shard is closed: the orders are under way still.
    asked: HashMap<String, Asked>,
    /// How many wait for room since the last look.
    waiting: usize,
    looked_ms: u64,
}

/// Whether there is room for a device more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There is.
    There,
    /// It is being asked for.
    Comes,
    /// There is none.
    Never(Rejection),
}

impl Quota {
    pub(super) fn new(shard: ShardId, book: Arc<TenantBook>, replica: Arc<Replica>) -> Self {
        let (coming, asked) = (HashMap::new(), HashMap::new());
        Self { shard, book, replica, coming, asked, waiting: 0, looked_ms: 0 }
    }

    /// Whether there is room for a twin, if it is not there yet.
    pub(super) fn make_room(&mut self, key: &TwinKey, now_ms: u64) -> Room {
        if !self.book.any() {
            return Room::There;
        }
        if let Some(since_ms) = self.coming.get_mut(key) {
            // It comes from now on, whatever became of it the last time.
            *since_ms = now_ms;
            return Room::There;
        }
        let tenant = key.tenant();
        let share = self.book.share(tenant, self.shard);
        if share == Share::All || self.replica.is_alive(key) {
            return Room::There;
        }
        if self.coming.len() >= TENANT_COMING_MAX {
            self.look(now_ms);
        }
        let shards = self.book.shards();
        let asked = self.asked.get(tenant).copied();
        let mut found = step(share, asked, self.has(tenant), shards);
        if found != Step::Allowed {
            // Those that have come are counted twice until it is looked.
            self.look(now_ms);
            found = step(share, asked, self.has(tenant), shards);
        }
        match found {
            Step::Allowed => {
                self.coming.insert(key.clone(), now_ms);
                Room::There
            }
            Step::Ask { wants } => {
                self.ask(tenant, share, wants);
                Room::Comes
            }
            Step::Wait => Room::Comes,
            Step::Full { limit } => {
                self.book.refused("devices");
                let max = u32::try_from(limit).unwrap_or(u32::MAX);
                Room::Never(Rejection::TooMany { what: format!("devices of tenant {tenant}"), max })
            }
        }
    }

    /// Counts one who waits for room; whether there may be so many.
    pub(super) const fn wait(&mut self) -> bool {
        self.waiting += 1;
        self.waiting <= TENANT_WAITING_MAX
    }

    /// Whether a service may write now.
    pub(super) fn write(&self, tenant: &str) -> Result<(), Rejection> {
        if !self.book.any() {
            return Ok(());
        }
        let taken = self.book.may_write(tenant);
        taken.map_err(|retry_after_ms| Rejection::Overloaded { retry_after_ms })
    }

    /// Whether a device may say this now; otherwise when. Only reports and telemetry count.
    pub(super) fn message(&self, tenant: &str, message: &FromDevice) -> Result<(), u32> {
        let counts = matches!(message, FromDevice::Report { .. } | FromDevice::Telemetry { .. });
        if counts && self.book.any() { self.book.may_send(tenant) } else { Ok(()) }
    }

    /// The bytes that a tenant may have, if it has them all.
    pub(super) fn full(&self, tenant: &str) -> Option<u64> {
        self.book.any().then(|| self.book.full(tenant)).flatten()
    }

    /// An answer as its caller is told: what was refused for its tenant's sake says so.
    pub(super) fn told(
        &self,
        tenant: &str,
        result: Result<Answer, Rejection>,
    ) -> Result<Answer, Rejection> {
        let Err(Rejection::TooLarge { max: 0, .. }) = &result else { return result };
        let Some(limit) = self.full(tenant) else { return result };
        self.book.refused("bytes");
        let max = u32::try_from(limit / 1024).unwrap_or(u32::MAX);
        Err(Rejection::TooMany { what: format!("KiB of twins of tenant {tenant}"), max })
    }

    /// Time has passed: tells what the shard has, and gives back what others lack.
    pub(super) fn tick(&mut self, now_ms: u64) {
        self.waiting = 0;
        if !self.book.any() || now_ms.saturating_sub(self.looked_ms) < TENANT_GIVE_BACK_MS {
            return;
        }
        self.looked_ms = now_ms;
        self.look(now_ms);
        let shards = self.book.shards();
        let limited = self.book.limited();
        self.asked.retain(|tenant, _| limited.contains(tenant));
        for tenant in limited {
            let (has, share) = (self.has(&tenant), self.book.share(&tenant, self.shard));
            if let Some(wants) = give_back(share, has, shards) {
                self.ask(&tenant, share, wants);
            }
        }
    }

    /// Asks for another share instead of this one, and remembers that it may be there before it is seen.
    fn ask(&mut self, tenant: &str, share: Share, wants: u64) {
        let Share::Of { turn, .. } = share else { return };
        let order = (self.has(tenant), wants);
        if self.book.ask(tenant, (self.shard, turn), order) {
            let asked = Asked::and(self.asked.get(tenant).copied(), turn, order);
            self.asked.insert(tenant.to_owned(), asked);
        }
    }

    /// The shard's actors are gone, and with them what they would have made.
    pub(super) fn forget(&mut self) {
        self.coming.clear();
    }

    /// Devices of a tenant, those that are coming among them.
    fn has(&self, tenant: &str) -> u64 {
        let coming = self.coming.keys().filter(|key| key.tenant() == tenant).count();
        self.replica.tenant(tenant).alive + u64::try_from(coming).unwrap_or(u64::MAX)
    }

    /// Looks which of them have come, or do not come.
    fn look(&mut self, now_ms: u64) {
        let replica = &self.replica;
        self.coming.retain(|key, since_ms| {
            now_ms.saturating_sub(*since_ms) < TENANT_COMING_MS && !replica.is_alive(key)
        });
    }
}
