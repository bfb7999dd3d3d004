//! Shards and tables of two nodes over one log, in a plain loop, from one seed: proposals are
//! handed over, refused, lost, answered late, committed out of order; leaders change and learn of
//! it late; replicas lag, restart and replay. Then quiet, and all must have healed.
//!
//! `history` holds what must be true of every release.

mod history;
mod node;

use alloc::vec::Vec;

use super::super::{Now, Output, ProposalId};
use super::{Mutant, key};
use crate::entry::{Entry, Epoch};
use crate::id::TwinKey;
use crate::table::Outcome;
use crate::time::Time;
use history::History;
use node::Node;

const NODES: usize = 2;
const KEYS: [&str; 4] = ["a", "b", "c", "d"];

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// A proposal on its way into the log.
struct Flight {
    node: usize,
    /// Which life of the node proposed it: another one waits for no answer.
    life: u64,
    id: ProposalId,
    entry: Entry,
    /// Nobody waits for its answer any more.
    given_up: bool,
}

struct World {
    random: Random,
    ms: u64,
    leader: Epoch,
    flights: Vec<Flight>,
    /// Committed entries; the index of the first is 1.
    log: Vec<Entry>,
    /// Who waits for the answer to an entry, by its place in the log.
    asked: Vec<Option<(usize, u64, ProposalId)>>,
    nodes: Vec<Node>,
    history: History,
    written: i64,
    /// Nothing goes wrong any more.
    quiet: bool,
}

impl World {
    fn new(seed: u64, mutant: Mutant) -> Self {
        Self {
            random: Random(seed),
            ms: 0,
            leader: Epoch { term: 1, leader: 0 },
            flights: Vec::new(),
            log: Vec::new(),
            asked: Vec::new(),
            nodes: (0..NODES).map(|_| Node::new(mutant)).collect(),
            history: History::default(),
            written: 0,
            quiet: false,
        }
    }

    fn now(&self) -> Now {
        Now { wall: Time::from_ms(1_000_000 + self.ms), monotonic_ms: self.ms }
    }

    fn leads(&self, node: usize, epoch: Epoch) -> bool {
        self.leader == epoch && epoch.leader == node as u64
    }

    /// One thing happens.
    fn step(&mut self) {
        self.ms += self.random.below(3) as u64;
        let node = self.random.below(NODES);
        let key = key(KEYS[self.random.below(KEYS.len())]);
        match self.random.below(1000) {
            0..250 => self.write(node, &key),
            250..330 => self.read(node, &key),
            330..350 => self.nodes[node].cut(),
            350..450 => self.hand(),
            450..620 => self.commit(),
            620..820 => self.apply(node),
            820..900 => self.answer_barrier(node),
            900..920 => self.pass_time(),
            920..970 => self.notice(node),
            970..980 => self.lose(),
            980..985 => self.elect(),
            985..997 => self.silence(node),
            _ => self.restart(node),
        }
    }

    /// Nothing goes wrong any more; all must come to an end.
    fn quieten(&mut self) {
        self.quiet = true;
        (0..100).for_each(|_| self.quiet_round());
        let leader = usize::try_from(self.leader.leader).unwrap();
        let told = self.history.writes + self.history.reads;
        for name in KEYS {
            self.write(leader, &key(name));
            self.read(leader, &key(name));
        }
        (0..100).for_each(|_| self.quiet_round());
        let told = self.history.writes + self.history.reads - told;
        assert_eq!(told, 2 * KEYS.len() as u64, "after quiet all is answered");
        assert!(self.nodes[leader].shard.is_drained(), "after quiet nothing waits");
        assert_eq!(self.nodes[leader].shard.bytes(), 0);
        let images = self.nodes[0].table.scan("", None, usize::MAX);
        assert_eq!(images, self.nodes[1].table.scan("", None, usize::MAX), "replicas differ");
        self.history.compare(&self.nodes[0].table);
    }

