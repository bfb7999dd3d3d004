//! Bringing entries to others, and counting who has them: what a majority has on disk in the leader's
//! own term is committed, with all before it.

use super::{Consensus, Message, Place, Role, Round, Turn};
use crate::world::log::{Log, Record, Slot};
use crate::world::mutant::Mutant;

/// Entries of one message.
const ENTRIES_MAX: u64 = 12;

impl Consensus {
    /// The leader's next entry: where it is. `None` if this replica does not lead.
    pub(in crate::world) fn propose(&mut self, log: &mut Log, record: Record) -> Option<Place> {
        if !self.leads() {
            return None;
        }
        let term = self.ballot.term;
        let index = log.push(term, record);
        self.replicate(log);
        Some(Place { term, index })
    }

    /// Asks whether this replica still leads.
    pub(in crate::world) fn begin_round(&mut self, now: u64, id: u64, log: &Log) {
        let commit = self.commit;
        let Role::Leader(lead) = &mut self.role else { return };
        let index = commit.max(lead.began);
        lead.round += 1;
        lead.rounds.push(Round { id, number: lead.round, index, begun_ms: now });
        if self.mutant == Mutant::AnswersIsolated {
            lead.rounds.clear();
            self.turns.push(Turn::Confirmed { id, index: commit });
            return;
        }
        self.hear_rounds();
        self.beat(log);
    }

    /// Lets everybody hear of it, and sends again what was not answered.
    pub(super) fn beat(&mut self, log: &Log) {
        if let Role::Leader(lead) = &mut self.role {
            let known = lead.peers.values_mut().filter(|peer| peer.matched > 0);
            known.for_each(|peer| peer.next = peer.matched + 1);
        }
        for peer in self.others() {
            self.push_to(peer, log, true);
        }
    }

    /// Sends what is new.
    pub(super) fn replicate(&mut self, log: &Log) {
        for peer in self.others() {
            self.push_to(peer, log, false);
        }
        self.count(log);
    }

    fn push_to(&mut self, number: u64, log: &Log, heard_at_least: bool) {
        let (term, commit) = (self.ballot.term, self.commit);
        let Role::Leader(lead) = &mut self.role else { return };
        let round = lead.round;
        let Some(peer) = lead.peers.get_mut(&number) else { return };
        let prev = log.place(peer.next - 1);
        let entries = match prev {
            Some(_) => log.slots(peer.next, ENTRIES_MAX),
            // The log does not reach back so far.
            None => Vec::new(),
        };
        peer.next += entries.len() as u64;
        if prev.is_none() {
            self.turns.push(Turn::Behind { peer: number });
        }
        let prev = prev.unwrap_or_default();
        if heard_at_least || !entries.is_empty() {
            self.send(number, Message::Append { term, prev, entries, commit, round });
        }
    }

    /// The leader's entries, if they fit.
    pub(super) fn append(
        &mut self,
        from: u64,
        (prev, entries): (Place, Vec<Slot>),
        (commit, round): (u64, u64),
        log: &mut Log,
    ) {
        let term = self.ballot.term;
        if prev.index > log.base().index && log.place(prev.index) != Some(prev) {
            let matched = log.last().index.min(prev.index - 1);
            return self.send(from, Message::Appended { term, fits: false, matched, round });
        }
        let only_heard = prev == Place::default() && entries.is_empty();
        let upto = prev.index + entries.len() as u64;
        for (index, slot) in (prev.index + 1..).zip(entries) {
            if index <= log.base().index || log.place(index).is_some_and(|p| p.term == slot.term) {
                continue;
            }
            if index <= log.last().index {
                assert!(index > self.commit, "what is committed stays");
                log.truncate(index);
            }
            log.push(slot.term, slot.record);
        }
        if !only_heard {
            self.matched = self.matched.max(upto);
        }
        self.commit = self.commit.max(commit.min(self.matched));
        let early = self.mutant == Mutant::AcksBeforeSync;
        let matched = if early { self.matched } else { self.accepted(log) };
        self.send(from, Message::Appended { term, fits: true, matched, round });
    }

    /// A follower's answer.
    pub(super) fn appended(
        &mut self,
        now: u64,
        from: u64,
        (fits, matched, round): (bool, u64, u64),
        log: &Log,
    ) {
        let Role::Leader(lead) = &mut self.role else { return };
        let Some(peer) = lead.peers.get_mut(&from) else { return };
        peer.heard_ms = now;
        peer.round = peer.round.max(round);
        if fits {
            peer.matched = peer.matched.max(matched);
            peer.next = peer.next.max(peer.matched + 1);
        } else {
            peer.next = peer.next.min(matched + 1).max(peer.matched + 1);
        }
        self.hear_rounds();
        self.count(log);
        self.push_to(from, log, false);
    }

    /// Moves the commit as far as a majority allows.
    pub(super) fn count(&mut self, log: &Log) {
        let Role::Leader(lead) = &self.role else { return };
        let mut all: Vec<u64> = lead.peers.values().map(|peer| peer.matched).collect();
        all.push(log.durable());
        all.sort_unstable_by(|a, b| b.cmp(a));
        let upto = match self.mutant {
            Mutant::CommitsAlone => log.durable(),
            _ => all[self.majority() - 1],
        };
        let own = log.place(upto).is_some_and(|place| place.term == self.ballot.term);
        if upto > self.commit && own {
            self.commit = upto;
        }
    }

    /// Rounds that a majority has answered.
    fn hear_rounds(&mut self) {
        let majority = self.majority();
        let Role::Leader(lead) = &mut self.role else { return };
        let peers = &lead.peers;
        let answered = lead.rounds.extract_if(.., |round| {
            1 + peers.values().filter(|peer| peer.round >= round.number).count() >= majority
        });
        let passed = answered.map(|round| Turn::Confirmed { id: round.id, index: round.index });
        self.turns.extend(passed);
    }
}
