//! The group against the library's own storage suite, restarts, fencing, checkpoints, and three replicas
//! in one process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};

use super::adapter::Adapter;
use super::alone::Alone;
use super::log_store::LogStore;
use super::types::C;
use super::*;
use crate::fault::Fault;
use crate::ids::{Epoch, GroupId, NodeId, Position};
use crate::network::{Isolated, LocalNetwork};
use crate::state_machine::{
    Pieces as Memory, Recovered, SnapshotSink, SnapshotSource, StateMachine,
};
use crate::wal::{Log, LogOptions, SimDisk, Stalled};

mod membership;

/// A state machine that remembers every entry. Its checkpoint outlives it.
#[derive(Clone, Default)]
pub(crate) struct Journal {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    entries: BTreeMap<u64, Bytes>,
    position: Option<Position>,
    membership: Bytes,
    durable: Option<Box<Self>>,
}

struct Pieces(Vec<Bytes>);

impl SnapshotSource for Pieces {
    fn next_chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        Ok(self.0.pop())
    }
}

impl Journal {
    fn entries(&self) -> Vec<Bytes> {
        self.state.lock().unwrap().entries.values().cloned().collect()
    }

    /// Makes the present state durable and says what it stands for.
    fn checkpoint(&self) -> Position {
        let mut state = self.state.lock().unwrap();
        state.durable = None;
        state.durable = Some(Box::new(state.clone()));
        state.position.unwrap()
    }
}

impl StateMachine for Journal {
    fn recovered(&mut self) -> Result<Recovered, Fault> {
        let mut state = self.state.lock().unwrap();
        let durable = state.durable.take().map(|d| *d).unwrap_or_default();
        *state = State { durable: Some(Box::new(durable.clone())), ..durable };
        Ok(Recovered { applied: state.position, membership: state.membership.clone() })
    }

    fn apply(&mut self, position: Position, entry: &[u8]) -> Bytes {
        let mut state = self.state.lock().unwrap();
        assert!(state.position.is_none_or(|p| p.index < position.index));
        state.position = Some(position);
        state.entries.insert(position.index, Bytes::copy_from_slice(entry));
        Bytes::from(format!("{} was {}", position.index, entry.len()))
    }

    fn advance(&mut self, position: Position, membership: Option<Bytes>) {
        let mut state = self.state.lock().unwrap();
        state.position = Some(position);
        if let Some(membership) = membership {
            state.membership = membership;
        }
    }

    fn snapshot(&mut self) -> Result<Box<dyn SnapshotSource>, Fault> {
        let state = self.state.lock().unwrap();
        let piece = |(index, bytes): (&u64, &Bytes)| [&index.to_le_bytes()[..], bytes].concat();
        Ok(Box::new(Pieces(state.entries.iter().map(piece).map(Bytes::from).collect())))
    }

    fn install(
        &mut self,
        position: Position,
        membership: Bytes,
        sink: Box<dyn SnapshotSink>,
    ) -> Result<(), Fault> {
        let mut source = Memory::of(sink)?;
        let mut entries = BTreeMap::new();
        while let Some(piece) = source.next_chunk()? {
            let index = u64::from_le_bytes(piece[..8].try_into().unwrap());
            entries.insert(index, piece.slice(8..));
        }
        let mut state = self.state.lock().unwrap();
        *state = State { entries, position: Some(position), membership, durable: None };
        state.durable = Some(Box::new(state.clone()));
        Ok(())
    }
}

fn open(disk: &SimDisk, dir: &str) -> Log {
    let mut options = LogOptions::new(PathBuf::from(dir));
    options.segment_bytes = 256 * 1024;
    Log::open(options, disk.clone()).unwrap().0
}

struct Builder;

impl StoreBuilder<C, LogStore, Adapter, Log> for Builder {
    async fn build(&self) -> Result<(Log, LogStore, Adapter), StorageError<C>> {
        let log = open(&SimDisk::new(), "/suite");
        let alone = Alone::new(NodeId(1));
        let store = LogStore::new(log.group(GroupId(1)).unwrap(), alone.clone());
        let adapter = Adapter::new(Box::new(Journal::default()), alone).unwrap();
        Ok((log, store, adapter))
    }
}

#[tokio::test]
async fn passes_the_storage_suite_of_the_library() {
    Suite::test_all(Builder).await.unwrap();
}

async fn start(log: &Log, network: &LocalNetwork, node: u64, machine: &Journal) -> Group {
    let network = Arc::new(network.clone());
    let (id, options) = (GroupId::shard(0), GroupOptions::shard());
    Group::start(id, NodeId(node), options, log, network, machine.clone()).await.unwrap()
}