    fn quiet_round(&mut self) {
        self.ms += 1;
        (0..NODES).for_each(|node| self.notice(node));
        while let Some(flight) = self.flights.first() {
            let (node, life, id) = (flight.node, flight.life, flight.id);
            if !flight.given_up && self.nodes[node].life == life {
                self.nodes[node].shard.handed(id);
            }
            self.commit_at(0);
        }
        for node in 0..NODES {
            while self.nodes[node].applied < self.log.len() {
                self.apply_well(node);
            }
            self.answer_barrier(node);
            let now = self.now();
            self.nodes[node].shard.handle_deadline(now);
            self.drain(node);
        }
    }

    fn write(&mut self, node: usize, key: &TwinKey) {
        self.written += 1;
        let (now, n) = (self.now(), self.written);
        self.nodes[node].write(now, key, n, &mut self.history);
        self.maybe_drain(node);
    }

    fn read(&mut self, node: usize, key: &TwinKey) {
        let now = self.now();
        self.nodes[node].read(now, key, &mut self.history);
        self.maybe_drain(node);
    }

    /// Decisions of several twins may come in one turn.
    fn maybe_drain(&mut self, node: usize) {
        if self.random.chance(60) {
            self.drain(node);
        }
    }

    fn drain(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].shard.poll_output() {
            match output {
                Output::Propose { id, entry } => {
                    let life = self.nodes[node].life;
                    self.flights.push(Flight { node, life, id, entry, given_up: false });
                }
                Output::Release(token) => {
                    let place = &self.nodes[node];
                    self.history.released(&token, &place.table, place.barrier_begun);
                }
                Output::Barrier { id } => {
                    let begun = self.history.moment();
                    self.nodes[node].barrier = Some((id, begun));
                }
                Output::Passivate(slot) => {
                    let leads = self.nodes[node].epoch.is_some_and(|e| self.leads(node, e));
                    self.nodes[node].passivate(slot, leads, &self.history);
                }
                Output::Reopen => self.nodes[node].drop_actors(&mut self.history),
                Output::Opened | Output::Room => {}
            }
        }
    }

    fn hand(&mut self) {
        if self.flights.is_empty() {
            return;
        }
        let at = self.random.below(self.flights.len());
        let Flight { node, life, id, given_up, .. } = self.flights[at];
        if !given_up && self.nodes[node].life == life {
            self.nodes[node].shard.handed(id);
            self.drain(node);
        }
    }

    /// Mostly in order, and not always: also what a leader of before proposed.
    fn commit(&mut self) {
        if !self.flights.is_empty() {
            let at = if self.random.chance(97) { 0 } else { self.random.below(self.flights.len()) };
            self.commit_at(at);
        }
    }

    fn commit_at(&mut self, at: usize) {
        let Flight { node, life, id, entry, given_up } = self.flights.remove(at);
        self.history.committed(&entry);
        self.log.push(entry);
        self.asked.push((!given_up).then_some((node, life, id)));
    }

    /// A proposal is refused, or its fate unknown: then it goes on flying.
    fn lose(&mut self) {
        if self.flights.is_empty() {
            return;
        }
        let at = self.random.below(self.flights.len());
        let Flight { node, life, id, given_up, .. } = self.flights[at];
        self.flights[at].given_up = true;
        if self.random.chance(50) {
            self.flights.remove(at);
        }
        if !given_up && self.nodes[node].life == life {
            let now = self.now();
            self.nodes[node].shard.failed(now, id);
            self.drain(node);
        }
    }

    fn apply(&mut self, node: usize) {
        for _ in 0..self.random.below(4) {
            let at = self.nodes[node].applied;
            if at < self.log.len() && self.random.chance(1) {
                // The answer is lost on its way.
                if let Some((asker, life, id)) = self.asked[at].take_if(|asked| asked.0 == node)
                    && self.nodes[asker].life == life
                {
                    let now = self.now();
                    self.nodes[node].shard.failed(now, id);
                    self.drain(node);
                }
            }
            self.apply_well(node);
        }
    }

    fn apply_well(&mut self, node: usize) {
        let at = self.nodes[node].applied;
        if at == self.log.len() {
            return;
        }
        let outcome: Outcome = self.nodes[node].apply(self.log[at].clone());
        if let Some((asker, life, id)) = self.asked[at]
            && asker == node
            && self.nodes[node].life == life
        {
            self.asked[at] = None;
            self.nodes[node].shard.applied(id, outcome);
        }
        self.drain(node);
    }

    fn answer_barrier(&mut self, node: usize) {
        let Some((id, begun)) = self.nodes[node].barrier.take() else { return };
        let leads = self.nodes[node].epoch.is_some_and(|epoch| self.leads(node, epoch));
        if leads && (self.quiet || self.random.chance(90)) {
            self.nodes[node].barrier_begun = begun;
            self.nodes[node].shard.barrier_passed(id);
        } else {
            let now = self.now();
            self.nodes[node].shard.barrier_failed(now, id);
        }
        self.drain(node);
    }

    fn pass_time(&mut self) {
        self.ms += self.random.below(120) as u64;
        for node in 0..NODES {
            let now = self.now();
            self.nodes[node].shard.handle_deadline(now);
            self.drain(node);
        }
    }

    fn elect(&mut self) {
        let leader = self.random.below(NODES) as u64;
        self.leader = Epoch { term: self.leader.term + 1, leader };
    }

    /// A node hears who leads.
    fn notice(&mut self, node: usize) {
        let epoch = (self.leader.leader == node as u64).then_some(self.leader);
        if self.nodes[node].epoch == epoch {
            return;
        }
        self.close(node);
        self.nodes[node].epoch = epoch;
        if let Some(epoch) = epoch {
            let (now, fence) = (self.now(), self.nodes[node].table.fence());
            self.nodes[node].shard.open(now, epoch, &fence);
        }
        self.drain(node);
    }

    /// A quorum was silent: the node closes, and opens again in the same epoch when it notices.
    fn silence(&mut self, node: usize) {
        self.close(node);
        self.nodes[node].epoch = None;
    }

    fn close(&mut self, node: usize) {
        self.drain(node);
        self.nodes[node].shard.close();
        self.nodes[node].barrier = None;
        self.nodes[node].drop_actors(&mut self.history);
    }

    fn restart(&mut self, node: usize) {
        self.close(node);
        self.nodes[node].restart();
        // Who led does not lead again without an election.
        if self.leader.leader == node as u64 {
            self.elect();
        }
    }
}

