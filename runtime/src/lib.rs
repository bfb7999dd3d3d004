//! One running node: it owns sockets, disks, clocks and tasks, and leaves every decision about
//! twins to twin/ and about ownership to cluster/.
//!
//! Start reading at [`node`] (how a node is put together), then `session` (a device's way in),
//! `shard` (the actors and the log), `checkpoint` (the disk), `service` (gRPC and HTTP).

mod access;
mod arbiters;
mod artifacts;
pub mod backup;
mod batch_thread;
mod checkpoint;
pub mod clock;
mod cluster;
pub mod config;
mod disk;
mod fault;
mod jobs;
mod launcher;
pub mod limits;
pub mod lineage;
mod load;
pub mod metrics;
pub mod node;
mod own;
pub mod pki;
mod query;
pub mod router;
mod service;
mod session;
mod shard;
mod shards;
mod space;
pub mod status;
mod tenants;
mod types;
pub mod watch;

pub use access::{ROOT_TOKEN_FILE, try_issuer};
pub use checkpoint::StoreFault;
pub use cluster::{JoinFault, TokenError, init, join};
pub use fault::Fault;
pub use load::NodeLoad;
pub use node::{Addresses, Node};
pub use router::Router;
pub use session::device_transport;
