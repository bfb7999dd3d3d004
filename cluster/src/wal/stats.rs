//! What the log counts about itself. Owns the counters; leaves their publishing to the runtime.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Buckets of the histogram of syncs: bucket `i` counts those of less than `2^i` microseconds that
/// are not in a lower one; the last takes all longer ones.
pub const SYNC_BUCKETS: usize = 24;

/// A moment's picture of the log's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Bytes written, framing included.
    pub bytes_appended: u64,
    /// Syncs done.
    pub syncs: u64,
    /// Entries written.
    pub entries: u64,
    /// How long writes with their sync took, by powers of two of microseconds.
    pub sync_micros: [u64; SYNC_BUCKETS],
    /// Segments that hold something.
    pub segments: u64,
    /// Entries written a second time to free an old segment.
    pub rewritten: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) bytes: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) entries: AtomicU64,
    pub(crate) segments: AtomicU64,
    pub(crate) rewritten: AtomicU64,
    /// When the oldest request of the batch being written came, plus one; 0 if none is.
    pub(crate) writing_since_us: AtomicU64,
    sync_micros: [AtomicU64; SYNC_BUCKETS],
}

impl Counters {
    pub(crate) fn synced(&self, micros: u64) {
        self.syncs.fetch_add(1, Relaxed);
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        self.sync_micros[bucket.min(SYNC_BUCKETS - 1)].fetch_add(1, Relaxed);
    }

    pub(crate) fn picture(&self) -> LogStats {
        LogStats {
            bytes_appended: self.bytes.load(Relaxed),
            syncs: self.syncs.load(Relaxed),
            entries: self.entries.load(Relaxed),
            sync_micros: std::array::from_fn(|i| self.sync_micros[i].load(Relaxed)),
            segments: self.segments.load(Relaxed),
            rewritten: self.rewritten.load(Relaxed),
        }
    }
}
