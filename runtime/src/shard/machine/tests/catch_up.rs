//! Whole groups of three replicas: one that was away until the log had gone catches up, and one leaves.

use std::time::Duration;

use pollux_cluster::{
    Epoch as LeaderEpoch, Group, GroupId, GroupOptions, Isolated, LocalNetwork, Log, LogOptions,
    NodeId, ProposeError, SimDisk,
};

use super::*;
use crate::shard::leave::{finish_leaving, leave};

/// A replica with its log and its group.
struct Member {
    dir: tempfile::TempDir,
    disk: SimDisk,
    log: Log,
    replica: Arc<Replica>,
    keep: Arc<Keep>,
    group: Group,
}

fn open_log(disk: &SimDisk) -> Log {
    let mut options = LogOptions::new("/log");
    options.segment_bytes = 1 << 20;
    Log::open(options, disk.clone()).unwrap().0
}

impl Member {
    async fn start(number: u64, network: &LocalNetwork) -> Self {
        Self::open(number, network, tempfile::tempdir().unwrap(), SimDisk::new()).await
    }

    async fn open(number: u64, net: &LocalNetwork, dir: tempfile::TempDir, disk: SimDisk) -> Self {
        let Node { replica, keep, machine, .. } = Node::open(dir.path());
        let log = open_log(&disk);
        let options = GroupOptions { keep_entries: 5, keep_bytes: 1000, ..GroupOptions::shard() };
        let id = GroupId::shard(u32::from(SHARD.0));
        let group = Group::start(id, NodeId(number), options, &log, Arc::new(net.clone()), machine);
        let group = group.await.unwrap();
        Self { dir, disk, log, replica, keep, group }
    }

    /// Ends it, and gives what is left.
    async fn stop(self) -> (tempfile::TempDir, SimDisk) {
        self.group.shutdown().await;
        self.log.close();
        (self.dir, self.disk)
    }

    async fn checkpoint(&self) {
        if let Some((position, _)) = self.keep.write(&self.replica).unwrap() {
            self.group.checkpointed(position).await.unwrap();
        }
    }
}

/// Writes through whoever leads, as an owner would: opening first, one batch after the other.
struct Owner {
    entries: Entries,
    leader: Option<(usize, LeaderEpoch)>,
}

impl Owner {
    async fn put(&mut self, members: &[&Member]) -> Position {
        for _ in 0..2000 {
            let Some((at, epoch)) = self.leader else {
                self.open(members).await;
                continue;
            };
            self.entries.epoch = Epoch { term: epoch.term, leader: epoch.leader };
            let entry = self.entries.next();
            match propose(members[at], epoch, &entry).await {
                Some(position) => return position,
                None => self.leader = None,
            }
        }
        panic!("nobody led for long enough")
    }

