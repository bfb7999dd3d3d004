//! Checkpoints: the changed twins of each shard and their place in the log, written to sled in the
//! background. A start is the newest checkpoint plus the log after it.
//!
//! `store` keeps bytes and finds damage, `pointers` says which tree is a shard's, `header` is what a
//! checkpoint says of itself, `restore` reads one back, `writer` decides when to write, `keep` does it.
//! A replica that the log no longer reaches gets another's state: `stream` is its bytes, `incoming`
//! takes it in.

mod header;
mod incoming;
mod keep;
mod pointers;
mod restore;
mod store;
mod stream;
mod writer;

pub(crate) use header::Header as CheckpointHeader;
pub(crate) use incoming::{Incoming, IncomingFault};
pub(crate) use keep::{FreeBytes, Keep};
pub(crate) use restore::restore_shard;
pub use store::StoreFault;
pub(crate) use store::{Store, Tree};
pub(crate) use stream::{
    Head as StreamHead, Piece as StreamPiece, Reader as StreamReader, Writer as StreamWriter,
};
pub(crate) use writer::{CheckpointOptions, Checkpointer, Roll, Written, shard_of_tree, tree_name};
