//! Changing who belongs to a group: learners first, then voters through a joint majority, the old ones
//! out last. Owns the order of steps, the one-at-a-time rule, and the finishing of what a dead leader left
//! half done; leaves placement to whoever calls.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::raft::ChangeMembershipRequest;
use openraft::type_config::TypeConfigExt;
use openraft::{ChangeMembers, EmptyNode, Precondition, Raft, RaftMetrics, ServerState};

use super::adapter::Adapter;
use super::group::Group;
use super::members::{ChangeError, Demoted, Members};
use super::types::{C, log_id, position};
use crate::ids::{NodeId, Position};
use crate::limits::{PROGRESS_POLL_MS, PROMOTE_LAG_MAX};

/// Held while a change of a group's members is under way on this node.
pub(super) type Changing = Arc<tokio::sync::Mutex<()>>;

pub(super) fn members(raft: &Raft<C, Adapter>) -> Members {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    Members::new(&metrics.membership_config, &metrics.committed_membership_config)
}

impl Group {
    /// Adds a replica without a vote: from then on it is kept up. `seen` is the membership that was
    /// looked at when this was decided. [`Group::caught_up`] waits for the replica.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn add_learner(&self, node: NodeId, seen: Position) -> Result<(), ChangeError> {
        if members(self.raft()).contains(node) {
            return Err(ChangeError::Refused(format!("node {node} has a replica already")));
        }
        let nodes = BTreeMap::from([(node.0, EmptyNode {})]);
        self.change(ChangeMembers::AddNodes(nodes), Demoted::Learns, seen).await
    }

    /// Waits until a replica has all that was in the log when it was last asked, in rounds that begin
    /// anew until one is shorter than an election: from then on it keeps up.
    ///
    /// # Errors
    /// [`ChangeError::Behind`] after `within`, or when the replica was removed;
    /// [`ChangeError::NotLeader`] when this node leads no longer.
    pub async fn caught_up(&self, node: NodeId, within: Duration) -> Result<(), ChangeError> {
        let rounds = async {
            loop {
                let began = C::now();
                let target = self.log_last().map(|last| last.index);
                while self.progress(node)?.map(|matched| matched.index) < target {
                    C::sleep(Duration::from_millis(PROGRESS_POLL_MS)).await;
                }
                if C::now() - began < self.options().election_max() {
                    return Ok(());
                }
            }
        };
        let late = |_| {
            let matched = self.progress(node).ok().flatten();
            let matched = matched.map_or_else(|| "nothing".into(), |p| p.to_string());
            let reason = format!("it has {matched} after {} ms", within.as_millis());
            ChangeError::Behind { node, reason }
        };
        C::timeout(within, rounds).await.map_err(late)?
    }

    /// Makes these nodes, and no others, the voters. All of them must be replicas that keep up. While
    /// the change is half done a majority of the old voters and one of the new ones is needed.
    ///
    /// # Errors
    /// See [`ChangeError`]. It is refused to take the vote of this node, which leads: hand over first.
    pub async fn change_voters(
        &self,
        voters: &BTreeSet<NodeId>,
        demoted: Demoted,
        seen: Position,
    ) -> Result<(), ChangeError> {
        let now = members(self.raft());
        if !voters.contains(&self.node()) {
            return Err(ChangeError::Refused(format!(
                "node {} leads and would lose its vote: hand the leadership over first",
                self.node()
            )));
        }
        for node in voters.difference(&now.voters) {
            self.keeps_up(*node)?;
        }
        let ids: BTreeSet<u64> = voters.iter().map(|node| node.0).collect();
        self.change(ChangeMembers::ReplaceAllVoters(ids), demoted, seen).await
    }

    /// Takes a replica out of the group, a voter or a learner. Its node may then drop it.
    ///
    /// # Errors
    /// See [`ChangeError`]. The leader and the last voter are refused.
    pub async fn remove(&self, node: NodeId, seen: Position) -> Result<(), ChangeError> {
        let mut now = members(self.raft());
        if now.voters.remove(&node) {
            return self.change_voters(&now.voters, Demoted::Leaves, seen).await;
        }
        if !now.contains(node) {
            return Err(ChangeError::Refused(format!("node {node} has no replica")));
        }
        let nodes = BTreeSet::from([node.0]);
        self.change(ChangeMembers::RemoveNodes(nodes), Demoted::Leaves, seen).await
    }

    /// Finishes a change of voters that was left half done. The voters it took the vote from stay as
    /// learners, since what was meant for them is not known. A leader does this by itself after an
    /// election.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn settle(&self, seen: Position) -> Result<(), ChangeError> {
        if members(self.raft()).leaving.is_none() {
            return Ok(());
        }
        settle(self.raft(), self.changing(), seen).await
    }

    fn keeps_up(&self, node: NodeId) -> Result<(), ChangeError> {
        let last = self.log_last().map_or(0, |last| last.index + 1);
        let matched = self.progress(node)?.map_or(0, |matched| matched.index + 1);
        let lag = last.saturating_sub(matched);
        if lag <= PROMOTE_LAG_MAX {
            return Ok(());
        }
        let reason = format!("{lag} entries are missing, at most {PROMOTE_LAG_MAX} may be");
        Err(ChangeError::Behind { node, reason })
    }

    /// How far a replica's log is known to agree with the leader's.
    fn progress(&self, node: NodeId) -> Result<Option<Position>, ChangeError> {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics.current_leader.map(NodeId);
        let (ServerState::Leader, Some(replicas)) = (metrics.state, &metrics.replication) else {
            return Err(ChangeError::NotLeader { leader });
        };
        match replicas.get(&node.0) {
            Some(matched) => Ok(matched.as_ref().map(position)),
            None => Err(ChangeError::Behind { node, reason: "it is no replica".into() }),
        }
    }

    async fn change(
        &self,
        change: ChangeMembers<u64, EmptyNode>,
        demoted: Demoted,
        seen: Position,
    ) -> Result<(), ChangeError> {
        if members(self.raft()).leaving.is_some() {
            return Err(ChangeError::Busy);
        }
        drive(self.raft(), self.changing(), change, demoted, seen).await
    }
}

