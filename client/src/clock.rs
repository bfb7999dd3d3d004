//! The only place of this crate that reads a clock.

use std::time::Duration;

use tokio::time::Instant;

/// Time since a call or a search for a node began.
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