/// Says how to come back to a failure.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            std::eprintln!("replay: SEED={seed} cargo test -p pollux-twin --lib all_rules_hold");
        }
    }
}

/// Runs a seed; panics where a rule is broken.
fn run(seed: u64, mutant: Mutant) -> History {
    let mut world = World::new(seed, mutant);
    for _ in 0..1500 {
        world.step();
    }
    world.quieten();
    world.history
}

#[test]
fn all_rules_hold() {
    let (mut writes, mut reads, mut dropped, mut passivated, mut skipped) = (0, 0, 0, 0, 0);
    if let Some(seed) = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        let _replay = Replay(seed);
        run(seed, Mutant::None);
        return;
    }
    for seed in 0..300 {
        let _replay = Replay(seed);
        let history = run(seed, Mutant::None);
        writes += history.writes;
        reads += history.reads;
        dropped += history.dropped;
        passivated += history.passivated.get();
        skipped += history.skipped;
    }
    // The world is worth something only if all of this happens often.
    assert!(writes > 10_000 && reads > 4_000, "{writes} {reads}");
    assert!(dropped > 1_000 && passivated > 1_000, "{dropped} {passivated}");
    assert!(skipped > 200, "{skipped}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..10 {
        assert_eq!(run(seed, Mutant::None), run(seed, Mutant::None));
    }
}

/// A machine with a known fault must be found out, or this test tests nothing.
fn found(mutant: Mutant) -> bool {
    let silent = |_: &std::panic::PanicHookInfo<'_>| {};
    let hook = std::panic::take_hook();
    std::panic::set_hook(std::boxed::Box::new(silent));
    let found = (0..100).any(|seed| std::panic::catch_unwind(|| run(seed, mutant)).is_err());
    std::panic::set_hook(hook);
    found
}

#[test]
fn mutants_are_found() {
    for mutant in [Mutant::ReleasesEarly, Mutant::ReadsAtOnce, Mutant::PassivatesEarly] {
        assert!(found(mutant), "{mutant:?} goes unnoticed");
    }
}
