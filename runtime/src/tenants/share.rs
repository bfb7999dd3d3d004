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

/// What was asked for of a share: until another one is seen, any of it may come to be, or has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    turn: u64,
    /// The smallest.
    least: u64,
}

impl Asked {
    /// What is asked for now, beside what was before.
    pub(crate) fn and(before: Option<Self>, turn: u64, (has, wants): (u64, u64)) -> Self {
        let least = has.max(wants);
        let same = before.filter(|before| before.turn == turn);
        Self { turn, least: same.map_or(least, |before| before.least.min(least)) }
    }

    /// The least that the share may be by now, if it is less than it is seen to be.
    fn less(asked: Option<Self>, share: Share) -> Option<u64> {
        let Share::Of { own: Some(own), turn, .. } = share else { return None };
        asked.filter(|asked| asked.turn == turn && asked.least < own).map(|asked| asked.least)
    }
}

/// What to do where the shard has so many, of a cluster of so many shards.
pub(crate) fn step(share: Share, asked: Option<Asked>, has: u64, shards: u64) -> Step {
    let less = Asked::less(asked, share);
    match (share, less) {
        (Share::All, _) => Step::Allowed,
        (Share::Of { own: Some(own), .. }, _) if has < less.unwrap_or(own) => Step::Allowed,
        // What was offered has to be seen to be gone before there can be more again.
        (Share::Of { own: Some(own), .. }, Some(less)) if has < own => Step::Ask { wants: less },
        (Share::Of { own: None, .. }, _) => Step::Ask { wants: has },
        (Share::Of { free: None, .. }, _) => Step::Wait,
        (Share::Of { free: Some(0), limit, .. }, _) => Step::Full { limit },
        (Share::Of { free: Some(free), .. }, _) => Step::Ask { wants: has + block(free, shards) },
    }
}

/// A share to ask for without anybody who waits: to tell what there is, or to give back what others lack.
pub(crate) fn give_back(share: Share, has: u64, shards: u64) -> Option<u64> {
    match share {
        Share::Of { own: None, .. } => Some(has),
        // It was there before the limit, or came by another owner.
        Share::Of { own: Some(own), .. } if has > own => Some(has),
        Share::Of { own: Some(own), free: Some(free), limit, .. }
            if own > has && (free == 0 || free < limit / 10) =>
        {
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
        Share::Of { own, free, limit: 100, turn: 7 }
    }

    fn step(share: Share, has: u64, shards: u64) -> Step {
        super::step(share, None, has, shards)
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
        assert_eq!(give_back(of(Some(5), Some(0)), 6, 4), Some(6), "it tells what nobody gave it");
        assert_eq!(give_back(of(Some(5), None), 6, 4), Some(6));
    }

    #[test]
    fn a_small_limit_is_given_back_too() {
        let small =
            |limit, own, free| Share::Of { own: Some(own), free: Some(free), limit, turn: 7 };
        assert_eq!(give_back(small(5, 4, 0), 1, 4), Some(1));
        assert_eq!(give_back(small(5, 4, 1), 1, 4), None, "nobody lacks any");
        assert_eq!(give_back(small(0, 0, 0), 0, 4), None);
        assert_eq!(give_back(small(0, 2, 0), 1, 4), Some(1));
        assert_eq!(step(small(0, 0, 0), 0, 4), Step::Full { limit: 0 });
        assert_eq!(step(small(5, 1, 4), 1, 4), Step::Ask { wants: 2 });
    }

    #[test]
    fn what_was_offered_is_not_used_before_it_is_seen() {
        let seen = of(Some(20), Some(0));
        let asked = Some(Asked::and(None, 7, (5, 8)));
        assert_eq!(super::step(seen, asked, 7, 4), Step::Allowed);
        // The order may have been lost: it is sent again.
        assert_eq!(super::step(seen, asked, 8, 4), Step::Ask { wants: 8 });
        // Two of them may be under way, and the smaller one may count.
        let both = Some(Asked::and(asked, 7, (8, 12)));
        assert_eq!(super::step(seen, both, 8, 4), Step::Ask { wants: 8 });
        let both = Some(Asked::and(asked, 7, (5, 6)));
        assert_eq!(super::step(seen, both, 6, 4), Step::Ask { wants: 6 });
        assert_eq!(super::step(seen, both, 20, 4), Step::Full { limit: 100 });
        // What has been seen counts, whatever was asked for before.
        let next = Share::Of { own: Some(8), free: Some(12), limit: 100, turn: 8 };
        assert_eq!(super::step(next, both, 7, 4), Step::Allowed);
        assert_eq!(super::step(next, both, 8, 4), Step::Ask { wants: 9 });
        assert_eq!(Asked::and(both, 8, (8, 9)), Asked { turn: 8, least: 9 });
        // To ask for more takes nothing away.
        let more = Some(Asked::and(None, 7, (20, 25)));
        assert_eq!(super::step(seen, more, 19, 4), Step::Allowed);
    }
}
