//! What twins of a shard may hold, and how many there may be: by the node's limits, and by those of their tenant.

use std::borrow::Cow;

use pollux_twin::TwinKey;
use pollux_twin::limits::{Admission, Limits};

use super::super::quota::{Quota, Room};
use super::Core;

impl Core {
    /// What a twin of a tenant may hold: no more than now where the tenant has all that it may have.
    pub(in crate::shard) fn limits(&self, tenant: &str) -> Cow<'_, Limits> {
        match self.parts.quota.full(tenant) {
            None => Cow::Borrowed(&self.parts.limits),
            Some(_) => Cow::Owned(Limits { section_bytes_max: 0, ..self.parts.limits.clone() }),
        }
    }

    /// Which devices may come.
    pub(in crate::shard) const fn admits(&self) -> Admission {
        self.parts.limits.admission
    }

    /// What of its tenant's limits concerns the shard.
    pub(in crate::shard) const fn quota(&self) -> &Quota {
        &self.parts.quota
    }

    /// Whether there is room for a twin that is not there yet.
    pub(in crate::shard) fn make_room(&mut self, key: &TwinKey) -> Room {
        let now_ms = self.elapsed_ms();
        self.parts.quota.make_room(key, now_ms)
    }

    /// Counts who waits for room; whether there may be one more.
    pub(in crate::shard) fn wait_for_room(&mut self) -> bool {
        self.parts.quota.wait()
    }
}
