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
    shares: Vec<Piece>,
    /// For people.
    pub note: String,
    /// When the limits last changed, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who changed them.
    pub by: String,
}

/// The share of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
struct Piece {
    own: u64,
    /// Another one for each change, also over changes of the limits: an order that comes late, or twice, knows an older
    /// one.
    turn: u64,
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
        /// Which of its shares this is: who wants another one says instead of which.
        turn: u64,
    },
}

impl Tenant {
    /// The same with other limits, as of now. Where devices come to be limited, or to fewer than before, all shards have
    /// to tell what they have: shares that nobody uses must not be more than the limit.
    pub(super) fn limited(&self, limits: TenantLimits, shards: usize, now_ms: u64) -> Self {
        let shares = match (self.limits.devices, limits.devices) {
            (_, None) => Vec::new(),
            (Some(before), Some(limit)) if limit >= before => self.shares.clone(),
            (_, Some(_)) => {
                // Orders of before must not count: what was forgotten with the limits cannot be later than now.
                let last = self.shares.iter().map(|share| share.turn).max().unwrap_or(0);
                vec![Piece { own: UNTOLD, turn: now_ms.max(last.saturating_add(1)) }; shards]
            }
        };
        Self { limits, shares, ..self.clone() }
    }

    /// What a shard may have.
    #[must_use]
    pub fn share(&self, shard: u16) -> Share {
        let Some(limit) = self.limits.devices else { return Share::All };
        let share = self.shares.get(usize::from(shard));
        let own = share.map(|share| share.own).filter(|own| *own != UNTOLD);
        let turn = share.map_or(0, |share| share.turn);
        Share::Of { own, free: self.free(limit), limit, turn }
    }

    fn free(&self, limit: u64) -> Option<u64> {
        let told = self.shares.iter().all(|share| share.own != UNTOLD);
        told.then(|| {
            let all = self.shares.iter().fold(0_u64, |all, share| all.saturating_add(share.own));
            limit.saturating_sub(all)
        })
    }

