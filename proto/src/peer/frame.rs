//! The frames of `pollux-peer/1` and `pollux-join/1`. Their bytes are pinned by golden tests: a change of
//! a greeting needs a new ALPN name, a change of a head a new wire version.
#![expect(
    missing_docs,
    reason = "rkyv derives undocumented variant structs; all of ours have docs"
)]

use rkyv::{Archive, Deserialize, Serialize};

/// Who a node is. Both sides say it; each checks the other's before anything else is said.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// The newest version of the frames that it speaks.
    pub wire: u16,
    /// The cluster.
    pub cluster: u128,
    /// The cluster's lineage: raised by forced recovery and by restore.
    pub lineage: u64,
    /// The node's id; its certificate names the same.
    pub node: u64,
    /// The name of the node's disk.
    pub node_uuid: u128,
    /// How often the node was started on this disk.
    pub starts: u64,
    /// A random number of this very process: two processes from copies of one disk differ in it.
    pub instance: u64,
    /// The fingerprint of what must be configured alike on all nodes.
    pub config: u64,
}

/// The first frame of a stream.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// The dialling node's, on the control lane.
    Hello(NodeFacts),
    /// The dialled node's answer.
    Welcome(NodeFacts),
    /// The dialled node's answer, if it wants nothing to do with the other. Nothing follows.
    Refused {
        /// Which kind.
        reason: PeerRefusal,
        /// For people: what was wrong, and what would be right.
        message: String,
    },
    /// The dialling node's on each further stream: which lane it is.
    Lane(PeerLane),
}

/// Why a node is refused.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerRefusal {
    /// The hello says something else than the certificate.
    NotYou,
    /// Another cluster.
    OtherCluster,
    /// Another lineage of the cluster.
    OtherLineage,
    /// Other values where all nodes must have the same.
    OtherConfig,
    /// Another disk under a known id, or the same one set back.
    OldDisk,
    /// A second process under the same id.
    SecondNode,
    /// The node was removed from the cluster.
    Removed,
    /// No version of the frames that both speak.
    Version,
    /// Already connected; the other connection is kept.
    Duplicate,
    /// Too much to do; come back.
    Busy,
}

/// What a stream carries, so that something bulky never delays something that must be on time.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerLane {
    /// Heartbeats, votes, hand-overs.
    Control,
    /// Entries of logs.
    Entries,
    /// Requests of services and watches.
    Application,
    /// Pieces of snapshots.
    Snapshot,
}

impl PeerLane {
    /// All of them, the most urgent first; also the order in which their streams are opened.
    pub const ALL: [Self; 4] = [Self::Control, Self::Entries, Self::Application, Self::Snapshot];
}

/// Why a call has no answer.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerFault {
    /// Not taken on: nobody is there for it, or there is too much to do. It was certainly not executed.
    NotTaken,
    /// Not done in time; it may have been executed.
    Late,
    /// Malformed, or it failed; it may have been executed in part.
    Failed,
}

/// What a frame after the greeting is; its payload follows. Numbers are those of the side that called.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerHead {
    /// A call to the replica of a group. The payload is the group's own.
    Call {
        /// Number of the call.
        id: u64,
        /// The group.
        group: u32,
        /// After this long nobody waits for the answer.
        ttl_ms: u32,
    },
    /// A call of the application.
    Request {
        /// Number of the call.
        id: u64,
        /// What is called, as the application numbers it.
        kind: u16,
        /// After this long nobody waits for the answer.
        deadline_ms: u32,
    },
    /// The answer to a call or a request. A payload only without a fault.
    Answer {
        /// Number of the call.
        id: u64,
        /// Why there is none.
        fault: Option<PeerFault>,
    },
    /// Nobody waits any more for a request's answer, or for a stream's items. Without payload.
    Cancel {
        /// Number of the call.
        id: u64,
    },
    /// Opens a stream of items.
    Open {
        /// Number of the call.
        id: u64,
        /// What is opened, as the application numbers it.
        kind: u16,
        /// Bytes of items that may come before more is granted.
        credit: u32,
    },
    /// An item of a stream.
    Item {
        /// Number of the call that opened it.
        id: u64,
    },
    /// More items may come. Without payload.
    Credit {
        /// Number of the call that opened the stream.
        id: u64,
        /// Bytes more.
        bytes: u32,
    },
    /// The stream has ended. Without payload.
    End {
        /// Number of the call that opened it.
        id: u64,
        /// Why, if not because all was said.
        fault: Option<PeerFault>,
    },
}

/// What is said under `pollux-join/1`.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum JoinFrame {
    /// The joining node's.
    Request {
        /// Opaque here.
        payload: Vec<u8>,
    },
    /// The answer.
    Reply {
        /// Opaque here.
        payload: Vec<u8>,
    },
    /// The answer, if the node is not taken in.
    Refused {
        /// For people: what was wrong, and what would be right.
        message: String,
    },
}
