//! Points in time as the machines see them: plain numbers that drivers read from a clock.

use rkyv::{Archive, Deserialize, Serialize};

/// Milliseconds since the Unix epoch, as the owner's clock (smoothed, see safety rule 20) or a
/// device's own clock (`observed_at`) said.
#[derive(
    Archive,
    Serialize,
    Deserialize,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
)]
#[rkyv(derive(Debug))]
pub struct Time {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub ms: u64,
}

impl Time {
    /// A time from milliseconds since the Unix epoch.
    pub const fn from_ms(ms: u64) -> Self {
        Self { ms }
    }

    /// This time, later by `ms` milliseconds; stops at the end of time.
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self { ms: self.ms.saturating_add(ms) }
    }

    /// How many milliseconds this time is after `earlier`; zero if it is not.
    pub const fn since_ms(self, earlier: Self) -> u64 {
        self.ms.saturating_sub(earlier.ms)
    }
}
