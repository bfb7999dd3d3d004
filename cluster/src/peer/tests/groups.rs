//! Real groups over real connections: three nodes, three groups, elections, a node lost and back.

use std::path::PathBuf;
use std::sync::Mutex;

use super::*;
use crate::ids::{Epoch, Position};
use crate::raft::{Group, GroupOptions, ProposeError};
use crate::state_machine::{Recovered, SnapshotSink, SnapshotSource, StateMachine};
use crate::wal::{Log, LogOptions, SimDisk};

const GROUPS: u32 = 3;
const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

/// Remembers entries in order.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<Bytes>>>);

impl StateMachine for Journal {
    fn recovered(&mut self) -> Result<Recovered, Fault> {
        self.0.lock().unwrap().clear();
        Ok(Recovered::default())
    }
    fn apply(&mut self, _: Position, entry: &[u8]) -> Bytes {
        self.0.lock().unwrap().push(Bytes::copy_from_slice(entry));
        Bytes::new()
    }
    fn advance(&mut self, _: Position, _: Option<Bytes>) {}
    fn snapshot(&mut self) -> Result<Box<dyn SnapshotSource>, Fault> {
        Err(Fault::StateMachine("nothing to cut".into()))
    }
    fn install(&mut self, _: Position, _: Bytes, _: Box<dyn SnapshotSink>) -> Result<(), Fault> {
        Err(Fault::StateMachine("nothing to install".into()))
    }
}

/// A node: network, log and groups, and what they applied.
struct Node {
    network: PeerNetwork,
    groups: Vec<Group>,
    journals: Vec<Journal>,
    _log: Log,
}

async fn start(ca: &Ca, node: u64, starts: u64, disk: &SimDisk) -> Node {
    let network = ca.start(Identity { starts, ..identity(node) });
    let mut options = LogOptions::new(PathBuf::from("/peers"));
    options.segment_bytes = 256 * 1024;
    let log = Log::open(options, disk.clone()).unwrap().0;
    let (mut groups, mut journals) = (Vec::new(), Vec::new());
    for shard in 0..GROUPS {
        let journal = Journal::default();
        let (id, handle) = (GroupId::shard(shard), Arc::new(network.clone()));
        let options = GroupOptions::shard();
        let group = Group::start(id, NodeId(node), options, &log, handle, journal.clone());
        groups.push(group.await.unwrap());
        journals.push(journal);
    }
    Node { network, groups, journals, _log: log }
}

async fn stop(node: Node) -> Vec<Journal> {
    node.network.close().await;
    for group in &node.groups {
        group.shutdown().await;
    }
    node.journals
}

/// Proposes until it is done, at whichever of these nodes leads.
async fn put(nodes: &[&Node], group: usize, entry: &str) {
    for _ in 0..3_000 {
        let leading = |node: &&&Node| node.groups[group].leadership().borrow().ours.is_some();
        if let Some(node) = nodes.iter().find(leading) {
            let leader = &node.groups[group];
            let ours = leader.leadership().borrow().ours.as_ref().map(|token| token.epoch());
            let epoch: Epoch = ours.unwrap_or_default();
            let proposal = leader.propose(epoch, Bytes::from(entry.to_owned())).await.unwrap();
            match proposal.applied().await {
                Ok(_) => return,
                Err(ProposeError::Refused { .. }) => {}
                Err(unknown) => panic!("{unknown}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody took '{entry}'");
}

fn applied(node: &Node, group: usize) -> Vec<Bytes> {
    node.journals[group].0.lock().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_groups_elect_write_lose_a_node_and_go_on() {
    let ca = Ca::new();
    let disks = [SimDisk::new(), SimDisk::new(), SimDisk::new()];
    let mut nodes = Vec::new();
    for (node, disk) in (1..).zip(&disks) {
        nodes.push(start(&ca, node, 1, disk).await);
    }
    let networks: Vec<_> = nodes.iter().map(|node| node.network.clone()).collect();
    introduce(&networks);
    for group in &nodes[0].groups {
        group.initialize(&NODES).await.unwrap();
    }
    let mut want: Vec<Bytes> = Vec::new();
    for n in 0..20 {
        for group in 0..GROUPS as usize {
            put(&nodes.iter().collect::<Vec<_>>(), group, &format!("e{n}")).await;
        }
        want.push(Bytes::from(format!("e{n}")));
    }
    // The node that leads the first group is lost; the other two go on.
    let leads = |node: &Node| node.groups[0].leadership().borrow().ours.is_some();
    let at = nodes.iter().position(leads).expect("it has just taken an entry");
    stop(nodes.remove(at)).await;
    for n in 20..40 {
        for group in 0..GROUPS as usize {
            put(&nodes.iter().collect::<Vec<_>>(), group, &format!("e{n}")).await;
        }
        want.push(Bytes::from(format!("e{n}")));
    }
    // It comes back with its disk, at another address, and catches up.
    let back = start(&ca, at as u64 + 1, 2, &disks[at]).await;
    nodes.insert(at, back);
    introduce(&nodes.iter().map(|node| node.network.clone()).collect::<Vec<_>>());
    for group in 0..GROUPS as usize {
        for node in &nodes {
            let what = format!("group {group} on {} has everything", node.network.node());
            until(&what, || applied(node, group).len() >= want.len()).await;
            assert_eq!(applied(node, group), want);
        }
    }
    for node in nodes {
        stop(node).await;
    }
}
