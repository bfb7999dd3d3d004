//! How many devices a shard may make room for: a machine that looks at the shard's share of the tenant's limit. Shares
//! are agreed on and never more than the limit in all (`pollux_cluster::fleet`), so a shard that stays within its own
//! need not ask others; it asks for more before it needs it, and gives back what others lack.

use pollux_cluster::fleet::Share;

/// What is to be done with one who would be a device more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is room.
    Allowed,
    /// Not yet: a share of so many has to be agreed on first.
    Ask {
        /// How many devices the shard may want to have.
        wants: u64,
    },
    /// Not yet: others have not told what they have.
    Wait,
    /// No: the tenant has all that it may.
    Full {
        /// How many that is.
        limit: u64,
    },
}

/// What to do where the shard has so many, of a cluster of so many shards.
pub(crate) fn step(share: Share, has: u64, shards: u64) -> Step {
    match share {
        Share::All => Step::Allowed,
        Share::Of { own: Some(own), .. } if has < own => Step::Allowed,
        Share::Of { own: None, .. } => Step::Ask { wants: has },
        Share::Of { free: None, .. } => Step::Wait,
        Share::Of { free: Some(0), limit, .. } => Step::Full { limit },
        Share::Of { free: Some(free), .. } => Step::Ask { wants: has + block(free, shards) },
    }
}

/// A share to ask for without anybody who waits: to tell what there is, or to give back what others lack.
pub(crate) fn give_back(share: Share, has: u64, shards: u64) -> Option<u64> {
    match share {
        Share::Of { own: None, .. } => Some(has),
        Share::Of { own: Some(own), free: Some(free), limit } if own > has && free < limit / 10 => {
            let spare = own - has;
            let keep = if free == 0 { 0 } else { (spare / 2).max(block(free, shards)) };
            (keep < spare).then_some(has + keep)
        }
        Share::All | Share::Of { .. } => None,
    }
}

/// How many are taken at once: so that all shards could do the same, twice.
fn block(free: u64, shards: u64) -> u64 {
    (free / (2 * shards.max(1))).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn of(own: Option<u64>, free: Option<u64>) -> Share {
        Share::Of { own, free, limit: 100 }
    }

    #[test]
    fn a_shard_takes_what_is_free_in_pieces() {
        assert_eq!(step(Share::All, 5, 4), Step::Allowed);
        assert_eq!(step(of(Some(6), Some(0)), 5, 4), Step::Allowed);
        assert_eq!(step(of(Some(5), Some(80)), 5, 4), Step::Ask { wants: 15 });
        assert_eq!(step(of(Some(5), Some(3)), 5, 4), Step::Ask { wants: 6 });
        assert_eq!(step(of(Some(5), Some(0)), 5, 4), Step::Full { limit: 100 });
        assert_eq!(step(of(None, None), 5, 4), Step::Ask { wants: 5 }, "it tells what it has");
        assert_eq!(step(of(Some(5), None), 5, 4), Step::Wait);
    }

    #[test]
    fn what_others_lack_is_given_back() {
        assert_eq!(give_back(of(None, None), 7, 4), Some(7));
        assert_eq!(give_back(of(Some(20), Some(50)), 5, 4), None, "nobody lacks any");
        assert_eq!(give_back(of(Some(20), Some(0)), 5, 4), Some(5));
        assert_eq!(give_back(of(Some(20), Some(8)), 5, 4), Some(12));
        assert_eq!(give_back(of(Some(6), Some(8)), 5, 4), None, "too little to speak of");
        assert_eq!(give_back(of(Some(5), Some(0)), 5, 4), None);
        assert_eq!(give_back(Share::All, 5, 4), None);
    }
}
