//! Which twins' actors know more than the log does: telemetry that came as datagrams lies in the actor
//! alone. Who would read such a twin from the table asks its actor instead.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pollux_twin::TwinKey;

/// Bounded by the shard's active twins.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    /// How many, so that a shard without any takes no lock.
    count: AtomicUsize,
    keys: Mutex<HashSet<TwinKey>>,
}

impl Overlay {
    /// Whether the twin's actor is to be asked.
    pub(super) fn contains(&self, key: &TwinKey) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.keys().contains(key)
    }

    /// The twin's actor took a datagram in.
    pub(super) fn add(&self, key: &TwinKey) {
        self.change(|keys| {
            keys.insert(key.clone());
        });
    }

    /// The twin's actor is gone, and with it what only it knew.
    pub(super) fn remove(&self, key: &TwinKey) {
        if self.count.load(Ordering::Acquire) > 0 {
            self.change(|keys| {
                keys.remove(key);
            });
        }
    }

    /// All actors are gone.
    pub(super) fn clear(&self) {
        self.change(HashSet::clear);
    }

    fn change(&self, change: impl FnOnce(&mut HashSet<TwinKey>)) {
        let mut keys = self.keys();
        change(&mut keys);
        self.count.store(keys.len(), Ordering::Release);
    }

    fn keys(&self) -> MutexGuard<'_, HashSet<TwinKey>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
