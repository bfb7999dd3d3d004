//! The node's one write-ahead log: every group's entries and votes in one sequence of segments, written
//! by one thread with one sync for all that waits. Owns durability; leaves what entries mean and who
//! may write them to `raft`.
//!
//! Pure: `format` (bytes), `record` (meaning), `replay` (reading back), `view` (the file's account of a
//! group), `tail` (a group in memory). Driving: `queue`, `writer`, `spares`, `open`, behind the handles
//! of `log` and `group_log`. All I/O is behind [`Io`]; [`SimDisk`] is a disk that can lose power.

mod format;
mod group_log;
#[cfg(test)]
mod hand;
mod io;
mod log;
mod open;
mod queue;
mod record;
mod replay;
mod sim;
mod slow;
mod spares;
mod stats;
mod tail;
mod view;
mod writer;

#[cfg(test)]
mod tests;

pub use group_log::GroupLog;
#[cfg(test)]
pub(crate) use hand::Hand;
pub use io::{Disk, Io, IoFile};
pub use log::{Log, LogOptions, Recovery};
pub use queue::Completion;
pub use record::{Body, Entry, Vote};
pub use sim::{SimDisk, Stalled};
pub use slow::SlowDisk;
pub use spares::Space;
pub use stats::{LogStats, SYNC_BUCKETS};
