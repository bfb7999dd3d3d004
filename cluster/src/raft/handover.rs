//! Handing the leadership over on purpose. Owns whom it may go to, the waiting, and the way out when nobody
//! takes it; leaves the draining before it and the farewell after it to the owner of the shard.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::VoteRequest;
use openraft::type_config::TypeConfigExt;
use openraft::{Instant, RaftMetrics, ServerState};

use super::group::Group;
use super::leadership::Leadership;
use super::types::{C, VoteC, epoch, log_id};
use crate::ids::{Epoch, NodeId};
use crate::limits::{HAND_OVER_HEARTBEATS, PROGRESS_POLL_MS};

/// Why the leadership is not where it was to go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandOverError {
    /// This node does not lead. Nothing was done.
    #[error("this node does not lead the group")]
    NotLeader {
        /// Who does, if that is known.
        leader: Option<NodeId>,
    },
    /// No voter may take it now. Nothing was done: this node leads on in the same epoch.
    #[error("no voter can take the leadership: {0}")]
    NoCandidate(String),
    /// It was offered and not taken in time. The epoch is over all the same: this node has stepped
    /// down, and whoever is elected next, this node perhaps, leads in another one.
    #[error("node {to} did not take the leadership in time")]
    NotTaken {
        /// Whom it was offered.
        to: NodeId,
        /// Who leads now, if that is known.
        leader: Option<NodeId>,
    },
    /// The group has stopped.
    #[error("the group has stopped: {0}")]
    Stopped(String),
}

impl Group {
    /// Hands the leadership to a voter: the given one, or the one that is furthest. It must have
    /// answered within the last two heartbeats, and gets up to one election timeout to have the whole
    /// log. The caller has stopped proposing and waited for what it had proposed.
    ///
    /// From the offer on this epoch takes no proposal, whatever comes of it. Gives the new leader.
    ///
    /// # Errors
    /// See [`HandOverError`].
    pub async fn hand_over(&self, to: Option<NodeId>) -> Result<NodeId, HandOverError> {
        let leadership = *self.leadership().borrow();
        let Some(token) = leadership.ours else {
            return Err(HandOverError::NotLeader { leader: leadership.leader });
        };
        let to = self.candidate(to).await?;
        let stopped = |e: &dyn std::fmt::Display| HandOverError::Stopped(e.to_string());
        self.raft().trigger().transfer_leader(to.0).await.map_err(|e| stopped(&e))?;
        tracing::debug!(group = %self.id(), %to, "offered");
        let mut watch = self.leadership();
        let other = |l: &Leadership| l.epoch != token.epoch() && l.leader.is_some();
        let taken = async { watch.wait_for(other).await.map(|now| now.leader) };
        match C::timeout(2 * self.options().election_max(), taken).await {
            Ok(Ok(Some(leader))) if leader == to => Ok(leader),
            Ok(Ok(leader)) => Err(HandOverError::NotTaken { to, leader }),
            Ok(Err(closed)) => Err(stopped(&closed)),
            Err(_) => {
                self.step_down(token.epoch(), to).await?;
                let over = async {
                    let over = |now: &Leadership| now.epoch != token.epoch();
                    watch.wait_for(over).await.map(|now| now.leader)
                };
                let over = C::timeout(self.options().election_max(), over).await;
                let leader = over.ok().and_then(|now| now.ok()?);
                Err(HandOverError::NotTaken { to, leader })
            }
        }
    }

    /// Waits for a voter that may take over.
    async fn candidate(&self, to: Option<NodeId>) -> Result<NodeId, HandOverError> {
        let waiting = async {
            loop {
                match self.choose(to) {
                    Err(HandOverError::NoCandidate(_)) => {
                        C::sleep(Duration::from_millis(PROGRESS_POLL_MS)).await;
                    }
                    other => return other,
                }
            }
        };
        match C::timeout(self.options().election_max(), waiting).await {
            Ok(chosen) => chosen,
            Err(_) => self.choose(to),
        }
    }

    fn choose(&self, to: Option<NodeId>) -> Result<NodeId, HandOverError> {
        let fresh = Duration::from_millis(HAND_OVER_HEARTBEATS * self.options().heartbeat_ms);
        choose(&self.raft().metrics().borrow_watched(), to, fresh)
    }

    /// A leader that offered the leadership stays one that neither proposes nor is heard, until it
    /// meets a higher epoch. A vote for the one it was offered to, in the next term, is one: a vote
    /// only promises to follow nobody lower, so it may be given unasked. The next election is
    /// anybody's.
    async fn step_down(&self, from: Epoch, to: NodeId) -> Result<(), HandOverError> {
        let raft = self.raft();
        let (vote, last) = {
            let metrics = raft.metrics();
            let metrics = metrics.borrow_watched();
            if metrics.state != ServerState::Leader || epoch(metrics.vote.leader_id) != from {
                return Ok(());
            }
            (VoteC::new(from.term + 1, to.0), self.log_last().map(log_id))
        };
        let mut request = VoteRequest::new(vote, last);
        request.leadership_transfer = true;
        let stopped = |e: &dyn std::fmt::Display| HandOverError::Stopped(e.to_string());
        raft.vote(request).await.map_err(|e| stopped(&e))?;
        raft.trigger().elect(true).await.map_err(|e| stopped(&e))
    }
}

/// The voter to take over, if there is one at this moment.
fn choose(
    metrics: &RaftMetrics<C>,
    to: Option<NodeId>,
    fresh: Duration,
) -> Result<NodeId, HandOverError> {
    let (Some(replicas), Some(heard)) = (&metrics.replication, &metrics.heartbeat) else {
        return Err(HandOverError::NotLeader { leader: metrics.current_leader.map(NodeId) });
    };
    let membership = metrics.membership_config.membership();
    let voters: Vec<u64> = membership.voter_ids().filter(|id| *id != metrics.id).collect();
    if let Some(to) = to
        && !voters.contains(&to.0)
    {
        return Err(HandOverError::NoCandidate(format!("node {to} is not another voter")));
    }
    let wanted = voters.iter().filter(|id| to.is_none_or(|to| to.0 == **id));
    let answers = wanted.filter(|id| {
        let heard = heard.get(id).copied().flatten();
        heard.is_some_and(|heard| heard.elapsed() <= fresh)
    });
    let matched = |id: &u64| replicas.get(id).and_then(Option::as_ref).map(|id| id.index);
    let best = answers.max_by_key(|id| (matched(id), std::cmp::Reverse(**id)));
    match best {
        Some(id) if matched(id) >= metrics.last_log_index => Ok(NodeId(*id)),
        Some(id) => Err(HandOverError::NoCandidate(format!("node {id} has not the whole log"))),
        None => Err(HandOverError::NoCandidate("none answered just now".into())),
    }
}
