//! The only place of this crate that reads a clock. Machines get what is read here as arguments.
#![expect(clippy::disallowed_methods, reason = "this is the clock that everyone else must use")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pollux_twin::Time;

/// Wall time and elapsed time, read together.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// A clock whose elapsed time starts now.
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }

    /// The system's wall clock: may jump, so only the shard's own clock may make time of it.
    pub fn wall(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time::from_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Time since this clock was made; never goes back.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// [`Self::elapsed`] in milliseconds.
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// [`Self::elapsed`] in microseconds.
    pub fn elapsed_us(&self) -> u64 {
        u64::try_from(self.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
