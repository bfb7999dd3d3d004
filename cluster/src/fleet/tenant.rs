//! What a tenant may have of the cluster. Owns its limits, and how many devices each shard may have of it: the shards
//! take shares of what there is, which are never more in all, so that none has to ask the others. What is used, and
//! that nobody uses more, is for those who own the shards.

use rkyv::{Archive, Deserialize, Serialize};

/// The share of a shard that has not told how many devices it has yet.
const UNTOLD: u64 = u64::MAX;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Tenant {
    /// What it may have.
    pub limits: TenantLimits,
    /// How many devices each shard may have; empty where they are not limited.
    shares: Vec<u64>,
    /// For people.
    pub note: String,
    /// When the limits last changed, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who changed them.
    pub by: String,
}

/// What a tenant may have; of what is not said, as much as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct TenantLimits {
    /// Devices that are there.
    pub devices: Option<u64>,
    /// Messages of devices a second.
    pub messages_per_s: Option<u64>,
    /// Writes of services a second.
    pub writes_per_s: Option<u64>,
    /// Bytes of twins.
    pub bytes: Option<u64>,
}

impl TenantLimits {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What a shard may have of a tenant's devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// As many as come.
    All,
    /// So many, of a limit.
    Of {
        /// Its share; `None` if it has not told how many it has.
        own: Option<u64>,
        /// What no shard has; none while not all have told what they have.
        free: Option<u64>,
        /// The limit.
        limit: u64,
    },
}

impl Tenant {
    /// The same with other limits. Where devices come to be limited, all shards have to tell what they have.
    pub(super) fn limited(&self, limits: TenantLimits, shards: usize) -> Self {
        let shares = match (self.limits.devices, limits.devices) {
            (_, None) => Vec::new(),
            (Some(_), Some(_)) => self.shares.clone(),
            (None, Some(_)) => vec![UNTOLD; shards],
        };
        Self { limits, shares, ..self.clone() }
    }

    /// What a shard may have.
    #[must_use]
    pub fn share(&self, shard: u16) -> Share {
        let Some(limit) = self.limits.devices else { return Share::All };
        let own = self.shares.get(usize::from(shard)).copied().filter(|own| *own != UNTOLD);
        Share::Of { own, free: self.free(limit), limit }
    }

    fn free(&self, limit: u64) -> Option<u64> {
        let told = self.shares.iter().all(|share| *share != UNTOLD);
        told.then(|| {
            let all = self.shares.iter().fold(0_u64, |all, share| all.saturating_add(*share));
            limit.saturating_sub(all)
        })
    }

    /// A shard tells how many devices it has, and wants a share of so many: more, or less again. Whether anything
    /// changed. It never loses what it has, and gets no more than is free.
    pub(super) fn take(&mut self, shard: u16, has: u64, wants: u64) -> bool {
        let Some(limit) = self.limits.devices else { return false };
        let free = self.free(limit);
        let Some(share) = self.shares.get_mut(usize::from(shard)) else { return false };
        let before = *share;
        let wants = wants.max(has).min(UNTOLD - 1);
        *share = match before {
            UNTOLD => has.min(UNTOLD - 1),
            _ if wants <= before => wants,
            // What it has counts though nobody gave it: it was there before the limit, or another owner's.
            _ => wants.min(before.saturating_add(free.unwrap_or(0))).max(has),
        };
        *share != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(devices: u64, shards: usize) -> Tenant {
        let limits = TenantLimits { devices: Some(devices), ..TenantLimits::default() };
        Tenant::default().limited(limits, shards)
    }

    fn free(tenant: &Tenant) -> Option<u64> {
        match tenant.share(0) {
            Share::Of { free, .. } => free,
            Share::All => panic!("it is limited"),
        }
    }

    #[test]
    fn shares_are_never_more_than_the_limit() {
        let mut tenant = limited(10, 3);
        assert_eq!(free(&tenant), None);
        // Nobody gets any before all have told what they have.
        assert!(tenant.take(0, 2, 9) && tenant.take(1, 0, 9));
        assert_eq!(tenant.share(0), Share::Of { own: Some(2), free: None, limit: 10 });
        assert!(!tenant.take(0, 2, 9));
        assert!(tenant.take(2, 5, 5));
        assert_eq!(free(&tenant), Some(3));
        assert!(tenant.take(0, 2, 9));
        assert_eq!(tenant.share(0), Share::Of { own: Some(5), free: Some(0), limit: 10 });
        assert!(!tenant.take(1, 0, 1), "nothing is free");
        // What is handed back is there for others.
        assert!(tenant.take(2, 1, 4) && tenant.take(1, 0, 1));
        assert_eq!(tenant.share(1), Share::Of { own: Some(1), free: Some(0), limit: 10 });
    }

    #[test]
    fn what_is_there_stays_whatever_the_limit_says() {
        let mut tenant = limited(4, 2);
        assert!(tenant.take(0, 7, 7) && tenant.take(1, 3, 3));
        assert_eq!(tenant.share(0), Share::Of { own: Some(7), free: Some(0), limit: 4 });
        assert!(!tenant.take(0, 7, 8));
        // A lower limit takes nothing away, and a higher one is used at once.
        let higher = TenantLimits { devices: Some(12), ..TenantLimits::default() };
        let mut tenant = tenant.limited(higher, 2);
        assert_eq!(free(&tenant), Some(2));
        assert!(tenant.take(0, 7, 20));
        assert_eq!(tenant.share(0), Share::Of { own: Some(9), free: Some(0), limit: 12 });
        let none = tenant.limited(TenantLimits::default(), 2);
        assert_eq!(none.share(0), Share::All);
        assert!(!tenant.take(9, 1, 1), "there is no such shard");
    }
}
