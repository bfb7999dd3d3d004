//! The table that a plan is made on: who holds what, while it is being changed. Owns the counts; leaves to
//! `fill` and `even` what is put where.

use std::collections::BTreeMap;

use super::host::{Host, Shape, Standing};
use crate::meta::Goal;

/// A shard's replicas, as indexes into the hosts.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) voters: Vec<usize>,
    pub(super) learners: Vec<usize>,
    /// The voter that was preferred before and may stay so.
    pub(super) owner: Option<usize>,
}

impl Row {
    pub(super) fn members(&self) -> impl Iterator<Item = usize> + '_ {
        self.voters.iter().chain(&self.learners).copied()
    }

    pub(super) fn holds(&self, host: usize) -> bool {
        self.members().any(|member| member == host)
    }
}

/// Who holds what.
pub(super) struct Board<'a> {
    pub(super) hosts: &'a [Host],
    pub(super) replicas: u32,
    pub(super) shape: Shape,
    pub(super) rows: Vec<Row>,
    before: &'a [Goal],
    index: BTreeMap<u64, usize>,
    zones: Vec<usize>,
    held: Vec<usize>,
}

impl<'a> Board<'a> {
    /// An empty board for as many shards as there are goals.
    pub(super) fn new(hosts: &'a [Host], before: &'a [Goal], replicas: u32) -> Self {
        let mut names: Vec<&str> = hosts.iter().map(|host| host.labels.zone.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let zone = |host: &Host| {
            names.binary_search(&host.labels.zone.as_str()).expect("every zone is listed")
        };
        let mut board = Self {
            hosts,
            replicas,
            shape: Shape::default(),
            rows: vec![Row::default(); before.len()],
            before,
            index: hosts.iter().enumerate().map(|(at, host)| (host.id, at)).collect(),
            zones: hosts.iter().map(zone).collect(),
            held: vec![0; hosts.len()],
        };
        board.shape = Shape::for_nodes(board.usable(), replicas);
        board
    }

    pub(super) fn shards(&self) -> usize {
        self.rows.len()
    }

    /// Nodes that shards may count on: a lost one counts until there is another in its place, so that
    /// losing a node never takes votes away from those that are left.
    pub(super) fn usable(&self) -> usize {
        self.hosts.iter().filter(|host| host.standing != Standing::Leaving).count()
    }

    /// Where a shard was meant to be: voters, and learners.
    pub(super) fn all_before(&self, shard: usize) -> (Vec<usize>, Vec<usize>) {
        let at = |id: &u64| self.index.get(id).copied();
        let goal = &self.before[shard];
        (goal.voters.iter().filter_map(at).collect(), goal.learners.iter().filter_map(at).collect())
    }

    /// The same without those that have to leave.
    pub(super) fn before(&self, shard: usize) -> (Vec<usize>, Vec<usize>) {
        let (mut voters, mut learners) = self.all_before(shard);
        let stays = |at: &usize| self.hosts[*at].standing != Standing::Leaving;
        voters.retain(stays);
        learners.retain(stays);
        (voters, learners)
    }

    /// The preferred owner of before, if it may own on.
    pub(super) fn owner_before(&self, shard: usize) -> Option<usize> {
        let at = *self.index.get(&self.before[shard].preferred()?)?;
        self.is_fit(at).then_some(at)
    }

    pub(super) fn is_fit(&self, host: usize) -> bool {
        self.hosts[host].standing == Standing::Fit
    }

    /// Replicas on a node.
    pub(super) fn held(&self, host: usize) -> usize {
        self.held[host]
    }

    pub(super) fn weight(&self, host: usize) -> u64 {
        u64::from(self.hosts[host].labels.weight)
    }

    pub(super) fn zone(&self, host: usize) -> usize {
        self.zones[host]
    }

    /// Replicas of a shard in a zone.
    pub(super) fn in_zone(&self, shard: usize, zone: usize) -> usize {
        self.rows[shard].members().filter(|member| self.zones[*member] == zone).count()
    }

    pub(super) fn add_voter(&mut self, shard: usize, host: usize) {
        self.rows[shard].voters.push(host);
        self.held[host] += 1;
    }

    pub(super) fn add_learner(&mut self, shard: usize, host: usize) {
        self.rows[shard].learners.push(host);
        self.held[host] += 1;
    }

    /// A replica on a node is no more.
    pub(super) fn drop_one(&mut self, host: usize) {
        self.held[host] -= 1;
    }

    /// Puts a shard where it is said, whatever it was before.
    pub(super) fn reset(&mut self, shard: usize, voters: Vec<usize>, learners: Vec<usize>) {
        let old = std::mem::take(&mut self.rows[shard]);
        old.members().for_each(|at| self.drop_one(at));
        voters.into_iter().for_each(|at| self.add_voter(shard, at));
        learners.into_iter().for_each(|at| self.add_learner(shard, at));
        self.rows[shard].owner = old.owner;
    }

    /// Puts one node in the place of another.
    pub(super) fn swap(&mut self, shard: usize, from: usize, to: usize) {
        let row = &mut self.rows[shard];
        for slot in row.voters.iter_mut().chain(&mut row.learners).filter(|slot| **slot == from) {
            *slot = to;
        }
        if row.owner == Some(from) {
            row.owner = None;
        }
        self.held[from] -= 1;
        self.held[to] += 1;
    }

    /// Gives every shard an owner among its voters: the one it had, or the one that owns least for its
    /// weight.
    pub(super) fn choose_owners(&mut self) {
        let mut owned = vec![0_u64; self.hosts.len()];
        for owner in self.rows.iter().filter_map(|row| row.owner) {
            owned[owner] += 1;
        }
        for shard in 0..self.shards() {
            let row = &self.rows[shard];
            let weight = |at: usize| self.weight(at);
            let owner = row.owner.or_else(|| {
                let less = |a: &usize, b: &usize| {
                    let (a_all, b_all) =
                        ((owned[*a] + 1) * weight(*b), (owned[*b] + 1) * weight(*a));
                    self.is_fit(*b).cmp(&self.is_fit(*a)).then(a_all.cmp(&b_all)).then(a.cmp(b))
                };
                row.voters.iter().copied().min_by(less)
            });
            if row.owner.is_none()
                && let Some(owner) = owner
            {
                owned[owner] += 1;
            }
            self.rows[shard].owner = owner;
        }
    }

    pub(super) fn into_goals(self) -> Vec<Goal> {
        let ids = |members: &[usize]| members.iter().map(|at| self.hosts[*at].id).collect();
        let goal = |row: &Row| {
            let goal: Goal = Goal { voters: ids(&row.voters), learners: ids(&row.learners) };
            row.owner.map_or_else(|| goal.clone(), |owner| goal.preferring(self.hosts[owner].id))
        };
        self.rows.iter().map(goal).collect()
    }
}
