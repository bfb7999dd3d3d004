//! The only place of this crate that reads a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Time since the endpoint was made, as the session machines see it.
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

    /// The timer's form of a machine's time.
    pub(crate) fn at(self, time: Duration) -> Instant {
        self.start + time
    }
}

/// The device's own idea of the time, in milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "this is the clock that everyone else must use")]
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
