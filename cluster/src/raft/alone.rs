//! Whether this node is all there is of a group, its leader and its only voter, and has applied all that was
//! committed before it led. Owns the one word that says so and when it is taken back; leaves elections
//! and memberships to the consensus library.
//!
//! While the word stands, no other node can have been elected: an election above this node's own needs
//! its vote, or a membership that this node, as the leader, appends first. Both go through this node's
//! log store, and the word is taken back there before either is handed to the disk, so before anybody
//! else can hear of it. It is given inside the consensus core, which is also what calls the log store:
//! the two never overlap.
//!
//! A leader may be elected before it has applied what others have acknowledged: all of that lies before
//! the first entry of its own term, so the word counts from the moment that entry is applied.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::{RaftState, ServerState};

use super::types::{C, VoteC};
use crate::ids::{Epoch, NodeId};
use crate::wal::{Body, Entry};

/// The word; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Alone {
    node: NodeId,
    /// The term in which this node leads alone; zero where that is not known.
    term: Arc<AtomicU64>,
    /// The term of the last entry that the state machine has, if this node was its leader; else zero.
    applied: Arc<AtomicU64>,
}

impl Alone {
    pub(crate) fn new(node: NodeId) -> Self {
        Self { node, term: Arc::default(), applied: Arc::default() }
    }

    /// Whether this node led alone in this epoch at some moment of the call, with all that was committed
    /// before.
    pub(super) fn holds(&self, epoch: Epoch) -> bool {
        let term = self.term.load(Ordering::SeqCst);
        let led = term != 0 && epoch == Epoch { term, leader: self.node.0 };
        led && self.applied.load(Ordering::SeqCst) == term
    }

    /// The state machine has an entry of this epoch, and all before it.
    pub(super) fn applied(&self, epoch: Epoch) {
        let term = if epoch.leader == self.node.0 { epoch.term } else { 0 };
        self.applied.store(term, Ordering::SeqCst);
    }

    /// Gives the word if the group's state bears it out, and says whether not even a learner hears of
    /// this node. Only to be called inside the core.
    pub(super) fn settle(&self, state: &RaftState<C>) -> bool {
        let (node, vote) = (self.node.0, state.vote_ref());
        let leads = state.server_state == ServerState::Leader
            && vote.committed
            && vote.leader_id.node_id == node;
        let members = state.membership_state.effective();
        let mut configs = members.get_joint_config().iter();
        let alone = leads && configs.all(|voters| voters.len() == 1 && voters.contains(&node));
        self.term.store(if alone { vote.leader_id.term } else { 0 }, Ordering::SeqCst);
        alone && members.nodes().all(|(id, _)| *id == node)
    }

    /// A vote is about to be saved: for anything but the election that was won, the word is over.
    pub(super) fn voting(&self, vote: &VoteC) {
        let epoch = Epoch { term: vote.leader_id.term, leader: vote.leader_id.node_id };
        if !self.holds(epoch) {
            self.take_back();
        }
    }

    /// Entries are about to be appended: a membership among them may give others a vote.
    pub(super) fn appending(&self, entries: &[Entry]) {
        if entries.iter().any(|entry| matches!(entry.body, Body::Membership(_))) {
            self.take_back();
        }
    }

    /// Nothing is known any more until the core is asked again.
    pub(super) fn take_back(&self) {
        self.term.store(0, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::super::types::vote_in;
    use super::*;
    use crate::ids::Position;
    use crate::wal::Vote;

    const OURS: Epoch = Epoch { term: 3, leader: 1 };

    fn leading() -> Alone {
        let alone = Alone::new(NodeId(1));
        assert!(!alone.holds(Epoch { term: 0, leader: 1 }), "nothing is known at first");
        alone.term.store(OURS.term, Ordering::SeqCst);
        for before in [Epoch { term: 2, leader: 1 }, Epoch { term: 3, leader: 2 }] {
            alone.applied(before);
            assert!(!alone.holds(OURS), "what was committed before may not be applied yet");
        }
        alone.applied(OURS);
        alone
    }

    fn voting(term: u64, leader: u64) -> bool {
        let alone = leading();
        alone.voting(&vote_in(Vote { epoch: Epoch { term, leader }, committed: false }));
        alone.holds(OURS)
    }

    fn appending(body: Body) -> bool {
        let alone = leading();
        let position = |index| Position { term: 3, leader: 1, index };
        let before = Entry { position: position(4), body: Body::Blank };
        alone.appending(&[before, Entry { position: position(5), body }]);
        alone.holds(OURS)
    }

    #[test]
    fn is_said_of_one_epoch() {
        let alone = leading();
        assert!(alone.holds(OURS));
        assert!(!alone.holds(Epoch { term: 3, leader: 2 }));
        assert!(!alone.holds(Epoch { term: 4, leader: 1 }));
        alone.take_back();
        assert!(!alone.holds(OURS));
    }

    #[test]
    fn ends_with_a_vote_for_anything_else() {
        assert!(voting(3, 1));
        assert!(!voting(3, 2), "a second leader of the same term");
        assert!(!voting(4, 1), "an election of its own that may be lost");
        assert!(!voting(4, 2));
    }

    #[test]
    fn ends_with_a_membership_on_its_way() {
        assert!(appending(Body::Normal("change".into())));
        assert!(!appending(Body::Membership("members".into())));
    }
}
