//! How much room the disk has left: below the reserve that log and checkpoints need, writes are
//! refused and reads go on (safety rule 23).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pollux_cluster::{Log, Space as LogSpace};
use tokio_util::sync::CancellationToken;

use crate::limits::SPACE_PERIOD;

/// Whether there is room for writes; cheap to ask, shared by all shards.
#[derive(Clone)]
pub(crate) struct Space {
    low: Arc<AtomicBool>,
    path: PathBuf,
    reserve_bytes: u64,
    log: Log,
}

impl Space {
    /// Watches the disk of `path`.
    pub(crate) fn new(path: PathBuf, reserve_bytes: u64, log: Log) -> Self {
        let space = Self { low: Arc::new(AtomicBool::new(false)), path, reserve_bytes, log };
        space.look();
        space
    }

    /// Whether writes must be refused.
    pub(crate) fn is_low(&self) -> bool {
        self.low.load(Ordering::Relaxed)
    }

    /// Looks now and then until the node stops.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SPACE_PERIOD) => self.look(),
            }
        }
    }

    /// Bytes that are free; `None` if the system does not say.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        match rustix::fs::statvfs(&self.path) {
            Ok(disk) => Some(disk.f_bavail.saturating_mul(disk.f_frsize)),
            Err(error) => {
                tracing::error!(%error, path = %self.path.display(), "asking for disk space failed");
                None
            }
        }
    }

    fn look(&self) {
        let Some(free) = self.free_bytes() else { return };
        let low = free < self.reserve_bytes || self.log.space() == LogSpace::Low;
        if self.low.swap(low, Ordering::Relaxed) != low {
            let (free, reserve) = (free, self.reserve_bytes);
            if low {
                tracing::error!(free, reserve, "disk is full: writes are refused, reads go on");
            } else {
                tracing::info!(free, reserve, "disk has room again: writes are taken");
            }
        }
    }
}
