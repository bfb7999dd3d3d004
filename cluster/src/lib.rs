//! Logs that survive and the question who owns what: groups of replicas that agree on a sequence of
//! opaque entries (`raft/`), the node's one write-ahead log under all of them (`wal/`), the network
//! between nodes (`peer/`), the group that holds what the whole cluster agrees on (`meta/`), who may do what
//! (`access/`), what is agreed on about devices (`fleet/`), and the data directory's identity.
//!
//! Replicates bytes into a state machine it is handed. Knows nothing of what is inside a twin, of
//! devices, or of sessions.

pub mod access;
pub mod balance;
mod clock;
mod fault;
pub mod fleet;
mod identity;
mod ids;
pub mod limits;
pub mod meta;
mod network;
pub mod peer;
pub mod placement;
mod raft;
pub mod recover;
mod state_machine;
pub mod suspicion;
pub mod wal;

pub use fault::Fault;
pub use identity::{DataDir, Identity, Standing, Uuid};
pub use ids::{Epoch, GroupId, NodeId, Position};
pub use network::{CallFault, Inbound, Isolated, Lane, LocalNetwork, Network};
pub use peer::{
    Items, JoinDesk, JoinFault, PeerNetwork, PeerOptions, PeerRecord, PeerStats, PeerTls, Service,
    fingerprint, hmac_sha256, join, sha256,
};
pub use raft::{
    Applied, ChangeError, Demoted, Group, GroupMetrics, GroupOptions, HandOverError, LeaderToken,
    Leadership, Members, Proposal, ProposeError, Quorum, ReplicaProgress, Settled, SnapshotPace,
    VoterSets, plant, stored_voters, voters,
};
pub use state_machine::{Pieces, Recovered, Sinks, SnapshotSink, SnapshotSource, StateMachine};
pub use wal::{Disk, Log, LogOptions, LogStats, Recovery, SimDisk, SlowDisk, Space};