async fn leader(group: &Group) -> Epoch {
    let mut watch = group.leadership();
    let ours = tokio::time::timeout(Duration::from_secs(10), watch.wait_for(|l| l.ours.is_some()));
    ours.await.expect("a leader within ten seconds").unwrap().ours.unwrap().epoch()
}

/// Waits until the group says that nobody else can lead it.
async fn alone(group: &Group, epoch: Epoch) {
    for _ in 0..200 {
        if group.leads_alone(epoch) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the only voter does not know that it leads alone");
}

/// Proposes until it is not refused: a new leader refuses until a majority has answered it once.
async fn put(group: &Group, epoch: Epoch, entry: &str) -> Applied {
    for _ in 0..200 {
        let proposal = group.propose(epoch, Bytes::from(entry.to_owned())).await.unwrap();
        match proposal.applied().await {
            Ok(applied) => return applied,
            Err(ProposeError::Refused { .. }) => {
                tokio::time::sleep(Duration::from_millis(10)).await
            }
            Err(unknown) => panic!("{unknown}"),
        }
    }
    panic!("refused for two seconds")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_voter_commits_restarts_and_keeps_all() {
    let (disk, network, machine) = (SimDisk::new(), LocalNetwork::new(), Journal::default());
    let mut said: Vec<Bytes> = Vec::new();
    let mut last_epoch = Epoch::default();
    for round in 0..4 {
        let log = open(&disk, "/one");
        let group = start(&log, &network, 7, &machine).await;
        group.initialize_alone().await.unwrap();
        let epoch = leader(&group).await;
        assert!(epoch > last_epoch, "an epoch is never led twice");
        last_epoch = epoch;
        // Two in flight at once, in order.
        let first = group.propose(epoch, Bytes::from(format!("a{round}"))).await.unwrap();
        let second = group.propose(epoch, Bytes::from(format!("b{round}"))).await.unwrap();
        let (first, second) = (first.applied().await.unwrap(), second.applied().await.unwrap());
        assert_eq!(first.position.index + 1, second.position.index);
        assert_eq!(first.answer, format!("{} was 2", first.position.index));
        said.extend([Bytes::from(format!("a{round}")), Bytes::from(format!("b{round}"))]);
        assert_eq!(machine.entries(), said);
        assert!(group.read_barrier(epoch).await.unwrap() >= second.position);
        let stale = Epoch { term: epoch.term - 1, ..epoch };
        let refused = group.propose(stale, Bytes::from("x")).await.unwrap().applied().await;
        assert!(matches!(refused, Err(ProposeError::Refused { .. })), "{refused:?}");
        group.read_barrier(stale).await.unwrap_err();
        alone(&group, epoch).await;
        assert!(!group.leads_alone(stale));
        if round == 1 {
            let upto = machine.checkpoint();
            let (one, two) = tokio::join!(group.checkpointed(upto), group.checkpointed(upto));
            one.unwrap();
            two.unwrap();
            // A leader alone needs nobody's answer, however long it was idle.
            tokio::time::sleep(Duration::from_millis(900)).await;
            put(&group, epoch, "later").await;
            said.push(Bytes::from("later"));
            let large = group.propose(epoch, Bytes::from(vec![0; 200_000])).await;
            assert!(matches!(large, Err(ProposeError::Refused { .. })));
        }
        group.shutdown().await;
        drop(group);
        log.close();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_lets_the_log_go() {
    let (disk, network, machine) = (SimDisk::new(), LocalNetwork::new(), Journal::default());
    let log = open(&disk, "/purge");
    let network_handle = Arc::new(network.clone());
    let options = GroupOptions { keep_entries: 10, keep_bytes: 2000, ..GroupOptions::shard() };
    let group = Group::start(GroupId(1), NodeId(1), options, &log, network_handle, machine.clone());
    let group = group.await.unwrap();
    group.initialize_alone().await.unwrap();
    let epoch = leader(&group).await;
    for i in 0..40 {
        put(&group, epoch, &format!("entry {i}")).await;
    }
    let upto = machine.checkpoint();
    group.checkpointed(upto).await.unwrap();
    let kept_from = |group: Group, index: u64| async move {
        for _ in 0..200 {
            if group.metrics().purged.is_some_and(|p| p.index + 1 == index) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("purged {:?}, not up to {index}", group.metrics().purged);
    };
    kept_from(group.clone(), upto.index - 10).await;
    let big = "x".repeat(1500);
    put(&group, epoch, &big).await;
    let last = put(&group, epoch, &big).await.position;
    let upto = machine.checkpoint();
    group.checkpointed(upto).await.unwrap();
    kept_from(group.clone(), last.index).await;
    group.shutdown().await;
    drop(group);
    log.close();
    // The rest of the log and the checkpoint are one state.
    let log = open(&disk, "/purge");
    let before = machine.entries();
    let group = start(&log, &network, 1, &machine).await;
    leader(&group).await;
    assert_eq!(machine.entries(), before);
    group.shutdown().await;
    drop(group);
    log.close();
    // Without the checkpoint the rest of the log is worth nothing.
    let log = open(&disk, "/purge");
    let handle = Arc::new(network.clone());
    let empty = Journal::default();
    let gap = Group::start(GroupId(1), NodeId(1), GroupOptions::shard(), &log, handle, empty).await;
    let said = gap.map(|_| ()).unwrap_err().to_string();
    assert!(said.contains("ends before entry 0") && said.contains("its log begins"), "{said}");
    log.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_elect_replicate_and_catch_up() {
    let network = LocalNetwork::new();
    let mut groups = Vec::new();
    let mut machines = Vec::new();
    let mut logs = Vec::new();
    for node in 1..=3 {
        let machine = Journal::default();
        let log = open(&SimDisk::new(), "/three");
        groups.push(start(&log, &network, node, &machine).await);
        machines.push(machine);
        logs.push(log);
    }
    groups[0].initialize(&[NodeId(1), NodeId(2), NodeId(3)]).await.unwrap();
    let epoch = leader(&groups[0]).await;
    for i in 0..20 {
        put(&groups[0], epoch, &format!("e{i}")).await;
        assert!(!groups.iter().any(|group| group.leads_alone(epoch)), "others have a vote");
    }
    // The leader is cut off: another one is elected and goes on; the old one commits nothing.
    network.isolate(NodeId(1), Isolated::Yes);
    let lost = groups[0].propose(epoch, Bytes::from("lost")).await.unwrap();
    let (a, b) = (leader(&groups[1]), leader(&groups[2]));
    let (next, epoch) = tokio::select! { e = a => (1, e), e = b => (2, e) };
    for i in 20..30 {
        put(&groups[next], epoch, &format!("e{i}")).await;
    }
    network.isolate(NodeId(1), Isolated::No);
    assert!(lost.applied().await.is_err(), "an isolated leader must not commit");
    let want: Vec<Bytes> = (0..30).map(|i| Bytes::from(format!("e{i}"))).collect();
    for _ in 0..500 {
        if machines.iter().all(|machine| machine.entries() == want) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for machine in &machines {
        assert_eq!(machine.entries(), want);
    }
    for group in &groups {
        group.shutdown().await;
    }
}

/// The library's default lets a restarted leader go on in its old term. After a stall of its disk it
/// would then give a second entry the place of one that was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_with_a_stalled_disk_restarts_without_losing_what_was_acknowledged() {
    let network = LocalNetwork::new();
    let disks = [SimDisk::new(), SimDisk::new(), SimDisk::new()];
    let machines = [Journal::default(), Journal::default(), Journal::default()];
    let mut groups = Vec::new();
    let mut logs = Vec::new();
    for (node, (disk, machine)) in (1..).zip(disks.iter().zip(&machines)) {
        let log = open(disk, "/stall");
        groups.push(start(&log, &network, node, machine).await);
        logs.push(log);
    }
    groups[0].initialize(&[NodeId(1), NodeId(2), NodeId(3)]).await.unwrap();
    let epoch = leader(&groups[0]).await;
    put(&groups[0], epoch, "before").await;
    disks[0].stall_syncs(Stalled::Yes);
    let x = put(&groups[0], epoch, "x").await;
    // Power fails under the stalled disk, the others never notice; it is back at once.
    let found = disks[0].after_power_failure(|_| false);
    disks[0].stall_syncs(Stalled::No);
    groups[0].shutdown().await;
    let back = Journal::default();
    let log = open(&found, "/stall");
    let lost = log.group(GroupId::shard(0)).unwrap().last().unwrap().index;
    assert!(lost < x.position.index, "the stalled disk must have lost the entry");
    let group = start(&log, &network, 1, &back).await;
    let (a, b, c) = (leader(&group), leader(&groups[1]), leader(&groups[2]));
    let (next, epoch) = tokio::select! {
        e = a => (&group, e),
        e = b => (&groups[1], e),
        e = c => (&groups[2], e),
    };
    put(next, epoch, "after").await;
    let want = ["before", "x", "after"].map(Bytes::from);
    for machine in [&back, &machines[1], &machines[2]] {
        for _ in 0..500 {
            if machine.entries().len() >= want.len() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(machine.entries(), want);
    }
    group.shutdown().await;
    groups[1].shutdown().await;
    groups[2].shutdown().await;
}
