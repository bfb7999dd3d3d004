//! Those that share, in a world of one thread: whatever they do, and in whatever order.

use proptest::prelude::*;

use super::super::super::limits::{SHARER_SURE, SHARER_WAITS};
use super::*;

const SHARDS: u16 = 5;
const NAMES: usize = 4;
const LINEAGE: u64 = 1;

/// One that shares, with what it told and has no word about.
struct One {
    sharer: Sharer,
    out: Vec<(ShardId, Place)>,
    /// When it last said that it is there.
    beat_at: Duration,
}

/// A subscription, a log of each shard, and some who share: one thing happens at a time, as it does by the version of
/// the record.
struct World {
    record: Record,
    heads: BTreeMap<ShardId, u64>,
    ones: [Option<One>; NAMES],
    turns: u64,
    now: Duration,
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
            record.reach(LINEAGE, [(shard, at(1))], &all());
        }
        let heads = all().into_iter().map(|shard| (shard, 1)).collect();
        Self { record, heads, ones: Default::default(), turns: 0, now: Duration::ZERO }
    }

    fn reached(&self, shard: ShardId) -> u64 {
        self.record.places(LINEAGE)[&shard].index
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
        assert!(sharer.join(next.consumers.as_mut().unwrap()));
        self.write(next);
        sharer.adopt(&self.record);
        self.ones[n] = Some(One { sharer, out: Vec::new(), beat_at: self.now });
    }

    fn look(&mut self, n: usize) {
        let Some(mut one) = self.ones[n].take() else { return };
        one.sharer.look(self.now, &self.record);
        match one.sharer.decide(&self.record, Beat::Due) {
            Ok(next) => {
                self.write(next.unwrap());
                one.sharer.adopt(&self.record);
                one.beat_at = self.now;
                self.ones[n] = Some(one);
            }
            Err(gone) => assert_eq!(gone, Gone::Forgotten, "no other has its name"),
        }
    }

    /// The next event of each shard that it tells of.
    fn tell(&mut self, n: usize) {
        let Some(one) = &mut self.ones[n] else { return };
        if self.now - one.beat_at >= SHARER_SURE {
            return;
        }
        for (shard, after) in one.sharer.tells() {
            let reached = self.record.places(LINEAGE)[&shard];
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
            // A look later, or much later.
            12..=14 => self.now += ACKNOWLEDGE_EVERY,
            15 => self.now += SHARER_SURE / 2,
            _ => self.ones[n] = None,
        }
    }

    /// Those that are there go on for some time.
    fn quiet(&mut self) {
        let end = self.now + 2 * (SHARER_SILENT + SHARER_SETTLES);
        while self.now < end {
            self.now += ACKNOWLEDGE_EVERY;
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
        acts in prop::collection::vec((0..17_u8, 0..NAMES), 0..300),
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
    let end = world.now + SHARER_SETTLES;
    while world.now < end {
        (0..3).for_each(|n| world.look(n));
        assert_eq!(world.counts(), [3, 2, 0]);
        world.now += ACKNOWLEDGE_EVERY;
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
fn room_that_only_the_lost_take_is_for_who_comes() {
    let dead = |n| (format!("dead-{n}"), Consumer { beat: 1, ..Consumer::default() });
    let mut record = Record { consumers: Some(Consumers::default()), ..Record::default() };
    let mut is_let_in = |beats: u64| {
        record.consumers = Some(Consumers((0..SHARERS_MAX).map(dead).collect()));
        let mut sharer = Sharer::new("new".into(), 1, LINEAGE, all());
        let mut now = Duration::ZERO;
        while now < SHARER_WAITS {
            sharer.look(now, &record);
            let mut next = record.consumers.clone().unwrap();
            if sharer.join(&mut next) {
                assert!(now >= SHARER_SILENT, "{now:?}: they may be there");
                assert_eq!(next.0.len(), 1);
                return true;
            }
            for one in record.consumers.as_mut().unwrap().0.values_mut() {
                one.beat += beats;
            }
            now += pace(SHARERS_MAX);
        }
        false
    };
    assert!(is_let_in(0), "nobody is there");
    assert!(!is_let_in(1), "all of them are there");
}

#[test]
fn one_that_stood_still_takes_nobody_for_lost() {
    let mut world = World::new();
    world.join(0);
    world.join(1);
    world.look(0);
    world.now += 10 * SHARER_SILENT;
    world.look(0);
    assert_eq!(world.counts().len(), 2, "nobody could say anything");
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
    let end = world.now + 2 * SHARER_SETTLES;
    while world.now < end {
        world.now += ACKNOWLEDGE_EVERY;
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
