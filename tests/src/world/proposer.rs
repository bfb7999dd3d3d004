//! A node's way to its log, and back: proposals that are refused, get lost, or come to the log though
//! nobody says so; answers, read barriers.

use std::collections::BTreeMap;

use pollux_twin::Entry;
use pollux_twin::shard::ProposalId;
use pollux_twin::table::Outcome;

use super::World;
use super::host::{Host, number};
use super::judge::Seen;
use super::log::Record;
use super::mutant::Mutant;
use super::node::Node;
use super::replica::{self, Whose};
use super::sim::Event;
use super::watchers::watched;

/// How often an entry that went astray turns up at most, and for how long.
const ASTRAY_MAX: u64 = 12;
const ASTRAY_MS_MAX: u64 = 2_000;

/// What will become of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It goes to the log and is answered.
    Good,
    /// It is refused and certainly not in the log.
    Refused,
    /// Nobody knows, and it gets lost.
    Lost,
    /// Nobody knows, and it is in the log, now or a good while later.
    Silent,
}

#[derive(Debug)]
struct Ticket {
    id: ProposalId,
    term: u64,
    bytes: Vec<u8>,
    fate: Fate,
    /// Where it is in the log.
    index: Option<u64>,
    outcome: Option<Outcome>,
    /// The proposer was told.
    over: bool,
}

/// Proposals under way.
#[derive(Debug, Default)]
pub(super) struct Proposer {
    tickets: BTreeMap<u64, Ticket>,
    last: u64,
    /// The log takes entries over one after the other.
    append_at: u64,
    /// Read rounds that were answered, and how far the table must come.
    pub(super) confirmed: Vec<(u64, u64)>,
}

impl Proposer {
    /// Nobody waits for what was proposed any more. What is in the log stays there; gives what nobody
    /// knows the end of.
    pub(super) fn fail_all(&mut self) -> Vec<Record> {
        let mut unknown = Vec::new();
        for ticket in self.tickets.values_mut() {
            if !core::mem::replace(&mut ticket.over, true) && ticket.outcome.is_none() {
                unknown.push(Record::Entry(ticket.bytes.clone()));
            }
        }
        self.confirmed.clear();
        unknown
    }
}

impl World {
    /// Hands an entry towards the log.
    pub(super) fn propose(&mut self, host: usize, id: ProposalId, entry: &Entry) {
        let fate = match self.sim.chance.below(100) {
            0 if self.rough() => Fate::Refused,
            1 if self.rough() => Fate::Lost,
            2..4 if self.rough() => Fate::Silent,
            _ => Fate::Good,
        };
        let Some(node) = &mut self.hosts[host].node else { return };
        let proposer = &mut node.proposer;
        proposer.last += 1;
        let ticket = proposer.last;
        let takes = self.sim.chance.between(0, 2);
        proposer.append_at = proposer.append_at.max(self.sim.now + takes);
        let mut append_at = proposer.append_at;
        if fate == Fate::Silent && self.sim.chance.one_in(2) {
            append_at += self.sim.chance.between(1, 800);
        }
        let bytes = entry.encode();
        let term = node.epoch.term;
        let kept = Ticket { id, term, bytes, fate, index: None, outcome: None, over: false };
        proposer.tickets.insert(ticket, kept);
        let boot = node.boot;
        self.sim.at(append_at, Event::Append { host, boot, ticket });
        if fate != Fate::Good {
            let told = self.sim.chance.between(1, 120);
            self.sim.at(proposer.append_at + told, Event::Settled { host, boot, ticket });
        }
    }

    /// The log takes an entry over, or refuses it.
    pub(super) fn append(&mut self, host: usize, boot: u64, ticket_number: u64) {
        let Some(node) = self.running(host, boot) else { return };
        let Some(ticket) = node.proposer.tickets.get(&ticket_number) else { return };
        let record = Record::Entry(ticket.bytes.clone());
        // An entry is bound to the leader that proposed it, in its term.
        let bound = node.consensus.leads() && ticket.term == node.consensus.ballot.term;
        match ticket.fate {
            Fate::Refused | Fate::Lost => return,
            // But one that nobody knows of may have gone astray, and turn up under another leader.
            Fate::Silent if !bound => return self.goes_astray(&record),
            Fate::Good if !bound => {
                let ticket = ticket_number;
                if self.rough() && self.sim.chance.one_in(2) {
                    self.goes_astray(&record);
                }
                return self.sim.after(1, Event::Settled { host, boot, ticket });
            }
            Fate::Silent | Fate::Good => {}
        }
        let own = &mut self.hosts[host];
        let node = own.node.as_mut().expect("it was just there");
        let index = node.consensus.propose(&mut own.log, record).map(|place| place.index);
        let ticket = node.proposer.tickets.get_mut(&ticket_number).expect("it was just there");
        ticket.index = index;
        let (id, handed) = (ticket.id, !ticket.over && ticket.fate == Fate::Good);
        if handed {
            node.shard.handed(id);
        }
        if let Some(upto) = index.filter(|_| self.mutant == Mutant::SkipsSync) {
            self.sim.after(1, Event::Apply { host, boot, upto });
        }
        self.drive(host);
        self.pump(host);
    }

