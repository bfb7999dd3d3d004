//! One of those that share a subscription, as its node sees it: what it holds, what it has to give up, and whom it does
//! not hear of any more. Pure: the driver (`shared`) reads and writes the record, and tells the events.
//!
//! A shard goes from one to another in three steps. Its holder tells no more of it; waits until what it told is
//! acknowledged, but not for ever; and writes down who has it now. All of a record is written over the version that was
//! read, so that one of them decides at a time, and what a holder acknowledges counts only for what it still holds.

use std::collections::{BTreeMap, BTreeSet};

use pollux_proto::position::{Place, Position};
use pollux_twin::ShardId;

use super::super::limits::{SETTLE_LOOKS, SILENT_LOOKS};
use super::record::Record;
use super::share::{Consumer, Consumers};

/// Why a consumer is none of those that share any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// Another stream took its name.
    TakenOver,
    /// It was not heard of for too long, or the subscription was made anew.
    Forgotten,
}

/// What was told of a shard that it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Held {
    /// Where it goes on.
    at: Option<Place>,
    /// Place of the last event, which is to be acknowledged.
    told: Option<Place>,
    /// In the middle of a picture, which has no place.
    in_picture: bool,
    /// Looks for which another should have had it.
    unwanted: u32,
}

/// What was heard of another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Heard {
    turn: u64,
    beat: u64,
    /// Looks that brought nothing new.
    looks: u32,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Sharer {
    pub(super) name: String,
    turn: u64,
    lineage: u64,
    all: Vec<ShardId>,
    held: BTreeMap<ShardId, Held>,
    acknowledged: BTreeMap<ShardId, Place>,
    others: BTreeMap<String, Heard>,
}

impl Sharer {
    pub(super) fn new(name: String, turn: u64, lineage: u64, all: Vec<ShardId>) -> Self {
        let (held, acknowledged, others) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { name, turn, lineage, all, held, acknowledged, others }
    }

    /// It comes, under a name that may be there already.
    pub(super) fn join(&self, consumers: &mut Consumers) {
        let one = consumers.0.entry(self.name.clone()).or_default();
        *one = Consumer { turn: self.turn, beat: 0, shards: std::mem::take(&mut one.shards) };
        consumers.give_out(&self.all);
    }

    /// It leaves, and what it has acknowledged counts.
    pub(super) fn leave(&self, record: &Record) -> Result<Record, Gone> {
        let mut next = self.remember(record)?;
        if let Some(consumers) = &mut next.consumers {
            consumers.0.remove(&self.name);
            consumers.give_out(&self.all);
        }
        Ok(next)
    }

    /// A look at the record: once for each time that passed.
    pub(super) fn look(&mut self, record: &Record) {
        let Some(consumers) = &record.consumers else { return };
        let goal = consumers.goal(&self.all);
        for (shard, held) in &mut self.held {
            let is_wanted = goal.get(shard).is_none_or(|to| *to == self.name);
            held.unwanted = if is_wanted { 0 } else { held.unwanted + 1 };
        }
        let others = consumers.0.iter().filter(|(name, _)| **name != self.name);
        let heard = others.map(|(name, Consumer { turn, beat, .. })| {
            let before = self.others.get(name);
            let same = before.filter(|heard| (heard.turn, heard.beat) == (*turn, *beat));
            let looks = same.map_or(0, |heard| heard.looks + 1);
            (name.clone(), Heard { turn: *turn, beat: *beat, looks })
        });
        self.others = heard.collect();
    }

