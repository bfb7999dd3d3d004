//! Who leads: votes by term, first felt for so that one who was away deposes nobody.

use std::collections::{BTreeMap, BTreeSet};

use super::{Consensus, ELECTION_MS, Lead, Message, Peer, Place, Role, Turn};
use crate::world::chance::Chance;
use crate::world::log::{Log, Record};

impl Consensus {
    fn rest(&mut self, now: u64, chance: &mut Chance) {
        self.election_at = now + ELECTION_MS + chance.between(0, ELECTION_MS);
    }

    /// Asks whether it would be elected.
    pub(super) fn feel(&mut self, now: u64, chance: &mut Chance, log: &mut Log) {
        self.rest(now, chance);
        self.leader = None;
        self.campaign(now, (self.ballot.term + 1, true), chance, log);
    }

    /// Stands for election in the next term.
    pub(super) fn stand(&mut self, now: u64, chance: &mut Chance, log: &mut Log) {
        self.rest(now, chance);
        self.adopt(self.ballot.term + 1);
        self.ballot.voted = Some(self.me);
        self.campaign(now, (self.ballot.term, false), chance, log);
    }

    fn campaign(
        &mut self,
        now: u64,
        (term, feels): (u64, bool),
        chance: &mut Chance,
        log: &mut Log,
    ) {
        self.role = Role::Candidate { votes: BTreeSet::from([self.me]), feels };
        for peer in self.others() {
            self.send(peer, Message::Ask { term, last: log.last(), feels });
        }
        self.tally(now, chance, log);
    }

    pub(super) fn asked(
        &mut self,
        now: u64,
        from: u64,
        (term, last, feels): (u64, Place, bool),
        chance: &mut Chance,
        log: &Log,
    ) {
        if feels {
            let led = self.leads() || self.heard_ms.is_some_and(|at| now < at + ELECTION_MS);
            let granted = term > self.ballot.term && last >= log.last() && !led;
            return self.send(from, Message::Grant { term, feels, granted });
        }
        if term > self.ballot.term {
            self.adopt(term);
        }
        let free = self.ballot.voted.is_none_or(|voted| voted == from);
        let granted = term == self.ballot.term && free && last >= log.last();
        if granted {
            self.ballot.voted = Some(from);
            self.rest(now, chance);
        }
        self.send(from, Message::Grant { term: self.ballot.term, feels, granted });
    }

    pub(super) fn answered(
        &mut self,
        now: u64,
        from: u64,
        (term, feels, granted): (u64, bool, bool),
        chance: &mut Chance,
        log: &mut Log,
    ) {
        if !feels && term > self.ballot.term {
            return self.adopt(term);
        }
        let current = self.ballot.term + u64::from(feels);
        match &mut self.role {
            Role::Candidate { votes, feels: own }
                if *own == feels && term == current && granted =>
            {
                votes.insert(from);
                self.tally(now, chance, log);
            }
            _ => {}
        }
    }

    fn tally(&mut self, now: u64, chance: &mut Chance, log: &mut Log) {
        let Role::Candidate { votes, feels } = &self.role else { return };
        if votes.len() < self.majority() {
            return;
        }
        if *feels {
            return self.stand(now, chance, log);
        }
        let (next, matched, round) = (log.last().index + 1, 0, 0);
        let peer = Peer { next, matched, heard_ms: now, round };
        let peers: BTreeMap<u64, Peer> = self.others().map(|number| (number, peer)).collect();
        let began = log.push(self.ballot.term, Record::Blank);
        self.role = Role::Leader(Lead { peers, began, ..Lead::default() });
        self.leader = Some(self.me);
        self.turns.push(Turn::Leads);
        self.replicate(log);
    }

    /// A newer term is known.
    pub(super) fn adopt(&mut self, term: u64) {
        self.ballot.term = term;
        self.ballot.voted = None;
        self.leader = None;
        self.fall_back();
    }

    fn fall_back(&mut self) {
        if self.leads() {
            self.turns.push(Turn::Deposed);
        }
        self.role = Role::Follower;
        self.matched = 0;
    }

    /// Gives the leadership up by itself.
    pub(in crate::world) fn resign(&mut self, election_at: u64) {
        self.leader = None;
        self.fall_back();
        self.election_at = election_at;
    }

    /// Whether this is from the leader of the newest term; it is then followed.
    pub(super) fn follows(&mut self, now: u64, from: u64, term: u64, chance: &mut Chance) -> bool {
        if term < self.ballot.term {
            return false;
        }
        if term > self.ballot.term {
            self.adopt(term);
        }
        assert!(!self.leads(), "two leaders in term {term}");
        if matches!(self.role, Role::Candidate { .. }) {
            self.fall_back();
        }
        self.leader = Some(from);
        self.heard_ms = Some(now);
        self.rest(now, chance);
        true
    }

    /// Asks another to take over, if it is caught up and was heard from: whom.
    pub(in crate::world) fn hand_off(&mut self, now: u64, log: &Log) -> Option<u64> {
        let Role::Leader(lead) = &self.role else { return None };
        let fit = |peer: &Peer| {
            peer.matched == log.last().index && now < peer.heard_ms + super::HEARTBEAT_MS * 2
        };
        let (to, _) = lead.peers.iter().find(|(_, peer)| fit(peer))?;
        let (to, term) = (*to, self.ballot.term);
        self.send(to, Message::Stand { term });
        Some(to)
    }
}
