//! A plain model of the consensus under a shard's log, in its usual form (Ongaro and Ousterhout 2014,
//! with the pre-vote of Ongaro's thesis): terms, votes, entries, commit, read rounds. Pure: messages
//! and time in, messages out. The real library has a simulation of its own; this one is small, so that
//! thousands of histories go by in a second.
//!
//! `election` decides who leads, `replication` brings entries to others and counts who has them.

mod election;
mod message;
mod replication;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use message::{Images, Message, Place};

use super::chance::Chance;
use super::log::Log;
use super::mutant::Mutant;

/// How often a leader is heard from.
const HEARTBEAT_MS: u64 = 50;
/// Shortest silence after which a follower stands for election.
pub(super) const ELECTION_MS: u64 = 200;
/// How long a read round may take before it counts as failed.
const ROUND_MS_MAX: u64 = 400;

/// What a replica must remember of elections, on its disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ballot {
    pub(super) term: u64,
    voted: Option<u64>,
}

/// Another replica, as the leader sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// What to send next.
    next: u64,
    /// It has this much on its disk.
    matched: u64,
    heard_ms: u64,
    round: u64,
}

/// A read round: whether this replica still leads.
#[derive(Clone, Copy, Debug)]
struct Round {
    id: u64,
    number: u64,
    /// The table must have come this far.
    index: u64,
    begun_ms: u64,
}

/// What a leader keeps.
#[derive(Debug, Default)]
pub(super) struct Lead {
    peers: BTreeMap<u64, Peer>,
    /// Its own first entry.
    began: u64,
    beat_at: u64,
    round: u64,
    rounds: Vec<Round>,
}

/// What a replica is.
#[derive(Debug)]
pub(super) enum Role {
    Follower,
    /// Asks whether it would be elected, then to be elected.
    Candidate {
        votes: BTreeSet<u64>,
        feels: bool,
    },
    Leader(Lead),
}

/// What the driver must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// This replica was elected.
    Leads,
    /// It leads no more.
    Deposed,
    /// A read round ended: the table must have come to `index` for it to pass.
    Confirmed { id: u64, index: u64 },
    /// A read round was not answered.
    Unconfirmed { id: u64 },
    /// This replica is so far behind that the log no longer reaches it.
    Behind { peer: u64 },
}

/// One replica's consensus.
#[derive(Debug)]
pub(super) struct Consensus {
    mutant: Mutant,
    me: u64,
    size: usize,
    pub(super) ballot: Ballot,
    pub(super) role: Role,
    pub(super) leader: Option<u64>,
    pub(super) commit: u64,
    election_at: u64,
    heard_ms: Option<u64>,
    /// As a follower: so much of the log is the leader's.
    matched: u64,
    pub(super) out: Vec<(u64, Message)>,
    pub(super) turns: Vec<Turn>,
}

impl Consensus {
    /// A replica that starts: what it knows to be committed is behind its checkpoint.
    pub(super) fn new(
        (mutant, me, size): (Mutant, u64, usize),
        ballot: Ballot,
        commit: u64,
        election_at: u64,
    ) -> Self {
        Self {
            mutant,
            me,
            size,
            ballot,
            role: Role::Follower,
            leader: None,
            commit,
            election_at,
            heard_ms: None,
            matched: 0,
            out: Vec::new(),
            turns: Vec::new(),
        }
    }

    pub(super) const fn leads(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    const fn majority(&self) -> usize {
        self.size / 2 + 1
    }

    fn others(&self) -> impl Iterator<Item = u64> + use<> {
        let me = self.me;
        (1..=self.size as u64).filter(move |peer| *peer != me)
    }

    fn send(&mut self, to: u64, message: Message) {
        self.out.push((to, message));
    }

    /// So much of its disk is what the leader of its term has: the part that counts for a commit.
    pub(super) fn accepted(&self, log: &Log) -> u64 {
        match self.role {
            Role::Leader(_) => log.durable(),
            Role::Follower => log.durable().min(self.matched),
            Role::Candidate { .. } => 0,
        }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: u64, chance: &mut Chance, log: &mut Log) {
        match &mut self.role {
            Role::Leader(lead) => {
                let overdue = lead.rounds.extract_if(.., |r| now >= r.begun_ms + ROUND_MS_MAX);
                self.turns.extend(overdue.map(|round| Turn::Unconfirmed { id: round.id }));
                if now >= lead.beat_at {
                    lead.beat_at = now + HEARTBEAT_MS;
                    self.beat(log);
                }
            }
            _ if now >= self.election_at => self.feel(now, chance, log),
            _ => {}
        }
    }

    /// Another replica says something.
    pub(super) fn handle(
        &mut self,
        now: u64,
        from: u64,
        message: Message,
        (chance, log): (&mut Chance, &mut Log),
    ) {
        match message {
            Message::Ask { term, last, feels } => {
                self.asked(now, from, (term, last, feels), chance, log);
            }
            Message::Grant { term, feels, granted } => {
                self.answered(now, from, (term, feels, granted), chance, log);
            }
            Message::Append { term, prev, entries, commit, round } => {
                if self.follows(now, from, term, chance) {
                    self.append(from, (prev, entries), (commit, round), log);
                } else {
                    let term = self.ballot.term;
                    let refused = Message::Appended { term, fits: false, matched: 0, round: 0 };
                    self.send(from, refused);
                }
            }
            Message::Appended { term, fits, matched, round } => {
                if term > self.ballot.term {
                    self.adopt(term);
                } else if term == self.ballot.term {
                    self.appended(now, from, (fits, matched, round), log);
                }
            }
            // Taking a state in is the driver's; that it comes from the leader is seen here.
            Message::State { term, .. } => {
                self.follows(now, from, term, chance);
            }
            Message::Stand { term } => {
                if term == self.ballot.term && !self.leads() {
                    self.stand(now, chance, log);
                }
            }
        }
    }

    /// The disk has more of the log.
    pub(super) fn synced(&mut self, log: &Log) {
        match &self.role {
            Role::Leader(_) => self.count(log),
            Role::Follower => {
                if let Some(leader) = self.leader {
                    let (term, matched) = (self.ballot.term, self.accepted(log));
                    let message = Message::Appended { term, fits: true, matched, round: 0 };
                    self.send(leader, message);
                }
            }
            Role::Candidate { .. } => {}
        }
    }

    /// Another's state is in the place of this one's, up to here.
    pub(super) fn installed(&mut self, index: u64, log: &Log) {
        self.commit = self.commit.max(index);
        self.matched = self.matched.max(index);
        self.synced(log);
    }

    /// Whether a majority was heard from lately (safety rule 6).
    pub(super) fn hears_majority(&self, now: u64) -> bool {
        let Role::Leader(lead) = &self.role else { return false };
        let heard = lead.peers.values().filter(|peer| now < peer.heard_ms + ELECTION_MS).count();
        heard + 1 >= self.majority()
    }
}
