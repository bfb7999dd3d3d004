//! Members that come, go, vote and hand over, on a network in this process.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use futures_util::future::BoxFuture;
use openraft::{EntryPayload, Precondition};

use super::super::types::{MembershipC, log_id};
use super::*;
use crate::network::{CallFault, Inbound, Lane, Network};

/// Three nodes; the first one is the group's only voter, the others are pristine.
struct Three {
    network: LocalNetwork,
    groups: Vec<Group>,
    machines: Vec<Journal>,
}

impl Three {
    async fn start() -> Self {
        let network = LocalNetwork::new();
        let (mut groups, mut machines) = (Vec::new(), Vec::new());
        for node in 1..=3 {
            let machine = Journal::default();
            let log = open(&SimDisk::new(), "/members");
            groups.push(start(&log, &network, node, &machine).await);
            machines.push(machine);
        }
        assert!(groups.iter().all(Group::is_pristine));
        groups[0].initialize_alone().await.unwrap();
        Self { network, groups, machines }
    }

    /// All three are voters.
    async fn voting() -> (Self, Epoch) {
        let three = Self::start().await;
        let first = &three.groups[0];
        let epoch = leader(first).await;
        put(first, epoch, "before").await;
        alone(first, epoch).await;
        for node in [2, 3].map(NodeId) {
            first.add_learner(node, seen(first)).await.unwrap();
            first.caught_up(node, TEN_SECONDS).await.unwrap();
        }
        let all = ids(&[1, 2, 3]);
        first.change_voters(&all, Demoted::Leaves, seen(first)).await.unwrap();
        assert_eq!(first.metrics().members.voters, all);
        assert!(!first.leads_alone(epoch), "others have a vote now");
        (three, epoch)
    }

    async fn stop(self) {
        for group in &self.groups {
            group.shutdown().await;
        }
    }
}

const TEN_SECONDS: Duration = Duration::from_secs(10);

fn ids(nodes: &[u64]) -> BTreeSet<NodeId> {
    nodes.iter().copied().map(NodeId).collect()
}