/// Finishes the joint membership in force.
pub(super) fn settle(
    raft: &Raft<C, Adapter>,
    changing: Changing,
    seen: Position,
) -> impl Future<Output = Result<(), ChangeError>> + Send + 'static {
    let nothing_new = ChangeMembers::AddVoterIds(BTreeSet::new());
    drive(raft, changing, nothing_new, Demoted::Learns, seen)
}

/// Both steps of a change, in a task of their own: a caller that gives up must not leave it half done.
fn drive(
    raft: &Raft<C, Adapter>,
    changing: Changing,
    change: ChangeMembers<u64, EmptyNode>,
    demoted: Demoted,
    seen: Position,
) -> impl Future<Output = Result<(), ChangeError>> + Send + 'static {
    let raft = raft.clone();
    let steps = async move {
        let _one = changing.try_lock().map_err(|_| ChangeError::Busy)?;
        let now = members(&raft).at;
        if now != Some(seen) {
            return Err(ChangeError::Stale { seen, now });
        }
        let only_if =
            Precondition::LastMembershipLogId { last_membership_log_id: Some(log_id(seen)) };
        let request = ChangeMembershipRequest::new(change, demoted == Demoted::Learns)
            .with_preconditions([only_if]);
        match raft.change_membership_with_payload(request).await {
            Ok(done) => {
                shown(&raft, position(done.uniform.log_id())).await;
                Ok(())
            }
            Err(fault) => Err(explain(&raft, fault, seen)),
        }
    };
    async move {
        let done = C::spawn(steps).await;
        done.unwrap_or_else(|e| Err(ChangeError::Unknown(format!("the change's task: {e}"))))
    }
}

/// Waits until this node's metrics show the membership of a committed entry: the library answers
/// before, and who has the answer decides the next step by the metrics.
async fn shown(raft: &Raft<C, Adapter>, at: Position) {
    let shows = |metrics: &RaftMetrics<C>| {
        metrics.committed_membership_config.log_id().as_ref().map(position) >= Some(at)
    };
    // It ends early only when the group stops, and then nobody decides anything here.
    let _stopped = raft.wait(None).metrics(shows, "the new members").await;
}

/// An error of the second step must not be taken for one of the first, which changed nothing.
fn explain(
    raft: &Raft<C, Adapter>,
    fault: RaftError<C, ClientWriteError<C>>,
    seen: Position,
) -> ChangeError {
    let now = members(raft).at;
    let refused = ChangeError::from_raft(fault, seen, now);
    match refused {
        ChangeError::Behind { .. } | ChangeError::Unknown(_) => refused,
        first_step if now == Some(seen) => first_step,
        second_step => {
            ChangeError::Unknown(format!("the members have changed since: {second_step}"))
        }
    }
}
