//! Keeping what is good and filling what is missing, shard by shard. Owns the order of preference: another
//! zone first, then the node that is emptiest for its weight.

use std::cmp::Ordering;

use super::board::Board;
use super::host::Standing;

impl Board<'_> {
    /// Takes over from the old goal whatever may stay, within the numbers wanted. What is too much goes:
    /// the silent ones first, then those in a zone that has another, then the last.
    pub(super) fn keep(&mut self, shard: usize) {
        let (mut voters, mut learners) = self.before(shard);
        let owner = self.owner_before(shard);
        while voters.len() > self.shape.voters {
            let crowd = |zone| voters.iter().filter(|at| self.zone(**at) == zone).count();
            let worst = (0..voters.len()).max_by_key(|n| {
                let at = voters[*n];
                (!self.is_fit(at), Some(at) != owner, crowd(self.zone(at)), *n)
            });
            learners.push(voters.remove(worst.unwrap_or_default()));
        }
        learners.retain(|at| self.is_fit(*at));
        while voters.len() < self.shape.voters && !learners.is_empty() {
            voters.push(learners.remove(0));
        }
        learners.truncate(self.shape.learners);
        voters.into_iter().for_each(|at| self.add_voter(shard, at));
        learners.into_iter().for_each(|at| self.add_learner(shard, at));
        self.rows[shard].owner = owner.filter(|at| self.rows[shard].voters.contains(at));
    }

    /// Puts nodes where replicas are missing, and in the place of lost ones.
    pub(super) fn fill(&mut self, shard: usize) {
        while self.rows[shard].voters.len() < self.shape.voters {
            match self.best(shard, None) {
                Some(at) => self.add_voter(shard, at),
                None => break,
            }
        }
        while self.rows[shard].learners.len() < self.shape.learners {
            match self.best(shard, None) {
                Some(at) => self.add_learner(shard, at),
                None => break,
            }
        }
        let lost: Vec<usize> = self.rows[shard].members().filter(|at| !self.is_fit(*at)).collect();
        for from in lost {
            if let Some(to) = self.best(shard, Some(from)) {
                self.swap(shard, from, to);
            }
        }
        self.make_odd(shard);
        self.stay_if_poorer(shard);
    }

    /// While a node is lost, those that should leave stay where there would be fewer copies without them: a
    /// shard must not get by with less because two things happen at once.
    fn stay_if_poorer(&mut self, shard: usize) {
        if self.hosts.iter().all(|host| host.standing != Standing::Lost) {
            return;
        }
        let (voters, learners) = self.all_before(shard);
        let lost = |at: &usize| self.hosts[*at].standing == Standing::Lost;
        let live = voters.iter().chain(&learners).filter(|at| !lost(at)).count();
        let fit = self.rows[shard].members().filter(|at| self.is_fit(*at)).count();
        if fit >= live {
            return;
        }
        let silent: Vec<usize> = voters.iter().chain(&learners).copied().filter(lost).collect();
        self.reset(shard, voters, learners);
        for from in silent {
            if let Some(to) = self.best(shard, Some(from)) {
                self.swap(shard, from, to);
            }
        }
        self.make_odd(shard);
    }

    /// Moves replicas out of zones that hold two while another zone could hold one.
    pub(super) fn spread(&mut self, shard: usize) {
        // Each turn takes a pair out of a zone; there are fewer pairs than this.
        for _ in 0..self.rows[shard].members().count().pow(2) {
            let crowd = |at: &usize| self.in_zone(shard, self.zone(*at));
            let row = &self.rows[shard];
            let from = row.members().max_by_key(|at| {
                (crowd(at), Some(*at) != row.owner, self.held(*at), std::cmp::Reverse(*at))
            });
            let Some(from) = from else { return };
            let Some(to) = self.best(shard, Some(from)) else { return };
            if self.in_zone(shard, self.zone(to)) + 1 >= crowd(&from) {
                return;
            }
            self.swap(shard, from, to);
        }
    }

    /// The best node for one more replica of a shard, in the place of `instead` if that is given.
    fn best(&self, shard: usize, instead: Option<usize>) -> Option<usize> {
        let crowd = |at: usize| {
            let there = instead.is_some_and(|out| self.zone(out) == self.zone(at));
            self.in_zone(shard, self.zone(at)) - usize::from(there)
        };
        let fits = |at: &usize| self.is_fit(*at) && !self.rows[shard].holds(*at);
        (0..self.hosts.len())
            .filter(fits)
            .min_by(|a, b| crowd(*a).cmp(&crowd(*b)).then_with(|| self.fuller(*a, *b)))
    }

    /// Compares how full two nodes would be for their weight with one replica more.
    fn fuller(&self, a: usize, b: usize) -> Ordering {
        let with_one = |at: usize| self.held(at) as u64 + 1;
        let (left, right) = (with_one(a) * self.weight(b), with_one(b) * self.weight(a));
        left.cmp(&right).then(a.cmp(&b))
    }

    /// Where not enough nodes were found for an odd number of voters, the last one has no vote.
    fn make_odd(&mut self, shard: usize) {
        let row = &mut self.rows[shard];
        if row.voters.len() > 1 && row.voters.len().is_multiple_of(2) {
            let last = row.voters.iter().rposition(|at| Some(*at) != row.owner);
            let at = row.voters.remove(last.unwrap_or_default());
            if self.hosts[at].standing == Standing::Lost {
                self.drop_one(at);
            } else {
                self.rows[shard].learners.push(at);
            }
        }
    }
}
