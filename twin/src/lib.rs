//! What a twin is: ids, values, documents, changes, the `Twin` and `Shard` machines, the table.
//!
//! Pure: values in, values out. No clock, socket, disk, task or randomness; `no_std`, so that none
//! can slip in. Drivers (runtime/) own those and decide nothing.
//!
//! Start reading at [`input`] (what can happen to a twin), [`change`] (what a twin decides),
//! [`output`] (what it tells others), then [`twin`] and [`shard`].
#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod change;
pub mod entry;
pub mod id;
pub mod image;
pub mod index;
pub mod input;
pub mod json;
pub mod limits;
pub mod lineage;
pub mod number;
pub mod output;
pub mod patch;
pub mod registration;
pub mod rejection;
pub mod shard;
pub mod table;
pub mod time;
mod tree;
pub mod twin;
pub mod types;
pub mod value;

pub use change::{Change, Effect, Mark};
pub use entry::{Entry, Epoch};
pub use id::{DeviceId, ShardId, TenantId, TwinKey};
pub use input::Input;
pub use json::{JsonError, JsonLimits};
pub use limits::Limits;
pub use output::Output;
pub use rejection::Rejection;
pub use time::Time;
pub use twin::{Life, Twin, View};
pub use value::Value;
