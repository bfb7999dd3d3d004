//! Checkpoints: the changed twins of each shard and their place in the log, written to sled in the
//! background. A start is the newest checkpoint plus the log after it.
//!
//! `store` keeps bytes and finds damage, `header` is what a checkpoint says of itself, `restore`
//! reads one back, `writer` decides when to write and does it.

mod header;
mod restore;
mod store;
mod writer;

pub(crate) use restore::restore_shard;
pub(crate) use store::Store;
pub use store::StoreFault;
pub(crate) use writer::{CheckpointOptions, Checkpointer, Written};
