//! The only place of this crate that reads a clock.

use std::time::Duration;

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