    /// A shard tells how many devices it has, and wants a share of so many instead of that of this turn: more, or less
    /// again. Whether anything changed. It never loses what it has, and gets no more than is free.
    pub(super) fn take(&mut self, shard: u16, turn: u64, (has, wants): (u64, u64)) -> bool {
        let Some(limit) = self.limits.devices else { return false };
        let free = self.free(limit);
        let Some(share) = self.shares.get_mut(usize::from(shard)) else { return false };
        if share.turn != turn {
            return false;
        }
        let before = share.own;
        let wants = wants.max(has).min(UNTOLD - 1);
        let own = match before {
            UNTOLD => has.min(UNTOLD - 1),
            _ if wants <= before => wants,
            // What it has counts though nobody gave it: it was there before the limit, or another owner's.
            _ => wants.min(before.saturating_add(free.unwrap_or(0))).max(has).min(UNTOLD - 1),
        };
        if own == before {
            return false;
        }
        *share = Piece { own, turn: turn.saturating_add(1) };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_790_000_000_000;

    fn devices(devices: u64) -> TenantLimits {
        TenantLimits { devices: Some(devices), ..TenantLimits::default() }
    }

    fn limited(limit: u64, shards: usize) -> Tenant {
        Tenant::default().limited(devices(limit), shards, NOW)
    }

    fn of(tenant: &Tenant, shard: u16) -> (Option<u64>, Option<u64>, u64) {
        match tenant.share(shard) {
            Share::Of { own, free, limit, .. } => (own, free, limit),
            Share::All => panic!("it is limited"),
        }
    }

    fn turn(tenant: &Tenant, shard: u16) -> u64 {
        match tenant.share(shard) {
            Share::Of { turn, .. } => turn,
            Share::All => panic!("it is limited"),
        }
    }

    fn take(tenant: &mut Tenant, shard: u16, has: u64, wants: u64) -> bool {
        tenant.take(shard, turn(tenant, shard), (has, wants))
    }

    #[test]
    fn shares_are_never_more_than_the_limit() {
        let mut tenant = limited(10, 3);
        assert_eq!(of(&tenant, 0).1, None);
        // Nobody gets any before all have told what they have.
        assert!(take(&mut tenant, 0, 2, 9) && take(&mut tenant, 1, 0, 9));
        assert_eq!(of(&tenant, 0), (Some(2), None, 10));
        assert!(!take(&mut tenant, 0, 2, 9));
        assert!(take(&mut tenant, 2, 5, 5));
        assert_eq!(of(&tenant, 0).1, Some(3));
        assert!(take(&mut tenant, 0, 2, 9));
        assert_eq!(of(&tenant, 0), (Some(5), Some(0), 10));
        assert!(!take(&mut tenant, 1, 0, 1), "nothing is free");
        // What is handed back is there for others.
        assert!(take(&mut tenant, 2, 1, 4) && take(&mut tenant, 1, 0, 1));
        assert_eq!(of(&tenant, 1), (Some(1), Some(0), 10));
    }

    #[test]
    fn an_order_that_is_late_or_comes_twice_does_nothing() {
        let mut tenant = limited(10, 2);
        let first = turn(&tenant, 0);
        assert!(take(&mut tenant, 0, 0, 0) && take(&mut tenant, 1, 4, 4));
        assert!(!tenant.take(0, first, (0, 9)), "it saw what was before");
        let second = turn(&tenant, 0);
        assert!(tenant.take(0, second, (2, 6)));
        let full = turn(&tenant, 0);
        assert!(tenant.take(0, full, (2, 2)), "it gives back");
        assert!(!tenant.take(0, full, (2, 2)) && !tenant.take(0, full, (2, 9)));
        // Nor when the share is as large again as it was when the order was sent.
        assert!(take(&mut tenant, 0, 2, 6));
        assert_eq!(of(&tenant, 0), (Some(6), Some(0), 10));
        assert!(!tenant.take(0, full, (2, 2)));
        // Nor after the limit was away for a while.
        let away = tenant.limited(TenantLimits::default(), 2, NOW + 50);
        let mut again = away.limited(devices(10), 2, NOW + 90);
        assert!(!again.take(0, first, (0, 0)) && !again.take(0, full, (2, 2)));
        assert_eq!(of(&again, 0), (None, None, 10));
    }

    #[test]
    fn what_is_there_stays_whatever_the_limit_says() {
        let mut tenant = limited(4, 2);
        assert!(take(&mut tenant, 0, 7, 7) && take(&mut tenant, 1, 3, 3));
        assert_eq!(of(&tenant, 0), (Some(7), Some(0), 4));
        assert!(!take(&mut tenant, 0, 7, 8));
        // A higher limit is used at once.
        let mut tenant = tenant.limited(devices(12), 2, NOW + 1);
        assert_eq!(of(&tenant, 0).1, Some(2));
        assert!(take(&mut tenant, 0, 7, 20));
        assert_eq!(of(&tenant, 0), (Some(9), Some(0), 12));
        let none = tenant.limited(TenantLimits::default(), 2, NOW + 2);
        assert_eq!(none.share(0), Share::All);
        assert!(!tenant.take(9, 0, (1, 1)), "there is no such shard");
    }

    #[test]
    fn a_lower_limit_begins_with_what_there_is() {
        let mut tenant = limited(20, 2);
        assert!(take(&mut tenant, 0, 1, 1) && take(&mut tenant, 1, 0, 0));
        assert!(take(&mut tenant, 0, 1, 10) && take(&mut tenant, 1, 0, 10));
        let before = turn(&tenant, 0);
        for limit in [5, 0] {
            // Even if the clock stood still.
            let mut lower = tenant.limited(devices(limit), 2, 0);
            assert_eq!(of(&lower, 0), (None, None, limit));
            assert!(!lower.take(0, before, (1, 10)), "it was sent before");
            assert!(take(&mut lower, 0, 1, 10) && take(&mut lower, 1, 0, 10));
            assert_eq!(of(&lower, 0), (Some(1), Some(limit.saturating_sub(1)), limit));
            let more = take(&mut lower, 1, 0, 10);
            assert_eq!((more, of(&lower, 1).0), (limit > 0, Some(limit.saturating_sub(1))));
        }
    }
}