fn seen(group: &Group) -> Position {
    group.metrics().members.at.unwrap()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within ten seconds: {what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_come_as_learners_vote_and_leave() {
    let (three, epoch) = Three::voting().await;
    let first = &three.groups[0];
    let old = seen(first);
    let metrics = first.metrics();
    assert_eq!(metrics.members.settled, Settled::Yes);
    assert_eq!(metrics.replicas.iter().map(|r| r.node.0).collect::<Vec<_>>(), [2, 3]);
    assert!(metrics.quorum_silent_ms.is_some() && metrics.replicas[0].silent_ms.is_some());
    assert!(!three.groups[1].is_pristine());
    assert!(three.groups[1].metrics().replicas.is_empty());
    first.remove(NodeId(2), old).await.unwrap();
    put(first, epoch, "after").await;
    assert_eq!(first.metrics().members.voters, ids(&[1, 3]));
    let third = &three.machines[2];
    until("replica 3 has all", || third.entries() == ["before", "after"].map(Bytes::from)).await;
    // Nothing of this changes the members.
    let now = seen(first);
    let stale = first.add_learner(NodeId(2), old).await;
    assert_eq!(stale, Err(ChangeError::Stale { seen: old, now: Some(now) }));
    let never_added = first.change_voters(&ids(&[1, 2, 3]), Demoted::Leaves, now).await;
    assert!(matches!(never_added, Err(ChangeError::Behind { .. })), "{never_added:?}");
    let itself = first.remove(NodeId(1), now).await.unwrap_err();
    assert!(itself.to_string().contains("hand the leadership over first"), "{itself}");
    for nobody in [first.remove(NodeId(9), now).await, first.add_learner(NodeId(3), now).await] {
        assert!(matches!(nobody, Err(ChangeError::Refused(_))), "{nobody:?}");
    }
    let follower = three.groups[2].add_learner(NodeId(2), now).await;
    assert_eq!(follower, Err(ChangeError::NotLeader { leader: Some(NodeId(1)) }));
    assert_eq!(seen(first), now);
    // A node that is away is added and does not catch up.
    three.network.isolate(NodeId(2), Isolated::Yes);
    first.add_learner(NodeId(2), now).await.unwrap();
    let behind = first.caught_up(NodeId(2), Duration::from_millis(300)).await;
    assert!(matches!(behind, Err(ChangeError::Behind { node: NodeId(2), .. })), "{behind:?}");
    first.change_voters(&ids(&[1]), Demoted::Learns, seen(first)).await.unwrap();
    assert_eq!(first.metrics().members.learners, ids(&[2, 3]));
    alone(first, epoch).await;
    three.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_left_half_done_is_finished() {
    let (three, epoch) = Three::voting().await;
    let first = &three.groups[0];
    let nodes = [1, 2, 3].map(|id| (id, openraft::EmptyNode {}));
    let configs = vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([1, 3])];
    let joint = MembershipC::new(configs, nodes.into_iter().collect::<BTreeMap<_, _>>()).unwrap();
    let only_if =
        Precondition::LastMembershipLogId { last_membership_log_id: Some(log_id(seen(first))) };
    let appended = first.raft().append_membership(joint, EntryPayload::Blank, [only_if]).await;
    appended.unwrap();
    until("the joint membership is gone", || {
        let members = first.metrics().members;
        members.leaving.is_none() && members.settled == Settled::Yes
    })
    .await;
    let members = first.metrics().members;
    assert_eq!((members.voters, members.learners), (ids(&[1, 3]), ids(&[2])));
    put(first, epoch, "after").await;
    three.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_is_told_of_a_quorum_that_went_silent() {
    let (three, epoch) = Three::voting().await;
    let mut watch = three.groups[0].leadership();
    assert_eq!(watch.borrow().quorum, Quorum::Answers);
    three.network.isolate(NodeId(1), Isolated::Yes);
    let silent =
        tokio::time::timeout(TEN_SECONDS, watch.wait_for(|now| now.quorum == Quorum::Silent));
    let told = *silent.await.unwrap().unwrap();
    assert_eq!(told.ours.unwrap().epoch(), epoch, "the library goes on leading");
    three.network.isolate(NodeId(1), Isolated::No);
    let healed = watch.wait_for(|now| now.quorum == Quorum::Answers);
    tokio::time::timeout(TEN_SECONDS, healed).await.unwrap().unwrap();
    three.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leadership_goes_to_a_voter_that_is_there() {
    let (three, epoch) = Three::voting().await;
    let first = &three.groups[0];
    let nobody = first.hand_over(Some(NodeId(9))).await;
    assert!(matches!(nobody, Err(HandOverError::NoCandidate(_))), "{nobody:?}");
    three.network.isolate(NodeId(3), Isolated::Yes);
    until("replica 3 has been silent for three heartbeats", || {
        first.metrics().replicas[1].silent_ms.is_some_and(|silent| silent > 300)
    })
    .await;
    let away = first.hand_over(Some(NodeId(3))).await;
    assert!(matches!(away, Err(HandOverError::NoCandidate(_))), "{away:?}");
    put(first, epoch, "still leads").await;
    assert_eq!(first.hand_over(None).await, Ok(NodeId(2)));
    let next = leader(&three.groups[1]).await;
    put(&three.groups[1], next, "leads now").await;
    let not_any_more = first.hand_over(None).await;
    assert_eq!(not_any_more, Err(HandOverError::NotLeader { leader: Some(NodeId(2)) }));
    three.stop().await;
}

/// A network that loses offers of the leadership, and the calls after it if told so.
#[derive(Clone)]
struct Lossy {
    network: LocalNetwork,
    mute: Arc<AtomicBool>,
}

impl Network for Lossy {
    fn call(
        &self,
        from: NodeId,
        to: NodeId,
        group: GroupId,
        lane: Lane,
        call: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallFault>> {
        if self.mute.load(SeqCst) {
            return Box::pin(async { Err(CallFault::Unreachable) });
        }
        if call[1] == message::TRANSFER {
            // From here on nobody hears from anybody.
            self.mute.store(true, SeqCst);
            return Box::pin(async { Err(CallFault::Timeout) });
        }
        self.network.call(from, to, group, lane, call, ttl)
    }

    fn attach(&self, node: NodeId, group: GroupId, inbound: Option<Arc<dyn Inbound>>) {
        self.network.attach(node, group, inbound);
    }
}

/// The library never takes an offer back: without a way out the old leader would stay one that neither
/// proposes nor is heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_that_nobody_heard_ends_the_epoch_and_not_the_group() {
    let network = Lossy { network: LocalNetwork::new(), mute: Arc::default() };
    let mut groups = Vec::new();
    for node in 1..=2 {
        let log = open(&SimDisk::new(), "/offer");
        let (id, options) = (GroupId::shard(0), GroupOptions::fast());
        let net: Arc<dyn Network> = Arc::new(network.clone());
        let machine = Journal::default();
        groups.push(Group::start(id, NodeId(node), options, &log, net, machine).await.unwrap());
    }
    groups[0].initialize(&[NodeId(1), NodeId(2)]).await.unwrap();
    let epoch = leader(&groups[0]).await;
    put(&groups[0], epoch, "before").await;
    let not_taken = groups[0].hand_over(None).await;
    assert_eq!(not_taken, Err(HandOverError::NotTaken { to: NodeId(2), leader: None }));
    assert_eq!(groups[0].leadership().borrow().ours, None, "it stepped down");
    network.mute.store(false, SeqCst);
    let (a, b) = (leader(&groups[0]), leader(&groups[1]));
    let (next, epoch) = tokio::select! { e = a => (0, e), e = b => (1, e) };
    put(&groups[next], epoch, "after").await;
    for group in &groups {
        group.shutdown().await;
    }
}
