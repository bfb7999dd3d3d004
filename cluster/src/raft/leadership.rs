//! Who leads a group, as this node knows it, and whether a leader is still answered. Owns the watch that the
//! runtime follows and the finishing of a half-done change after an election; leaves elections to the
//! consensus library.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::{InstantOf, WatchReceiverOf};
use openraft::{Instant, Raft, ServerState};
use tokio::sync::watch;

use super::adapter::Adapter;
use super::change::{Changing, settle};
use super::types::{C, epoch, position};
use crate::ids::{Epoch, NodeId};
use crate::limits::FIRST_ANSWER_LOOK_MS;

/// Proof that this node was elected in an epoch. Whether it still leads only a commit can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderToken(Epoch);

impl LeaderToken {
    /// The epoch to propose under.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.0
    }
}

/// Whether a majority answers this node while it leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quorum {
    /// It answered within the last election timeout, or this node does not lead.
    #[default]
    Answers,
    /// It has been silent for an election timeout, and another leader may have been elected, or it has
    /// not answered this one yet since its election. The library does not step down by itself, and
    /// takes no proposal: the owner does not serve.
    Silent,
}

/// The newest that is known about a group's leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The newest epoch seen, whether its election was won or not.
    pub epoch: Epoch,
    /// The node that won it, if that is known.
    pub leader: Option<NodeId>,
    /// Set when that node is this one.
    pub ours: Option<LeaderToken>,
    /// Whether a majority still answers, when it is.
    pub quorum: Quorum,
}

pub(super) fn leadership(metrics: &RaftServerMetrics<C>) -> Leadership {
    let epoch = epoch(metrics.vote.leader_id);
    let won = metrics.vote.committed && metrics.current_leader == Some(epoch.leader);
    let ours = won && metrics.state == ServerState::Leader && epoch.leader == metrics.id;
    Leadership {
        epoch,
        leader: won.then_some(NodeId(epoch.leader)),
        ours: ours.then_some(LeaderToken(epoch)),
        quorum: Quorum::Answers,
    }
}

/// What is watched over while this node leads.
struct Watched {
    epoch: Epoch,
    /// When the leadership was first seen here.
    since: InstantOf<C>,
    settling: Option<InstantOf<C>>,
}

/// Follows one group.
pub(super) struct Follower {
    pub(super) raft: Raft<C, Adapter>,
    pub(super) changing: Changing,
    /// The silence after which a quorum counts as lost.
    pub(super) silence: Duration,
}

impl Follower {
    /// Follows the group until it ends.
    pub(super) fn follow(self) -> watch::Receiver<Leadership> {
        let metrics: WatchReceiverOf<C, RaftServerMetrics<C>> = self.raft.server_metrics();
        let (sender, receiver) = watch::channel(leadership(&metrics.borrow_watched()));
        let _detached = C::spawn(self.run(metrics, sender));
        receiver
    }

    async fn run(
        self,
        mut metrics: WatchReceiverOf<C, RaftServerMetrics<C>>,
        sender: watch::Sender<Leadership>,
    ) {
        let mut watched = None;
        loop {
            let (now, wait) = {
                let metrics = metrics.borrow_and_update();
                let mut now = leadership(&metrics);
                let wait = self.judge(&metrics, &mut now, &mut watched);
                (now, wait)
            };
            sender.send_if_modified(|old| std::mem::replace(old, now) != now);
            if sender.is_closed() {
                return;
            }
            let changed = match wait {
                Some(wait) => C::timeout(wait, metrics.changed()).await.unwrap_or(Ok(())),
                None => metrics.changed().await,
            };
            if changed.is_err() {
                break;
            }
        }
        let epoch = sender.borrow().epoch;
        sender.send_replace(Leadership { epoch, ..Leadership::default() });
    }

    /// Completes the picture of a leader; says when to look again though nothing is heard.
    fn judge(
        &self,
        metrics: &RaftServerMetrics<C>,
        now: &mut Leadership,
        watched: &mut Option<Watched>,
    ) -> Option<Duration> {
        let Some(token) = now.ours else {
            *watched = None;
            return None;
        };
        let epoch = token.epoch();
        if watched.as_ref().is_none_or(|old| old.epoch != epoch) {
            *watched = Some(Watched { epoch, since: C::now(), settling: None });
        }
        let watched = watched.as_mut()?;
        let membership = metrics.membership_config.membership();
        if membership.get_joint_config().len() > 1 {
            self.settle(metrics, watched);
        }
        if membership.voter_ids().all(|voter| voter == metrics.id) {
            return None;
        }
        let Some(heard) = self.heard_in(epoch) else {
            now.quorum = Quorum::Silent;
            let look = Duration::from_millis(FIRST_ANSWER_LOOK_MS);
            return Some((watched.since.elapsed() / 4).clamp(look, self.silence / 4));
        };
        let left = self.silence.checked_sub(heard.elapsed()).filter(|left| !left.is_zero());
        if left.is_none() {
            now.quorum = Quorum::Silent;
        }
        Some(left.unwrap_or(self.silence / 4))
    }

    /// When a majority was last known to follow this leader, if it ever did in this epoch.
    fn heard_in(&self, elected_in: Epoch) -> Option<InstantOf<C>> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let acked =
            metrics.last_quorum_acked.filter(|_| epoch(metrics.vote.leader_id) == elected_in);
        acked.map(|acked| acked.into_inner())
    }

    /// A joint membership whose change is not being driven here was left by a leader that is gone.
    fn settle(&self, metrics: &RaftServerMetrics<C>, watched: &mut Watched) {
        let lately = watched.settling.is_some_and(|last| last.elapsed() < self.silence);
        let committed = metrics.committed_membership_config == metrics.membership_config;
        if lately || !committed || self.changing.try_lock().is_err() {
            return;
        }
        let Some(seen) = metrics.membership_config.log_id().as_ref().map(position) else { return };
        watched.settling = Some(C::now());
        let settled = settle(&self.raft, self.changing.clone(), seen);
        let _detached = C::spawn(async move {
            match settled.await {
                Ok(()) => tracing::info!("finished a change of voters that was left half done"),
                Err(fault) => tracing::warn!(%fault, "a half-done change of voters stays so"),
            }
        });
    }
}
