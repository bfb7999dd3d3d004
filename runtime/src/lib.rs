//! One running node: it owns sockets, disks, clocks and tasks, and leaves every decision about
//! twins to twin/ and about ownership to cluster/.
//!
//! Start reading at [`node`] (how a node is put together), then `session` (a device's way in),
//! `shard` (the actors and the log), `checkpoint` (the disk), `service` (gRPC and HTTP).

mod arbiters;
mod checkpoint;
pub mod clock;
pub mod config;
mod disk;
mod fault;
pub mod limits;
mod meta;
pub mod metrics;
pub mod node;
pub mod pki;
pub mod router;
mod service;
mod session;
mod shard;
mod space;
pub mod status;
pub mod watch;

pub use checkpoint::StoreFault;
pub use fault::Fault;
pub use node::{Addresses, Node};
pub use router::Router;
pub use session::device_transport;