    /// What the record should be, if anything of it should be different.
    pub(super) fn decide(
        &self,
        record: &Record,
        has_to_beat: Beat,
    ) -> Result<Option<Record>, Gone> {
        let mut next = self.remember(record)?;
        let reached: BTreeMap<_, _> =
            self.held.keys().map(|shard| (*shard, next.reached(self.lineage, *shard))).collect();
        let Some(consumers) = &mut next.consumers else { return Err(Gone::Forgotten) };
        for (name, heard) in &self.others {
            let same = consumers
                .0
                .get(name)
                .is_some_and(|one| (one.turn, one.beat) == (heard.turn, heard.beat));
            if same && heard.looks >= SILENT_LOOKS {
                consumers.0.remove(name);
            }
        }
        consumers.give_out(&self.all);
        let goal = consumers.goal(&self.all).into_iter().map(|(shard, to)| (shard, to.to_owned()));
        for (shard, to) in goal.collect::<Vec<_>>() {
            let Some(held) = self.held.get(&shard).filter(|_| to != self.name) else { continue };
            let is_due = reached[&shard] >= held.told || held.unwanted > SETTLE_LOOKS;
            if is_due && !held.in_picture && consumers.holder(shard) == Some(&self.name) {
                consumers.give(shard, &to);
            }
        }
        if next == *record && has_to_beat == Beat::NotYet {
            return Ok(None);
        }
        if let Some(own) = next.consumers.as_mut().and_then(|all| all.0.get_mut(&self.name)) {
            own.beat += 1;
        }
        Ok(Some(next))
    }

    /// The record that is now.
    pub(super) fn adopt(&mut self, record: &Record) {
        let own = record.consumers.as_ref().and_then(|all| all.0.get(&self.name));
        let own = own.map(|one| one.shards.clone()).unwrap_or_default();
        self.held.retain(|shard, _| own.contains(shard));
        for shard in own {
            self.held.entry(shard).or_default();
        }
        let held = &self.held;
        self.acknowledged.retain(|shard, place| {
            held.contains_key(shard) && record.reached(self.lineage, *shard) < Some(*place)
        });
    }

    /// The shards of which events are to be told, each with the place after which they are, if any were.
    pub(super) fn tells(&self) -> BTreeMap<ShardId, Option<Place>> {
        let tells = |held: &Held| held.unwanted == 0 || held.in_picture;
        let told = self.held.iter().filter(|(_, held)| tells(held));
        told.map(|(shard, held)| (*shard, held.at)).collect()
    }

    /// How many shards there are.
    pub(super) const fn shards(&self) -> usize {
        self.all.len()
    }

    /// Those, for people and programs.
    pub(super) fn holds(&self) -> BTreeSet<ShardId> {
        self.tells().into_keys().collect()
    }

    /// The position after an event: all that was told till then is before it.
    pub(super) fn position(&self, shard: ShardId, place: Place) -> Position {
        let at = |(shard, held): (&ShardId, &Held)| Some((*shard, held.at?));
        let mut shards: BTreeMap<_, _> = self.held.iter().filter_map(at).collect();
        shards.insert(shard, place);
        Position { lineage: self.lineage, shards }
    }

    /// An event is told; of a picture's twins only the end has a place.
    pub(super) fn told(&mut self, shard: ShardId, place: Option<Place>) {
        let Some(held) = self.held.get_mut(&shard) else { return };
        held.in_picture = place.is_none();
        if place.is_some() {
            (held.at, held.told) = (place, place);
        }
    }

    /// A place is told that is no event.
    pub(super) fn passed(&mut self, shard: ShardId, place: Place) {
        if let Some(held) = self.held.get_mut(&shard) {
            held.at = Some(place);
        }
    }

    /// An event of a shard is done.
    pub(super) fn acknowledged(&mut self, shard: ShardId, place: Place) {
        let known = self.acknowledged.entry(shard).or_default();
        *known = place.max(*known);
    }

    /// The record with what was acknowledged of shards that are its own.
    fn remember(&self, record: &Record) -> Result<Record, Gone> {
        let consumers = record.consumers.as_ref().ok_or(Gone::Forgotten)?;
        let own = consumers.0.get(&self.name).ok_or(Gone::Forgotten)?;
        if own.turn != self.turn {
            return Err(Gone::TakenOver);
        }
        let mut next = record.clone();
        for (shard, place) in &self.acknowledged {
            if own.shards.contains(shard) {
                next.reach(self.lineage, (*shard, *place), &self.all);
            }
        }
        Ok(next)
    }
}

