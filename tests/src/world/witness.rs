//! Who has what on disk, as an observer beside all nodes sees it: an entry counts once a majority has
//! it on disk in the term of the leader that wrote it, or one behind it. Trusts no node's own count.

use std::collections::BTreeMap;

use super::World;
use super::consensus::Place;
use super::judge::Seen;
use super::log::Log;

/// What each node has on disk of what the leader of a term has.
#[derive(Debug, Default)]
pub(super) struct Witness {
    accepted: BTreeMap<u64, BTreeMap<usize, u64>>,
}

impl World {
    /// Looks at a node's disk: what is committed now, the judge learns.
    pub(super) fn witness(&mut self, host: usize) {
        let nodes = self.hosts.len();
        let own = &self.hosts[host];
        let Some(node) = &own.node else { return };
        let (term, upto) = (node.consensus.ballot.term, node.consensus.accepted(&own.log));
        let all = self.witness.accepted.entry(term).or_default();
        let most = all.entry(host).or_default();
        if upto <= *most {
            return;
        }
        *most = upto;
        let mut counts: Vec<u64> = all.values().copied().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let Some(committed) = counts.get(nodes / 2).copied() else { return };
        if committed > upto || committed <= self.judge.truth.index {
            return;
        }
        if own.log.place(committed).is_some_and(|place| place.term == term) {
            self.judge.learn(&own.log, committed);
        }
    }

    /// Looks at all disks, running or not: what is committed must be on most of them.
    pub(super) fn inspect(&mut self) {
        let last = self.judge.truth.index;
        if last == 0 {
            return;
        }
        for index in [last, 1 + self.sim.chance.below(last)] {
            let term = self.judge.truth.slot(index).term;
            let has = |log: &Log| {
                let there = log.place(index) == Some(Place { term, index });
                index <= log.base().index || (there && index <= log.durable())
            };
            let having = self.hosts.iter().filter(|host| has(&host.log)).count();
            self.judge.see(&Seen::Held { index, having, of: self.hosts.len() });
        }
    }
}
