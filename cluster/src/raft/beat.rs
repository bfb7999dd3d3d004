//! tokio with one beat for all groups of a process: what they do by the clock, they do at the same moments.
//! A node then wakes once for the heartbeats of many groups, and what they say to a peer shares packets.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use openraft::{AsyncRuntime, Instant as _, OptionalSend, TokioRuntime};

use crate::limits::{BEAT_MS, TICK_MS_MIN};

/// See the module.
#[derive(Debug)]
pub(crate) struct BeatRuntime(TokioRuntime);

type Instant = <TokioRuntime as AsyncRuntime>::Instant;

/// The first beat at or after a moment. Beats are counted from the first time that one was asked for.
fn next_beat(at: Instant, now: Instant) -> Instant {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let first = *FIRST.get_or_init(|| now);
    let since = u64::try_from((at - first).as_micros()).unwrap_or(u64::MAX);
    at + Duration::from_micros(until_beat(since))
}

/// Microseconds from a moment, told from the first beat, to the next one.
const fn until_beat(since: u64) -> u64 {
    (BEAT_MS * 1_000 - since % (BEAT_MS * 1_000)) % (BEAT_MS * 1_000)
}

impl AsyncRuntime for BeatRuntime {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = Instant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> =
        <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = <TokioRuntime as AsyncRuntime>::ThreadLocalRng;
    type Mpsc = <TokioRuntime as AsyncRuntime>::Mpsc;
    type Watch = <TokioRuntime as AsyncRuntime>::Watch;
    type Oneshot = <TokioRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        TokioRuntime::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        TokioRuntime::sleep(duration)
    }

    /// The library's ticks wait like this, several milliseconds; the other waits are far shorter and exact.
    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        let now = Instant::now();
        let is_tick = deadline > now + Duration::from_millis(TICK_MS_MIN);
        TokioRuntime::sleep_until(if is_tick { next_beat(deadline, now) } else { deadline })
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(join_error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        TokioRuntime::thread_rng()
    }

    fn new(threads: usize) -> Self {
        Self(TokioRuntime::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_waits_for_the_next_beat_and_a_beat_for_nothing() {
        let beat = BEAT_MS * 1_000;
        for (since, wait) in
            [(0, 0), (1, beat - 1), (beat - 1, 1), (beat, 0), (7 * beat + 5, beat - 5)]
        {
            assert_eq!(until_beat(since), wait, "{since}");
        }
    }

    #[test]
    fn ticks_of_groups_that_began_apart_fall_together_and_keep_their_pace() {
        // As the library counts: from its own beginning, in whole periods beyond the moment it woke.
        let (period, beat) = (20_000, BEAT_MS * 1_000);
        let ticks = |began: u64| {
            let mut at = began;
            (0..50).map(move |_| {
                let woke = at + until_beat(at);
                at = began + (woke - began) / period * period + period;
                woke
            })
        };
        let first: Vec<u64> = ticks(3).collect();
        assert!(first.windows(2).all(|pair| pair[1] - pair[0] == period));
        for began in [1, beat / 2, beat - 1] {
            assert_eq!(ticks(began).collect::<Vec<_>>(), first, "{began}");
        }
    }
}
