//! A moment's picture of a group. Owns what is told; leaves what to do about it to the node.

use openraft::Instant;
use openraft::async_runtime::watch::WatchReceiver;

use super::group::Group;
use super::leadership::Leadership;
use super::members::Members;
use super::types::position;
use crate::ids::{NodeId, Position};

/// A moment's picture of a group on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetrics {
    /// Who leads.
    pub leadership: Leadership,
    /// Who belongs to the group.
    pub members: Members,
    /// The other replicas as the leader knows them; empty on any other node.
    pub replicas: Vec<ReplicaProgress>,
    /// How long ago the newest message was sent that a majority has answered; none if this node does
    /// not lead or has had no answer yet.
    pub quorum_silent_ms: Option<u64>,
    /// The last entry in this node's log.
    pub last: Option<Position>,
    /// How far the group is committed, as known here.
    pub committed: Option<Position>,
    /// How far this node has applied.
    pub applied: Option<Position>,
    /// How far the log was dropped.
    pub purged: Option<Position>,
    /// Bytes of entries kept in the log.
    pub log_bytes: u64,
}

/// Another replica, as the leader knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaProgress {
    /// The node that has it.
    pub node: NodeId,
    /// How far its log is known to agree with the leader's.
    pub matched: Option<Position>,
    /// Entries of the leader's log that it is not known to have.
    pub lag_entries: u64,
    /// How long ago the newest message was sent that it has answered; none if it never did.
    pub silent_ms: Option<u64>,
}

fn millis_since(instant: &impl Instant) -> u64 {
    u64::try_from(instant.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Group {
    /// A picture of the group.
    #[must_use]
    pub fn metrics(&self) -> GroupMetrics {
        let (raft, log) = (self.raft(), self.log());
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let last = log.last();
        let replicas = metrics.replication.iter().flatten();
        let replicas = replicas.filter(|(id, _)| **id != metrics.id).map(|(id, matched)| {
            let matched = matched.as_ref().map(position);
            let next = |place: Option<Position>| place.map_or(0, |place| place.index + 1);
            let heard = metrics.heartbeat.as_ref().and_then(|heard| heard.get(id).copied()?);
            ReplicaProgress {
                node: NodeId(*id),
                matched,
                lag_entries: next(last).saturating_sub(next(matched)),
                silent_ms: heard.map(|heard| millis_since(&heard.into_inner())),
            }
        });
        let acked = metrics.last_quorum_acked.map(|acked| acked.into_inner());
        GroupMetrics {
            leadership: *self.leadership().borrow(),
            members: Members::new(&metrics.membership_config, &metrics.committed_membership_config),
            replicas: replicas.collect(),
            quorum_silent_ms: acked.map(|acked| millis_since(&acked)),
            last,
            committed: metrics.local_committed.as_ref().map(position),
            applied: metrics.last_applied.as_ref().map(position),
            purged: log.purged(),
            log_bytes: log.bytes(),
        }
    }
}
