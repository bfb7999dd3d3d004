//! Who the other nodes are said to be, and who of those that call may come in. Owns the address book and
//! the highest start seen of each disk; a pure decision, which leaves dialling and telling to the drivers.

use std::collections::{BTreeMap, BTreeSet};

use pollux_proto::peer::{NodeFacts, PeerRefusal, WIRE_VERSION_MIN};

use crate::identity::Uuid;
use crate::ids::NodeId;
use crate::limits::META_NODES_MAX;

/// What is known of another node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerRecord {
    /// Where it can be dialled, `host:port`, best first.
    pub addresses: Vec<String>,
    /// The name of its disk, if the cluster knows it: another is refused.
    pub node_uuid: Option<Uuid>,
    /// The highest start of that disk the cluster knows of: a lower one is refused.
    pub starts: u64,
}

/// Why a node does not come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: PeerRefusal,
    pub(super) message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    node_uuid: u128,
    starts: u64,
    instance: u64,
}

/// The other nodes.
#[derive(Debug)]
pub(super) struct Book {
    own: NodeFacts,
    records: BTreeMap<NodeId, PeerRecord>,
    removed: BTreeSet<NodeId>,
    seen: BTreeMap<NodeId, Seen>,
}

impl Book {
    pub(super) fn new(own: NodeFacts) -> Self {
        Self { own, records: BTreeMap::new(), removed: BTreeSet::new(), seen: BTreeMap::new() }
    }

    /// The nodes to keep a connection with.
    pub(super) fn set_records(&mut self, records: BTreeMap<NodeId, PeerRecord>) {
        self.records = records;
        self.records.remove(&NodeId(self.own.node));
    }

    /// Nodes that never come back under their ids.
    pub(super) fn set_removed(&mut self, removed: BTreeSet<NodeId>) {
        self.removed = removed;
    }

    pub(super) fn is_removed(&self, node: NodeId) -> bool {
        self.removed.contains(&node)
    }

    pub(super) fn nodes(&self) -> Vec<NodeId> {
        self.records.keys().filter(|node| !self.is_removed(**node)).copied().collect()
    }

    pub(super) fn addresses(&self, node: NodeId) -> Vec<String> {
        self.records.get(&node).map(|record| record.addresses.clone()).unwrap_or_default()
    }

    /// Whether a node whose certificate names (`cluster`, `node`) may come in with what it says of
    /// itself. If so, it is remembered, and less is refused from now on.
    pub(super) fn admit(
        &mut self,
        (cluster, node): (u128, u64),
        said: &NodeFacts,
    ) -> Result<(), Refusal> {
        let own = self.own;
        let refuse = |reason, message| Err(Refusal { reason, message });
        if (cluster, node) != (said.cluster, said.node) {
            let message = format!(
                "its certificate names node {node} of cluster {cluster:032x}, its hello node {} of \
                 {:032x}; they should be the same",
                said.node, said.cluster
            );
            return refuse(PeerRefusal::NotYou, message);
        }
        if said.cluster != own.cluster {
            let message = format!("cluster {:032x}; this is {:032x}", said.cluster, own.cluster);
            return refuse(PeerRefusal::OtherCluster, message);
        }
        if said.lineage != own.lineage {
            let message = format!(
                "lineage {}, but this node is of lineage {}; a node that missed a recovery has to be \
                 replaced",
                said.lineage, own.lineage
            );
            return refuse(PeerRefusal::OtherLineage, message);
        }
        if said.wire < WIRE_VERSION_MIN {
            let message =
                format!("wire version {}; at least {WIRE_VERSION_MIN} is spoken here", said.wire);
            return refuse(PeerRefusal::Version, message);
        }
        if said.config != own.config {
            let message = format!(
                "cluster configuration {:016x}; here it is {:016x}, and should be the same",
                said.config, own.config
            );
            return refuse(PeerRefusal::OtherConfig, message);
        }
        self.same_node(NodeId(node), said)
    }

