//! The consensus library's types as this room uses them, and the way between them and our own. Owns the
//! type configuration; no other file outside `raft/` names the library.

use std::fmt;

use bytes::Bytes;
use openraft::impls::{
    BoxedErrorSource, EntryPayload, InlineBatch, LogId, OneshotResponder, Vote as RaftVote,
    leader_id_adv::LeaderId,
};
use openraft::{EmptyNode, OptionalSend, RaftTypeConfig};

use super::codec::{decode_membership, encode_membership};
use crate::fault::Fault;
use crate::ids::{Epoch, Position};
use crate::wal::{Body, Entry, Vote};

/// An application's entry: bytes that are not looked into.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proposed(pub(crate) Bytes);

impl fmt::Debug for Proposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Display for Proposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The library's configuration by types. Several leaders may follow each other within a term, told
/// apart by node: an epoch is (term, leader).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct C;

impl RaftTypeConfig for C {
    type D = Proposed;
    type R = Bytes;
    type NodeId = u64;
    type Node = EmptyNode;
    type Term = u64;
    type LeaderId = LeaderId<u64, u64>;
    type Vote = RaftVote<LeaderId<u64, u64>>;
    type Payload = EntryPayload<Proposed, u64, EmptyNode>;
    type Entry = openraft::Entry<LeaderId<u64, u64>, Self::Payload>;
    #[cfg(not(test))]
    type AsyncRuntime = super::beat::BeatRuntime;
    #[cfg(test)]
    type AsyncRuntime = super::sim::SeededRuntime;
    type Responder<T>
        = OneshotResponder<Self, T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = BoxedErrorSource;
}

pub(crate) type LogIdC = LogId<LeaderId<u64, u64>>;
pub(crate) type VoteC = RaftVote<LeaderId<u64, u64>>;
pub(crate) type EntryC = <C as RaftTypeConfig>::Entry;
pub(crate) type MembershipC = openraft::Membership<u64, EmptyNode>;
pub(crate) type StoredC = openraft::StoredMembership<LeaderId<u64, u64>, u64, EmptyNode>;
pub(crate) type MetaC = openraft::SnapshotMeta<LeaderId<u64, u64>, u64, EmptyNode>;
pub(crate) type SnapshotC<D> = openraft::Snapshot<LeaderId<u64, u64>, u64, EmptyNode, D>;

pub(crate) fn leader_id(epoch: Epoch) -> LeaderId<u64, u64> {
    LeaderId { term: epoch.term, node_id: epoch.leader }
}

pub(crate) fn epoch(leader: LeaderId<u64, u64>) -> Epoch {
    Epoch { term: leader.term, leader: leader.node_id }
}

pub(crate) fn log_id(position: Position) -> LogIdC {
    LogId::new(leader_id(position.epoch()), position.index)
}

pub(crate) fn position(id: &LogIdC) -> Position {
    Position { term: id.leader_id.term, leader: id.leader_id.node_id, index: id.index }
}

pub(crate) fn vote_out(vote: &VoteC) -> Vote {
    Vote { epoch: epoch(vote.leader_id), committed: vote.committed }
}

pub(crate) fn vote_in(vote: Vote) -> VoteC {
    RaftVote { leader_id: leader_id(vote.epoch), committed: vote.committed }
}

/// The library's entry as the log keeps it.
pub(crate) fn entry_out(entry: EntryC) -> Entry {
    let body = match entry.payload {
        EntryPayload::Blank => Body::Blank,
        EntryPayload::Normal(Proposed(bytes)) => Body::Normal(bytes),
        EntryPayload::Membership(m) => Body::Membership(encode_membership(&m)),
    };
    Entry { position: position(&entry.log_id), body }
}

/// The log's entry as the library knows it.
pub(crate) fn entry_in(entry: Entry) -> Result<EntryC, Fault> {
    let payload = match entry.body {
        Body::Blank => EntryPayload::Blank,
        Body::Normal(bytes) => EntryPayload::Normal(Proposed(bytes)),
        Body::Membership(bytes) => EntryPayload::Membership(decode_membership(&bytes)?),
    };
    Ok(EntryC { log_id: log_id(entry.position), payload })
}
