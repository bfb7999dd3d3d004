//! Keys for writes that came without one: the node that a call came to repeats it across a takeover, and
//! the twin recognises the repetition (safety rule 15).

use std::sync::atomic::{AtomicU64, Ordering};

use pollux_cluster::meta::ENTRY_KEYS_LEVEL;
use pollux_twin::input::CallKey;

/// Makes the keys of one start of a node.
pub(super) struct EntryKeys {
    /// Chosen by chance: no two starts of any nodes have the same.
    start: u64,
    count: AtomicU64,
}

impl EntryKeys {
    pub(super) fn new() -> Self {
        Self { start: rand::random(), count: AtomicU64::new(0) }
    }

    /// The key of one more call; `None` where the cluster's level has no such keys.
    pub(super) fn next(&self, level: u32) -> Option<CallKey> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let id = u128::from(self.start) << 64 | u128::from(count);
        (level >= ENTRY_KEYS_LEVEL).then_some(CallKey::Entry { id, again: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_has_a_key_of_its_own_where_the_level_has_them() {
        let (one, other) = (EntryKeys::new(), EntryKeys::new());
        let keys = [one.next(3), one.next(3), other.next(3)];
        assert!(keys.iter().all(Option::is_some));
        assert!(keys[0] != keys[1] && keys[0] != keys[2] && keys[1] != keys[2]);
        assert_eq!(one.next(2), None);
    }
}
