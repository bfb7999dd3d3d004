//! Groups of replicas that agree on a log. The only place that names the consensus library. Owns the
//! translation between it and our own types, files and bytes; leaves durability to `wal`, sockets to
//! the network it is handed, and the meaning of entries to the state machine.

mod adapter;
mod codec;
mod config;
mod group;
mod inbound;
mod leadership;
mod log_store;
mod message;
mod peer;
mod proposal;
mod types;

#[cfg(test)]
mod tests;

pub use config::GroupOptions;
pub use group::{Group, GroupMetrics};
pub use leadership::{LeaderToken, Leadership};
pub use proposal::{Applied, Proposal, ProposeError};
