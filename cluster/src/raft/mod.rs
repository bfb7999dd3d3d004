//! Groups of replicas that agree on a log. The only place that names the consensus library. Owns the
//! translation between it and our own types, files and bytes; leaves durability to `wal`, sockets to
//! the network it is handed, and the meaning of entries to the state machine.

mod adapter;
mod alone;
mod beat;
mod change;
mod codec;
mod config;
mod group;
mod handover;
mod inbound;
mod incoming;
mod leadership;
mod log_store;
mod members;
mod message;
mod metrics;
mod pace;
mod peer;
mod proposal;
mod runtime;
mod seed;
mod sending;
#[cfg(test)]
mod sim;
mod types;

#[cfg(test)]
mod tests;

pub use config::GroupOptions;
pub use group::Group;
pub use handover::HandOverError;
pub use leadership::{LeaderToken, Leadership, Quorum};
pub use members::{ChangeError, Demoted, Members, Settled};
pub use metrics::{GroupMetrics, ReplicaProgress};
pub use pace::SnapshotPace;
pub use proposal::{Applied, Proposal, ProposeError};
pub use seed::{VoterSets, plant, stored_voters, voters};
