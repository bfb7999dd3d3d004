//! Evening out: replicas go from nodes that are full for their weight to those that are empty, one at a time
//! and only while that wins something. Owns the measure of evenness; never makes a shard's zones worse.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;

use super::board::Board;

impl Board<'_> {
    /// Moves replicas until no single move makes the sum of (replicas² / weight) smaller: a sum that
    /// falls with every move, so that it ends, and that is least when all are filled by weight.
    pub(super) fn even(&mut self) {
        let mut rows_of = self.rows_by_host();
        let mut stuck = BTreeSet::new();
        let mut fresh = true;
        loop {
            match self.next_move(&rows_of, &mut stuck) {
                Some((shard, from, to)) => {
                    self.swap(shard, from, to);
                    rows_of[from].remove(&shard);
                    rows_of[to].insert(shard);
                    fresh = false;
                }
                // A pair without a way may have one after other moves.
                None if !fresh => {
                    stuck.clear();
                    fresh = true;
                }
                None => return,
            }
        }
    }

    fn rows_by_host(&self) -> Vec<BTreeSet<usize>> {
        let mut rows_of = vec![BTreeSet::new(); self.hosts.len()];
        for (shard, row) in self.rows.iter().enumerate() {
            row.members().for_each(|at| {
                rows_of[at].insert(shard);
            });
        }
        rows_of
    }

    fn next_move(
        &self,
        rows_of: &[BTreeSet<usize>],
        stuck: &mut BTreeSet<(usize, usize)>,
    ) -> Option<(usize, usize, usize)> {
        let fit = || (0..self.hosts.len()).filter(|at| self.is_fit(*at));
        let (mut givers, mut takers) = (fit().collect::<Vec<_>>(), fit().collect::<Vec<_>>());
        givers.sort_by(|a, b| self.compare(self.gives(*b), *b, self.gives(*a), *a));
        takers.sort_by(|a, b| self.compare(self.takes(*a), *a, self.takes(*b), *b));
        for from in givers {
            for to in takers.iter().copied() {
                let wins = self.compare(self.gives(from), from, self.takes(to), to);
                if wins != Ordering::Greater {
                    // The following ones are fuller still.
                    break;
                }
                if stuck.contains(&(from, to)) {
                    continue;
                }
                match self.movable(&rows_of[from], from, to) {
                    Some(shard) => return Some((shard, from, to)),
                    None => stuck.insert((from, to)),
                };
            }
        }
        None
    }

    /// What the sum loses, times the weight, when a node gives a replica away.
    fn gives(&self, host: usize) -> u64 {
        (2 * self.held(host) as u64).saturating_sub(1)
    }

    /// What the sum gains, times the weight, when a node takes one.
    fn takes(&self, host: usize) -> u64 {
        2 * self.held(host) as u64 + 1
    }

    /// Compares two such numbers of two nodes by their weights.
    fn compare(&self, left: u64, left_of: usize, right: u64, right_of: usize) -> Ordering {
        (left * self.weight(right_of)).cmp(&(right * self.weight(left_of)))
    }

    /// A shard that can go, rather one that the node does not own.
    fn movable(&self, shards: &BTreeSet<usize>, from: usize, to: usize) -> Option<usize> {
        let (here, there) = (self.zone(from), self.zone(to));
        let can = |shard: &&usize| {
            let keeps_zones =
                here == there || self.in_zone(**shard, there) < self.in_zone(**shard, here);
            !self.rows[**shard].holds(to) && keeps_zones
        };
        let owned = |shard: &usize| self.rows[*shard].owner == Some(from);
        shards.iter().filter(can).min_by_key(|shard| (owned(shard), Reverse(**shard))).copied()
    }
}
