//! The twins of a table: found by key through a hash index, listed in the order of keys.
//!
//! A twin keeps its number for as long as the table lives, as none is ever forgotten (safety rule
//! 16): the cache and the cut name twins by number and look nothing up. Nothing is ever done in
//! the order of hashes or numbers that could be told from outside.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Bound;

use super::place::Place;
use crate::id::TwinKey;

/// A twin's number in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(u32);

/// Twins of one block: blocks are never moved, so a growing table neither pauses nor wastes half.
const BLOCK: usize = 1024;
/// The index is begun with this many buckets; a power of two.
const BUCKETS_MIN: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Places {
    blocks: Vec<Vec<(TwinKey, Place)>>,
    /// Open addressing with linear probing; a power of two, at most three quarters full.
    buckets: Vec<Bucket>,
    order: BTreeMap<TwinKey, Id>,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Low half of the key's hash; enough to grow the index without reading keys.
    hash: u32,
    /// A twin's number and one; zero is empty.
    next_id: u32,
}

const EMPTY: Bucket = Bucket { hash: 0, next_id: 0 };

fn hash(key: &str) -> u32 {
    let hash = xxhash_rust::xxh3::xxh3_64(key.as_bytes());
    u32::try_from(hash & u64::from(u32::MAX)).expect("masked to 32 bits")
}

impl Places {
    /// From twins in any order, quickest in that of their keys. Of two with one key the later one
    /// counts.
    pub(super) fn restored(mut twins: Vec<(TwinKey, Place)>) -> Self {
        twins.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut places = Self::default();
        let buckets = (twins.len() * 4 / 3 + 1).next_power_of_two();
        places.buckets.resize(buckets.max(BUCKETS_MIN), EMPTY);
        let mut order = Vec::with_capacity(twins.len());
        for (key, place) in twins {
            if order.last().is_some_and(|(last, _)| *last == key) {
                continue;
            }
            let id = places.push(hash(key.as_str()), key.clone(), place);
            order.push((key, id));
        }
        places.order = order.into_iter().collect();
        places
    }

    /// The number of a twin.
    pub(super) fn find(&self, key: &str) -> Option<Id> {
        self.find_hashed(hash(key), key)
    }

    /// The number of a twin, which `absent` makes if there is none yet, and whether it did.
    pub(super) fn find_or_add(
        &mut self,
        key: &TwinKey,
        absent: impl FnOnce() -> Place,
    ) -> (Id, Found) {
        let hash = hash(key.as_str());
        if let Some(id) = self.find_hashed(hash, key.as_str()) {
            return (id, Found::There);
        }
        if (self.len + 1) * 4 > self.buckets.len() * 3 {
            self.grow();
        }
        let id = self.push(hash, key.clone(), absent());
        self.order.insert(key.clone(), id);
        (id, Found::Added)
    }

    pub(super) fn get(&self, id: Id) -> &(TwinKey, Place) {
        let at = id.0 as usize;
        &self.blocks[at / BLOCK][at % BLOCK]
    }

    pub(super) fn get_mut(&mut self, id: Id) -> (&TwinKey, &mut Place) {
        let at = id.0 as usize;
        let (key, place) = &mut self.blocks[at / BLOCK][at % BLOCK];
        (key, place)
    }

    /// Twins in the order of their keys.
    pub(super) fn range<'a>(
        &'a self,
        from: Bound<&'a str>,
    ) -> impl Iterator<Item = &'a (TwinKey, Place)> {
        self.numbers(from).map(|id| self.get(id))
    }

    /// The numbers of twins in the order of their keys.
    pub(super) fn numbers<'a>(&'a self, from: Bound<&'a str>) -> impl Iterator<Item = Id> + 'a {
        let range: (Bound<&str>, Bound<&str>) = (from, Bound::Unbounded);
        self.order.range::<str, _>(range).map(|(_, id)| *id)
    }

    /// All twins with their numbers.
    pub(super) fn all(&self) -> impl Iterator<Item = (Id, &(TwinKey, Place))> {
        (0..self.next().0).map(|id| (Id(id), self.get(Id(id))))
    }

    /// The number that the next new twin gets: all there are have lower ones.
    pub(super) fn next(&self) -> Id {
        Id(u32::try_from(self.len).expect("fewer twins than 2^32 fit a machine"))
    }

    fn find_hashed(&self, hash: u32, key: &str) -> Option<Id> {
        let mask = self.buckets.len().checked_sub(1)?;
        let mut at = hash as usize & mask;
        loop {
            let bucket = self.buckets[at];
            let id = Id(bucket.next_id.checked_sub(1)?);
            if bucket.hash == hash && self.get(id).0.as_str() == key {
                return Some(id);
            }
            at = (at + 1) & mask;
        }
    }

    fn push(&mut self, hash: u32, key: TwinKey, place: Place) -> Id {
        if self.len.is_multiple_of(BLOCK) {
            // The first block of a small table grows by itself.
            let capacity = if self.len == 0 { 0 } else { BLOCK };
            self.blocks.push(Vec::with_capacity(capacity));
        }
        self.blocks[self.len / BLOCK].push((key, place));
        self.len += 1;
        let next_id = u32::try_from(self.len).expect("fewer twins than 2^32 fit a machine");
        self.enter(Bucket { hash, next_id });
        Id(next_id - 1)
    }

    fn enter(&mut self, bucket: Bucket) {
        let mask = self.buckets.len() - 1;
        let mut at = bucket.hash as usize & mask;
        while self.buckets[at].next_id != 0 {
            at = (at + 1) & mask;
        }
        self.buckets[at] = bucket;
    }

    fn grow(&mut self) {
        let buckets = (self.buckets.len() * 2).max(BUCKETS_MIN);
        let before = core::mem::replace(&mut self.buckets, alloc::vec![EMPTY; buckets]);
        for bucket in before.into_iter().filter(|bucket| bucket.next_id != 0) {
            self.enter(bucket);
        }
    }
}

/// Whether a twin was known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    There,
    Added,
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::sync::Arc;

    use super::*;

    fn key(n: usize) -> TwinKey {
        TwinKey::parse(&format!("device-{}", n * 7919 % 10_007)).unwrap()
    }

    fn place(n: usize) -> Place {
        Place::Packed(Arc::from(n.to_le_bytes()))
    }

    fn check(places: &Places, count: usize) {
        for n in 0..count {
            let id = places.find(key(n).as_str()).unwrap();
            let (found, place) = places.get(id);
            assert_eq!(*found, key(n));
            assert_eq!(*place.image(), n.to_le_bytes());
        }
        assert_eq!(places.find("default/other"), None);
        let keys: Vec<_> = places.range(Bound::Unbounded).map(|(key, _)| key).collect();
        assert_eq!(keys.len(), count);
        assert!(keys.is_sorted());
    }

    #[test]
    fn finds_what_was_added() {
        let mut places = Places::default();
        assert_eq!(places.find("default/other"), None);
        for n in 0..5000 {
            assert_eq!(places.find_or_add(&key(n), || place(n)).1, Found::Added);
            assert_eq!(places.find_or_add(&key(n / 2), || place(0)).1, Found::There);
        }
        check(&places, 5000);
    }

    #[test]
    fn finds_what_was_restored() {
        check(&Places::restored(Vec::new()), 0);
        let mut places = Places::restored((0..3000).map(|n| (key(n), place(n))).collect());
        check(&places, 3000);
        for n in 3000..5000 {
            places.find_or_add(&key(n), || place(n));
        }
        check(&places, 5000);
    }
}