    async fn open(&mut self, members: &[&Member]) {
        for (at, member) in members.iter().enumerate() {
            let Some(token) = member.group.leadership().borrow().ours else { continue };
            let epoch = token.epoch();
            self.entries.number = 0;
            let (term, leader) = (epoch.term, epoch.leader);
            let generation = 1 + self.entries.below(1 << 40);
            let time = Time::from_ms(1);
            let open = Entry::Open { epoch: Epoch { term, leader }, generation, time };
            if propose(member, epoch, &open).await.is_some() {
                self.entries.generation = generation;
                self.leader = Some((at, epoch));
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Where it was committed; `None` if that is not certain.
async fn propose(member: &Member, epoch: LeaderEpoch, entry: &Entry) -> Option<Position> {
    let proposal = member.group.propose(epoch, entry.encode().into()).await.ok()?;
    match proposal.applied().await {
        Ok(applied) => Some(applied.position),
        Err(ProposeError::Refused { .. } | ProposeError::Unknown(_)) => None,
    }
}

async fn until(what: &str, mut good: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if good() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain for {what}");
}

async fn same(members: &[&Member], position: Position) {
    let reached = |member: &&Member| {
        member.replica.place().0.is_some_and(|place| place.index >= position.index)
    };
    until("all replicas to apply all", || members.iter().all(reached)).await;
    let first = members[0].replica.place().0;
    until("all replicas to stand alike", || {
        members.iter().all(|member| member.replica.place().0 == first)
    })
    .await;
    let expected = picture(&members[0].replica);
    for member in members {
        assert_eq!(picture(&member.replica), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_that_was_away_catches_up_with_a_state() {
    let network = LocalNetwork::new();
    let (a, b, c) = (
        Member::start(1, &network).await,
        Member::start(2, &network).await,
        Member::start(3, &network).await,
    );
    a.group.initialize(&[NodeId(1), NodeId(2), NodeId(3)]).await.unwrap();
    let mut owner = Owner { entries: Entries::new(3, 500, 3000), leader: None };
    for _ in 0..20 {
        owner.put(&[&a, &b, &c]).await;
    }
    network.isolate(NodeId(3), Isolated::Yes);
    let mut last = Position::default();
    for _ in 0..200 {
        last = owner.put(&[&a, &b]).await;
    }
    let behind = c.replica.place().0.unwrap();
    for member in [&a, &b] {
        until("the entries", || member.replica.place().0 >= Some(last)).await;
        member.checkpoint().await;
        until("the log to go", || member.group.metrics().purged.is_some_and(|p| p > behind)).await;
    }
    network.isolate(NodeId(3), Isolated::No);
    for _ in 0..50 {
        last = owner.put(&[&a, &b, &c]).await;
    }
    same(&[&a, &b, &c], last).await;
    assert!(c.group.metrics().purged > Some(behind), "only a state can have brought it up");
    // What it took in is durable: it starts from there, and goes on.
    let (dir, disk) = c.stop().await;
    let c = Member::open(3, &network, dir, disk).await;
    assert!(c.replica.place().0 > Some(behind));
    for _ in 0..20 {
        last = owner.put(&[&a, &b]).await;
    }
    c.checkpoint().await;
    same(&[&a, &b, &c], last).await;
    for member in [a, b, c] {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_leaves_leaves_nothing_but_what_it_had_promised() {
    let network = LocalNetwork::new();
    let member = Member::start(1, &network).await;
    member.group.initialize(&[NodeId(1)]).await.unwrap();
    let mut owner = Owner { entries: Entries::new(3, 50, 100), leader: None };
    for _ in 0..20 {
        owner.put(&[&member]).await;
    }
    member.checkpoint().await;
    owner.put(&[&member]).await;
    let id = member.group.id();
    let vote = member.log.group(id).unwrap().vote();
    let (dir, disk) = member.stop().await;
    {
        // It is marked, and then the process ends.
        let store = opened(dir.path());
        store.leave("shard-3").unwrap();
    }
    let check = |log: &Log, store: &Store| {
        let group = log.group(id).unwrap();
        assert_eq!((group.last(), group.committed()), (None, None));
        let epochs = [vote, group.vote()].map(|vote| vote.map(|vote| vote.epoch));
        assert!(vote.is_some() && epochs[0] <= epochs[1] && group.is_below_floor());
        assert!(store.tree("shard-3").unwrap().header().unwrap().is_none());
    };
    {
        let (store, log) = (opened(dir.path()), open_log(&disk));
        finish_leaving(&store, &log).await.unwrap();
        check(&log, &store);
        log.close();
    }
    {
        let (store, log) = (opened(dir.path()), open_log(&disk));
        check(&log, &store);
        log.close();
    }
    // What comes in its place holds nothing and is brought up by others; and may leave again.
    let member = Member::open(1, &network, dir, disk).await;
    assert_eq!(picture(&member.replica).images, []);
    assert!(member.group.is_pristine());
    let other = Member::start(2, &network).await;
    other.group.initialize(&[NodeId(2)]).await.unwrap();
    let mut owner = Owner { entries: Entries::new(3, 50, 100), leader: None };
    owner.put(&[&other]).await;
    let seen = other.group.metrics().members.at.unwrap();
    other.group.add_learner(NodeId(1), seen).await.unwrap();
    let last = owner.put(&[&other]).await;
    same(&[&other, &member], last).await;
    member.checkpoint().await;
    other.stop().await;
    let (dir, disk) = member.stop().await;
    let (store, log) = (opened(dir.path()), open_log(&disk));
    leave(&store, &log, SHARD).await.unwrap();
    check(&log, &store);
    assert!(store.leaving().unwrap().is_empty());
    log.close();
}
