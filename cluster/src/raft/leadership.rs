//! Who leads a group, as this node knows it. Owns the watch that the runtime follows; leaves elections
//! to the consensus library.

use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use openraft::type_config::alias::WatchReceiverOf;
use openraft::{Raft, ServerState};
use tokio::sync::watch;

use super::adapter::Adapter;
use super::types::{C, epoch};
use crate::ids::{Epoch, NodeId};

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

/// The newest that is known about a group's leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The newest epoch seen, whether its election was won or not.
    pub epoch: Epoch,
    /// The node that won it, if that is known.
    pub leader: Option<NodeId>,
    /// Set when that node is this one.
    pub ours: Option<LeaderToken>,
}

fn leadership(metrics: &RaftServerMetrics<C>) -> Leadership {
    let epoch = epoch(metrics.vote.leader_id);
    let won = metrics.vote.committed && metrics.current_leader == Some(epoch.leader);
    let ours = won && metrics.state == ServerState::Leader && epoch.leader == metrics.id;
    Leadership {
        epoch,
        leader: won.then_some(NodeId(epoch.leader)),
        ours: ours.then_some(LeaderToken(epoch)),
    }
}

/// Follows the group until it ends.
pub(super) fn follow(raft: &Raft<C, Adapter>) -> watch::Receiver<Leadership> {
    let mut metrics: WatchReceiverOf<C, RaftServerMetrics<C>> = raft.server_metrics();
    let (sender, receiver) = watch::channel(leadership(&metrics.borrow_watched()));
    tokio::spawn(async move {
        while metrics.changed().await.is_ok() {
            let now = leadership(&metrics.borrow_and_update());
            sender.send_if_modified(|old| std::mem::replace(old, now) != now);
            if sender.is_closed() {
                return;
            }
        }
        let epoch = sender.borrow().epoch;
        sender.send_replace(Leadership { epoch, leader: None, ours: None });
    });
    receiver
}
