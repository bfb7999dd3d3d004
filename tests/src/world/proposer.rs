//! The node's way to its log, and back: proposals that are refused, get lost, or come to the log
//! though nobody says so; commits, answers, read barriers.

use std::collections::BTreeMap;

use pollux_twin::Entry;
use pollux_twin::shard::ProposalId;
use pollux_twin::table::Outcome;

use super::World;
use super::log::Record;
use super::mutant::Mutant;
use super::replica;
use super::sim::Event;

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
}

impl Proposer {
    /// Nobody waits for what was proposed any more. What is in the log stays there.
    pub(super) fn fail_all(&mut self) {
        for ticket in self.tickets.values_mut() {
            ticket.over = true;
        }
    }
}

impl World {
    /// Hands an entry towards the log.
    pub(super) fn propose(&mut self, id: ProposalId, entry: &Entry) {
        let fate = match self.sim.chance.below(100) {
            0 if self.rough() => Fate::Refused,
            1 if self.rough() => Fate::Lost,
            2..4 if self.rough() => Fate::Silent,
            _ => Fate::Good,
        };
        let Some(node) = &mut self.node else { return };
        let proposer = &mut node.proposer;
        proposer.last += 1;
        let ticket = proposer.last;
        let takes = self.sim.chance.between(0, 2);
        proposer.append_at = proposer.append_at.max(self.sim.now + takes);
        let mut append_at = proposer.append_at;
        if fate == Fate::Silent && self.sim.chance.one_in(2) {
            append_at += self.sim.chance.between(1, 400);
        }
        let bytes = entry.encode();
        let term = node.epoch.term;
        let kept = Ticket { id, term, bytes, fate, index: None, outcome: None, over: false };
        proposer.tickets.insert(ticket, kept);
        let boot = node.boot;
        self.sim.at(append_at, Event::Append { boot, ticket });
        if fate != Fate::Good {
            let told = self.sim.chance.between(1, 120);
            self.sim.at(proposer.append_at + told, Event::Settled { boot, ticket });
        }
    }

    /// The log takes an entry over, or refuses it.
    pub(super) fn append(&mut self, boot: u64, ticket_number: u64) {
        let Some(node) = self.node.as_mut().filter(|node| node.boot == boot) else { return };
        let Some(ticket) = node.proposer.tickets.get_mut(&ticket_number) else { return };
        // An entry is bound to the leader that proposed it.
        let refused = ticket.term != node.epoch.term;
        if refused || matches!(ticket.fate, Fate::Refused | Fate::Lost) {
            if ticket.fate == Fate::Good {
                self.sim.after(1, Event::Settled { boot, ticket: ticket_number });
            }
            return;
        }
        let record = Record::Entry(ticket.bytes.clone());
        let index = self.log.append(&mut self.sim, boot, record);
        ticket.index = Some(index);
        let (id, over) = (ticket.id, ticket.over);
        if !over && ticket.fate == Fate::Good {
            node.shard.handed(id);
        }
        if self.mutant == Mutant::SkipsSync {
            self.sim.after(1, Event::Apply { boot, upto: index });
        }
        self.drive();
    }

    /// The disk has the log up to an index: with one voter, that much is committed.
    pub(super) fn synced(&mut self, boot: u64, upto: u64) {
        if self.boot != boot {
            return;
        }
        self.log.synced(&mut self.sim, boot, upto);
        self.judge.learn(&self.log, upto);
        let takes = self.sim.chance.between(0, 3);
        self.sim.after(takes, Event::Apply { boot, upto });
    }

    /// The table takes in what is committed, and proposers are told.
    pub(super) fn apply(&mut self, boot: u64, upto: u64) {
        let Some(node) = self.node.as_mut().filter(|node| node.boot == boot) else { return };
        for index in node.table.index() + 1..=upto {
            let record = self.log.record(index);
            let applied = replica::apply(self.mutant, &mut node.table, index, record);
            let Some((outcome, _)) = applied else { continue };
            let own = node.proposer.tickets.iter_mut();
            let own = own.map(|(number, ticket)| (*number, ticket));
            for (number, ticket) in own.filter(|(_, ticket)| ticket.index == Some(index)) {
                ticket.outcome = Some(outcome);
                if ticket.fate == Fate::Good {
                    let told = self.sim.chance.between(0, 2);
                    self.sim.after(told, Event::Settled { boot, ticket: number });
                }
            }
        }
    }

    /// The proposer learns what became of its entry.
    pub(super) fn settled(&mut self, boot: u64, ticket: u64) {
        let Some(now) = self.node_now() else { return };
        let Some(node) = self.node.as_mut().filter(|node| node.boot == boot) else { return };
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
        self.drive();
    }

    /// Starts a read barrier.
    pub(super) fn barrier(&mut self, id: u64) {
        let passed = !(self.rough() && self.sim.chance.one_in(20));
        let takes = self.sim.chance.between(0, 5);
        let Some(node) = &self.node else { return };
        let (boot, term) = (node.boot, node.epoch.term);
        self.sim.after(takes, Event::BarrierEnds { boot, term, id, passed });
    }

    pub(super) fn barrier_ends(&mut self, boot: u64, term: u64, id: u64, passed: bool) {
        let Some(now) = self.node_now() else { return };
        let Some(node) = self.node.as_mut().filter(|node| node.boot == boot) else { return };
        if passed && node.epoch.term == term {
            node.shard.barrier_passed(id);
        } else {
            node.shard.barrier_failed(now, id);
        }
        self.drive();
    }
}
