//! Watching: committed changes of a shard in log order, from any position that is still kept.
//!
//! `ring` keeps the newest changes, `hub` shares it and wakes watchers, `watcher` is one watcher's
//! walk over the shards of its scope. How a position is written is proto's.

mod hub;
mod ring;
mod watcher;

pub(crate) use hub::Hub;
pub use ring::{Cursor, Event, Ring, TooOld};
pub use watcher::Watch;
pub(crate) use watcher::WatchedShard;
