//! The only place of this crate that reads a clock.

use std::time::Duration;

use tokio::time::Instant;

/// Time since the run began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(self) -> Duration {
        self.start.elapsed()
    }
}

/// Microseconds from one time to another.
pub(crate) fn us(from: Duration, to: Duration) -> u64 {
    u64::try_from(to.saturating_sub(from).as_micros()).unwrap_or(u64::MAX)
}