    /// Whether it is the node that was known under this id, on the same disk, not set back.
    fn same_node(&mut self, node: NodeId, said: &NodeFacts) -> Result<(), Refusal> {
        let refuse = |reason, message| Err(Refusal { reason, message });
        if node.0 == self.own.node {
            let message = format!("node {node} is this node; an id belongs to one node only");
            return refuse(PeerRefusal::SecondNode, message);
        }
        if self.removed.contains(&node) {
            let message = format!("node {node} was removed; it should join again under a new id");
            return refuse(PeerRefusal::Removed, message);
        }
        let record = self.records.get(&node);
        let known = record.and_then(|record| record.node_uuid).map(|uuid| uuid.0);
        let seen = self.seen.get(&node).filter(|seen| known.is_none_or(|k| k == seen.node_uuid));
        let disk = known.or_else(|| seen.map(|seen| seen.node_uuid));
        if let Some(disk) = disk.filter(|disk| *disk != said.node_uuid) {
            let message = format!(
                "node {node} is known on disk {disk:032x}, not on {:032x}; a node that lost its disk \
                 has to be replaced",
                said.node_uuid
            );
            return refuse(PeerRefusal::OldDisk, message);
        }
        let floor = record.map_or(0, |record| record.starts);
        let floor = seen.map_or(floor, |seen| floor.max(seen.starts));
        if said.starts < floor {
            let message = format!(
                "node {node} is at its start {}, but was seen at {floor} already; a disk that was set \
                 back must not be used",
                said.starts
            );
            return refuse(PeerRefusal::OldDisk, message);
        }
        if seen.is_some_and(|s| s.starts == said.starts && s.instance != said.instance) {
            let message = format!(
                "another process is node {node} at the same start {}; a disk must not be copied",
                said.starts
            );
            return refuse(PeerRefusal::SecondNode, message);
        }
        if self.seen.len() >= META_NODES_MAX && !self.seen.contains_key(&node) {
            let message = format!("more than {META_NODES_MAX} nodes have called");
            return refuse(PeerRefusal::Busy, message);
        }
        let NodeFacts { node_uuid, starts, instance, .. } = *said;
        self.seen.insert(node, Seen { node_uuid, starts, instance });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: NodeFacts = NodeFacts {
        wire: 1,
        cluster: 7,
        lineage: 1,
        node: 1,
        node_uuid: 100,
        starts: 1,
        instance: 1,
        config: 5,
    };

    fn two() -> NodeFacts {
        NodeFacts { node: 2, node_uuid: 200, starts: 5, instance: 9, ..OWN }
    }

    fn check(book: &mut Book, said: NodeFacts, expected: Result<(), PeerRefusal>) {
        let answer = book.admit((said.cluster, said.node), &said);
        assert_eq!(answer.map_err(|refusal| refusal.reason), expected, "{said:?}");
    }

    #[test]
    fn strangers_are_told_apart() {
        let mut book = Book::new(OWN);
        let refused = book.admit((7, 3), &two()).unwrap_err();
        assert_eq!(refused.reason, PeerRefusal::NotYou);
        assert!(refused.message.contains("names node 3"), "{}", refused.message);
        use PeerRefusal as R;
        check(&mut book, NodeFacts { cluster: 8, ..two() }, Err(R::OtherCluster));
        check(&mut book, NodeFacts { lineage: 2, ..two() }, Err(R::OtherLineage));
        check(&mut book, NodeFacts { wire: 0, ..two() }, Err(R::Version));
        check(&mut book, NodeFacts { config: 6, ..two() }, Err(R::OtherConfig));
        check(&mut book, NodeFacts { node: 1, ..two() }, Err(R::SecondNode));
        book.set_removed(BTreeSet::from([NodeId(2)]));
        check(&mut book, two(), Err(R::Removed));
        book.set_removed(BTreeSet::new());
        // A newer version than ours is fine: the lower one is spoken.
        check(&mut book, NodeFacts { wire: 9, ..two() }, Ok(()));
    }

    #[test]
    fn a_disk_never_goes_back_and_is_never_two() {
        use PeerRefusal as R;
        let mut book = Book::new(OWN);
        check(&mut book, two(), Ok(()));
        check(&mut book, two(), Ok(()));
        check(&mut book, NodeFacts { instance: 10, ..two() }, Err(R::SecondNode));
        check(&mut book, NodeFacts { starts: 4, instance: 10, ..two() }, Err(R::OldDisk));
        check(&mut book, NodeFacts { node_uuid: 201, starts: 9, ..two() }, Err(R::OldDisk));
        check(&mut book, NodeFacts { starts: 6, instance: 10, ..two() }, Ok(()));
        check(&mut book, two(), Err(R::OldDisk));
        // What the cluster knows counts before anything was seen.
        let mut book = Book::new(OWN);
        let record = PeerRecord { node_uuid: Some(Uuid(200)), starts: 6, ..PeerRecord::default() };
        book.set_records(BTreeMap::from([(NodeId(2), record.clone())]));
        check(&mut book, two(), Err(R::OldDisk));
        check(&mut book, NodeFacts { node_uuid: 201, starts: 7, ..two() }, Err(R::OldDisk));
        check(&mut book, NodeFacts { starts: 6, ..two() }, Ok(()));
        // The cluster says that the node has another disk now.
        let record = PeerRecord { node_uuid: Some(Uuid(202)), starts: 1, ..record };
        book.set_records(BTreeMap::from([(NodeId(2), record)]));
        check(&mut book, NodeFacts { node_uuid: 202, starts: 1, ..two() }, Ok(()));
        check(&mut book, NodeFacts { starts: 7, ..two() }, Err(R::OldDisk));
    }

    #[test]
    fn the_book_lists_others_only() {
        let mut book = Book::new(OWN);
        let at = |address: &str| PeerRecord {
            addresses: vec![address.to_owned()],
            ..PeerRecord::default()
        };
        book.set_records(BTreeMap::from([(NodeId(1), at("a:1")), (NodeId(2), at("b:2"))]));
        assert_eq!(book.nodes(), [NodeId(2)]);
        assert_eq!(book.addresses(NodeId(2)), ["b:2"]);
        assert!(book.addresses(NodeId(1)).is_empty());
    }
}