    /// An entry turns up again and again under whoever leads then. The real log binds an entry to its
    /// leader; the fence must hold even if it did not.
    pub(super) fn goes_astray(&mut self, record: &Record) {
        for _ in 0..self.sim.chance.between(1, ASTRAY_MAX) {
            let after = self.sim.chance.between(0, ASTRAY_MS_MAX);
            self.sim.after(after, Event::TurnsUp { record: record.clone() });
        }
    }

    /// An entry that went astray turns up.
    pub(super) fn turns_up(&mut self, record: Record) {
        let leads = |host: &Host| host.node.as_ref().is_some_and(|node| node.consensus.leads());
        let Some(host) = self.hosts.iter().position(leads).filter(|_| self.rough()) else { return };
        let own = &mut self.hosts[host];
        if let Some(node) = &mut own.node {
            node.consensus.propose(&mut own.log, record);
        }
        self.pump(host);
    }

    /// The disk has more of the log.
    pub(super) fn synced(&mut self, host: usize, boot: u64, sync: u64) {
        let own = &mut self.hosts[host];
        let Some(node) = own.node.as_mut().filter(|node| node.boot == boot) else { return };
        if own.log.synced(sync) {
            node.consensus.synced(&own.log);
            self.pump(host);
        }
    }

    /// The table takes in what is committed, and proposers are told.
    pub(super) fn apply(&mut self, host: usize, boot: u64, upto: u64) {
        let Some(node) = self.running(host, boot) else { return };
        for index in node.table.index() + 1..=upto {
            self.apply_one(host, index);
        }
        let Some(node) = &mut self.hosts[host].node else { return };
        if !node.was_whole && node.table.index() == self.judge.truth.index {
            node.was_whole = true;
            self.judge.see(&Seen::Restored { table: &node.table });
        }
        self.rounds_end(host);
    }

    fn apply_one(&mut self, host: usize, index: u64) {
        let own = &mut self.hosts[host];
        let Some(node) = &mut own.node else { return };
        let Some(slot) = own.log.slot(index) else { return };
        self.judge.see(&Seen::Applied { host, index, slot });
        let whose = Whose::Node { number: number(host), restarted: index <= node.restarted_at };
        let applied = replica::apply(self.mutant, whose, &mut node.table, (index, &slot.record));
        node.ring.push(index, applied.iter().flat_map(|(applied, _)| watched(index, applied)));
        let Some((applied, _)) = applied else { return };
        let term = slot.term;
        let tickets = node.proposer.tickets.iter_mut();
        for (ticket, own) in tickets.filter(|(_, own)| own.index == Some(index) && own.term == term)
        {
            own.outcome = Some(applied.outcome);
            if own.fate == Fate::Good {
                let told = self.sim.chance.between(0, 2);
                let (boot, ticket) = (node.boot, *ticket);
                self.sim.after(told, Event::Settled { host, boot, ticket });
            }
        }
    }

    /// The proposer learns what became of its entry.
    pub(super) fn settled(&mut self, host: usize, boot: u64, ticket: u64) {
        let Some(now) = self.node_now(host) else { return };
        let Some(node) = self.running(host, boot) else { return };
        let Some(own) = node.proposer.tickets.get_mut(&ticket) else { return };
        if core::mem::replace(&mut own.over, true) {
            return;
        }
        let id = own.id;
        match own.outcome {
            Some(outcome) if own.fate == Fate::Good => {
                node.proposer.tickets.remove(&ticket);
                node.shard.applied(id, outcome);
            }
            _ => node.shard.failed(now, id),
        }
        self.drive(host);
    }

    /// Starts a read barrier.
    pub(super) fn barrier(&mut self, host: usize, id: u64) {
        let fails = self.rough() && self.sim.chance.one_in(20);
        let own = &mut self.hosts[host];
        let Some(node) = &mut own.node else { return };
        let (boot, term) = (node.boot, node.epoch.term);
        if fails || !node.consensus.leads() || node.consensus.ballot.term != term {
            let takes = self.sim.chance.between(0, 5);
            return self.sim.after(takes, Event::BarrierFails { host, boot, id });
        }
        node.consensus.begin_round(self.sim.now, id, &own.log);
        self.pump(host);
    }

    /// Read rounds that are answered pass once the table has come as far.
    pub(super) fn rounds_end(&mut self, host: usize) {
        let Some(node) = &mut self.hosts[host].node else { return };
        let index = node.table.index();
        let passed = node.proposer.confirmed.extract_if(.., |(_, upto)| *upto <= index);
        let passed: Vec<_> = passed.collect();
        for (id, _) in &passed {
            node.shard.barrier_passed(*id);
        }
        if !passed.is_empty() {
            self.drive(host);
        }
    }

    pub(super) fn barrier_fails(&mut self, host: usize, boot: u64, id: u64) {
        let Some(now) = self.node_now(host) else { return };
        if let Some(node) = self.running(host, boot) {
            node.shard.barrier_failed(now, id);
            self.drive(host);
        }
    }

    /// The node on a machine, if it is still the one that was meant.
    pub(super) fn running(&mut self, host: usize, boot: u64) -> Option<&mut Node> {
        self.hosts[host].node.as_mut().filter(|node| node.boot == boot)
    }
}
