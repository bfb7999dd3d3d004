//! The runtime whose ticks wait for the beat.

use std::sync::OnceLock;
use std::time::Duration;

use openraft::{AsyncRuntime, Instant as _, TokioRuntime};

use super::super::runtime::{Instant, Parts, Runtime};
use super::until_beat;
use crate::limits::TICK_MS_MIN;

/// tokio with ticks that wait for the beat.
pub(crate) type BeatRuntime = Runtime<Beat>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Beat;

impl Parts for Beat {
    type Rng = <TokioRuntime as AsyncRuntime>::ThreadLocalRng;
    type Watch = <TokioRuntime as AsyncRuntime>::Watch;

    fn rng() -> Self::Rng {
        TokioRuntime::thread_rng()
    }

    /// The library's ticks wait like this, several milliseconds; the other waits are far shorter and exact.
    fn wakes_at(deadline: Instant) -> Instant {
        let now = Instant::now();
        let is_tick = deadline > now + Duration::from_millis(TICK_MS_MIN);
        if is_tick { next_beat(deadline, now) } else { deadline }
    }
}

/// The first beat at or after a moment. Beats are counted from the first time that one was asked for.
fn next_beat(at: Instant, now: Instant) -> Instant {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let first = *FIRST.get_or_init(|| now);
    let since = u64::try_from((at - first).as_micros()).unwrap_or(u64::MAX);
    at + Duration::from_micros(until_beat(since))
}