/// Whether others must hear of it now, though there is nothing to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    Due,
    NotYet,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHARDS: u16 = 5;
    const NAMES: usize = 4;
    const LINEAGE: u64 = 1;

    /// One that shares, with what it told and has no word about.
    struct One {
        sharer: Sharer,
        out: Vec<(ShardId, Place)>,
        /// Looks of each other since it last said that it is there.
        unheard: [u32; NAMES],
    }

    /// A subscription, a log of each shard, and some who share: one thing happens at a time, as it does by the version of
    /// the record.
    struct World {
        record: Record,
        heads: BTreeMap<ShardId, u64>,
        ones: [Option<One>; NAMES],
        turns: u64,
    }

    fn all() -> Vec<ShardId> {
        (0..SHARDS).map(ShardId).collect()
    }

    const fn at(index: u64) -> Place {
        Place { index, ordinal: 0 }
    }

    fn name(n: usize) -> String {
        format!("c{n}")
    }

    impl World {
        fn new() -> Self {
            let mut record = Record { consumers: Some(Consumers::default()), ..Record::default() };
            for shard in all() {
                record.reach(LINEAGE, (shard, at(1)), &all());
            }
            let heads = all().into_iter().map(|shard| (shard, 1)).collect();
            Self { record, heads, ones: Default::default(), turns: 0 }
        }

        fn reached(&self, shard: ShardId) -> u64 {
            self.record.reached(LINEAGE, shard).unwrap().index
        }

        /// What is written never goes back, and nobody else's is touched.
        fn write(&mut self, next: Record) {
            let before: Vec<_> = all().into_iter().map(|shard| self.reached(shard)).collect();
            self.record = next;
            for (shard, before) in all().into_iter().zip(before) {
                assert!(self.reached(shard) >= before, "{shard:?} went back");
                assert!(self.reached(shard) <= self.heads[&shard], "{shard:?}: nobody told that");
            }
            let consumers = &self.record.consumers.as_ref().unwrap().0;
            let held: usize = consumers.values().map(|one| one.shards.len()).sum();
            assert!(consumers.is_empty() || held == usize::from(SHARDS), "each has one holder");
        }

        fn join(&mut self, n: usize) {
            self.turns += 1;
            let mut next = self.record.clone();
            let mut sharer = Sharer::new(name(n), self.turns, LINEAGE, all());
            sharer.join(next.consumers.as_mut().unwrap());
            self.write(next);
            sharer.adopt(&self.record);
            self.ones[n] = Some(One { sharer, out: Vec::new(), unheard: [0; NAMES] });
            self.heard(n);
        }

        fn heard(&mut self, n: usize) {
            if let Some(one) = &mut self.ones[n] {
                one.unheard = [0; NAMES];
            }
        }

        fn look(&mut self, n: usize) {
            let Some(mut one) = self.ones[n].take() else { return };
            for other in self.ones.iter_mut().flatten() {
                other.unheard[n] += 1;
            }
            one.sharer.look(&self.record);
            match one.sharer.decide(&self.record, Beat::Due) {
                Ok(next) => {
                    self.write(next.unwrap());
                    one.sharer.adopt(&self.record);
                    self.ones[n] = Some(one);
                    self.heard(n);
                }
                Err(gone) => assert_eq!(gone, Gone::Forgotten, "no other has its name"),
            }
        }

        /// The next event of each shard that it tells of.
        fn tell(&mut self, n: usize) {
            let Some(one) = &mut self.ones[n] else { return };
            if one.unheard.iter().any(|looks| *looks >= SILENT_LOOKS) {
                return;
            }
            for (shard, after) in one.sharer.tells() {
                let reached = self.record.reached(LINEAGE, shard).unwrap();
                let next = after.unwrap_or(reached).index + 1;
                if next > self.heads[&shard] {
                    continue;
                }
                let holder = self.record.consumers.as_ref().unwrap().holder(shard);
                assert_eq!(holder, Some(name(n).as_str()), "{shard:?} is another's");
                assert!(next > reached.index, "{shard:?}: older than what was acknowledged");
                one.sharer.told(shard, Some(at(next)));
                one.out.push((shard, at(next)));
            }
        }

        fn acknowledge(&mut self, n: usize) {
            let Some(one) = &mut self.ones[n] else { return };
            for (shard, place) in one.out.drain(..) {
                one.sharer.acknowledged(shard, place);
            }
        }

        fn leave(&mut self, n: usize) {
            let Some(one) = self.ones[n].take() else { return };
            if let Ok(next) = one.sharer.leave(&self.record) {
                self.write(next);
            }
        }

        fn act(&mut self, act: u8, n: usize) {
            match act {
                0..=1 => {
                    for head in self.heads.values_mut() {
                        *head += 1;
                    }
                }
                2 if self.ones[n].is_none() => self.join(n),
                2..=5 => self.look(n),
                6..=8 => self.tell(n),
                9..=10 => self.acknowledge(n),
                11 => self.leave(n),
                _ => self.ones[n] = None,
            }
        }

        /// Those that are there go on for some time.
        fn quiet(&mut self) {
            for _ in 0..2 * (SILENT_LOOKS + SETTLE_LOOKS) {
                for n in 0..NAMES {
                    self.look(n);
                    self.tell(n);
                    self.acknowledge(n);
                }
            }
        }

        fn counts(&self) -> Vec<usize> {
            let consumers = &self.record.consumers.as_ref().unwrap().0;
            consumers.values().map(|one| one.shards.len()).collect()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn nothing_is_lost_told_late_or_held_twice(
            acts in prop::collection::vec((0..13_u8, 0..NAMES), 0..300),
        ) {
            let mut world = World::new();
            for (act, n) in acts {
                world.act(act, n);
            }
            if world.ones[0].is_none() {
                world.join(0);
            }
            world.quiet();
            let there = world.ones.iter().flatten().count();
            let counts = world.counts();
            prop_assert_eq!(counts.len(), there, "who is gone is known to be");
            prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
            for shard in all() {
                prop_assert_eq!(world.reached(shard), world.heads[&shard], "{:?}: not all", shard);
            }
        }
    }

    #[test]
    fn a_shard_waits_for_what_was_told_of_it_but_not_for_ever() {
        let mut world = World::new();
        world.join(0);
        world.act(0, 0);
        world.tell(0);
        world.join(1);
        world.look(0);
        assert_eq!(world.counts(), [5, 0], "nothing of it is acknowledged");
        world.acknowledge(0);
        world.look(0);
        assert_eq!(world.counts(), [3, 2]);
        world.act(0, 0);
        world.tell(0);
        world.join(2);
        for _ in 0..SETTLE_LOOKS {
            (0..3).for_each(|n| world.look(n));
            assert_eq!(world.counts(), [3, 2, 0]);
        }
        world.look(0);
        assert_eq!(world.counts(), [2, 2, 1]);
        // What it acknowledges of that now is worth nothing.
        let before = world.record.position.clone();
        let lost = ShardId(2);
        assert_eq!(world.record.consumers.as_ref().unwrap().holder(lost), Some("c2"));
        world.acknowledge(0);
        world.look(0);
        assert_ne!(world.record.position, before, "what it still has counts");
        assert_eq!((world.reached(lost), world.heads[&lost]), (2, 3));
    }

    #[test]
    fn a_newer_one_of_its_name_takes_what_it_holds() {
        let mut world = World::new();
        world.join(0);
        let old = world.ones[0].take().unwrap();
        world.join(0);
        assert_eq!(world.counts(), [5]);
        assert_eq!(old.sharer.decide(&world.record, Beat::Due), Err(Gone::TakenOver));
        assert_eq!(old.sharer.leave(&world.record), Err(Gone::TakenOver));
        world.look(0);
        world.leave(0);
        assert_eq!(world.counts(), [0; 0]);
    }

    #[test]
    fn a_picture_is_told_to_its_end() {
        let mut world = World::new();
        world.join(0);
        let shard = ShardId(4);
        world.ones[0].as_mut().unwrap().sharer.told(shard, None);
        world.join(1);
        for _ in 0..2 * SETTLE_LOOKS {
            world.look(0);
            world.look(1);
        }
        assert_eq!(world.counts(), [4, 1], "what has no place yet waits");
        let sharer = &mut world.ones[0].as_mut().unwrap().sharer;
        assert!(sharer.holds().contains(&shard));
        sharer.told(shard, Some(at(1)));
        assert!(!sharer.holds().contains(&shard));
        world.look(0);
        assert_eq!(world.counts(), [3, 2]);
    }
}
