//! Who of those that share a subscription holds which of its shards, and who should. Pure. How it is written down
//! is `record`'s, when a shard goes from one to another `sharer`'s.
//!
//! Shares differ by one at most, whoever comes keeps what it has for as long as that is not too much, and what should be
//! follows from what is alone: so whichever of them looks decides the same.

use std::collections::{BTreeMap, BTreeSet};

use pollux_twin::ShardId;

/// One of those that share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::service) struct Consumer {
    /// Another for each stream that took its name.
    pub(super) turn: u64,
    /// Goes up while it is there.
    pub(super) beat: u64,
    /// What it holds.
    pub(in crate::service) shards: BTreeSet<ShardId>,
}

/// Those that share, by their names. No two hold the same shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::service) struct Consumers(pub(in crate::service) BTreeMap<String, Consumer>);

impl Consumers {
    /// Who holds a shard.
    pub(super) fn holder(&self, shard: ShardId) -> Option<&str> {
        let mut all = self.0.iter();
        all.find(|(_, one)| one.shards.contains(&shard)).map(|(name, _)| name.as_str())
    }

    /// Who should hold each shard; nobody if there is nobody.
    pub(super) fn goal(&self, all: &[ShardId]) -> BTreeMap<ShardId, &str> {
        let held = |one: &Consumer| all.iter().filter(|shard| one.shards.contains(*shard)).count();
        // Who has most has what is left over when all have the same.
        let mut order: Vec<_> = self.0.iter().map(|(name, one)| (held(one), name, one)).collect();
        order.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        let (each, over) = match order.len() {
            0 => return BTreeMap::new(),
            count => (all.len() / count, all.len() % count),
        };
        let mut goal = BTreeMap::new();
        let mut room = Vec::new();
        for (n, (_, name, one)) in order.into_iter().enumerate() {
            let share = each + usize::from(n < over);
            let kept: Vec<_> =
                all.iter().filter(|shard| one.shards.contains(*shard)).take(share).collect();
            room.extend(std::iter::repeat_n(name.as_str(), share - kept.len()));
            goal.extend(kept.into_iter().map(|shard| (*shard, name.as_str())));
        }
        let left: Vec<_> = all.iter().filter(|shard| !goal.contains_key(*shard)).collect();
        goal.extend(left.into_iter().copied().zip(room));
        goal
    }

    /// What nobody holds goes to who should hold it.
    pub(super) fn give_out(&mut self, all: &[ShardId]) {
        let goal = self.goal(all).into_iter().map(|(shard, to)| (shard, to.to_owned()));
        for (shard, to) in goal.collect::<Vec<_>>() {
            if self.holder(shard).is_none() {
                self.give(shard, &to);
            }
        }
    }

    /// A shard goes to a consumer, whoever has it.
    pub(super) fn give(&mut self, shard: ShardId, to: &str) {
        for (name, one) in &mut self.0 {
            if name == to {
                one.shards.insert(shard);
            } else {
                one.shards.remove(&shard);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shards(count: u16) -> Vec<ShardId> {
        (0..count).map(ShardId).collect()
    }

    fn counts(consumers: &Consumers) -> Vec<usize> {
        consumers.0.values().map(|one| one.shards.len()).collect()
    }

    /// Consumers, each shard held by one of them or by nobody.
    fn some() -> impl Strategy<Value = (Consumers, Vec<ShardId>)> {
        (1..9_usize, 1..40_u16).prop_flat_map(|(count, all)| {
            prop::collection::vec(0..=count, usize::from(all)).prop_map(move |holders| {
                let mut consumers = Consumers::default();
                for n in 0..count {
                    consumers.0.insert(format!("c{n}"), Consumer::default());
                }
                for (shard, holder) in shards(all).into_iter().zip(holders) {
                    consumers.give(shard, &format!("c{holder}"));
                }
                (consumers, shards(all))
            })
        })
    }

    #[test]
    fn the_first_has_all_and_each_that_comes_its_part() {
        let all = shards(7);
        let mut consumers = Consumers::default();
        assert!(consumers.goal(&all).is_empty(), "nobody is there");
        consumers.0.insert("a".into(), Consumer::default());
        consumers.give_out(&all);
        assert_eq!(counts(&consumers), [7]);
        consumers.0.insert("b".into(), Consumer::default());
        consumers.give_out(&all);
        assert_eq!(counts(&consumers), [7, 0], "what is held is not taken");
        let goal = consumers.goal(&all);
        let of_b: Vec<_> = goal.iter().filter(|(_, to)| **to == "b").map(|(id, _)| id.0).collect();
        assert_eq!(of_b, [4, 5, 6]);
    }

    proptest! {
        #[test]
        fn shares_are_even_and_what_is_not_too_much_stays((consumers, all) in some()) {
            let goal = consumers.goal(&all);
            prop_assert_eq!(goal.len(), all.len(), "each shard should have somebody");
            let share = |name: &str| goal.values().filter(|to| **to == name).count();
            let shares: Vec<_> = consumers.0.keys().map(|name| share(name)).collect();
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            prop_assert!(most - least <= 1, "{shares:?}");
            for (name, one) in &consumers.0 {
                let kept = one.shards.iter().filter(|shard| goal[*shard] == name).count();
                prop_assert_eq!(kept, one.shards.len().min(share(name)), "no needless move");
            }
        }

        #[test]
        fn moves_end_in_whatever_order(
            (mut consumers, all) in some(),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 200),
        ) {
            consumers.give_out(&all);
            let mut moved = 0;
            for pick in picks {
                let goal = consumers.goal(&all);
                let due: Vec<_> = goal
                    .into_iter()
                    .filter(|(shard, to)| consumers.holder(*shard) != Some(*to))
                    .map(|(shard, to)| (shard, to.to_owned()))
                    .collect();
                if due.is_empty() {
                    break;
                }
                let (shard, to) = due[pick.index(due.len())].clone();
                consumers.give(shard, &to);
                moved += 1;
            }
            prop_assert!(moved <= all.len(), "a shard moves once");
            let counts = counts(&consumers);
            prop_assert_eq!(counts.iter().sum::<usize>(), all.len());
            prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
        }
    }
}
