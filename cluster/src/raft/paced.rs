//! The consensus library's runtime: tokio's, but that deadlines of all groups of a process fall together.
//! Owns the rounding of deadlines, and nothing else.
//!
//! Each replica has a tick of its own, fifty times a second, at a phase of its own. Thousands of timers
//! spread over time wake a thread each; falling together they wake it once, and heartbeats that are due at
//! the same tick share a write to each peer. Nodes are processes of their own, so the ticks of a group's
//! replicas do not fall together.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use openraft::{AsyncRuntime, Instant, OptionalSend, TokioInstant, TokioRuntime};

use crate::limits::TICK_GRID_MS;

/// See the module.
#[derive(Debug)]
pub(crate) struct Paced(TokioRuntime);

/// The next deadline of the grid at or after `deadline`.
fn on_grid(deadline: TokioInstant) -> TokioInstant {
    static ORIGIN: OnceLock<TokioInstant> = OnceLock::new();
    const GRID_US: u64 = TICK_GRID_MS * 1000;
    let origin = *ORIGIN.get_or_init(TokioInstant::now);
    let since = u64::try_from((deadline - origin).as_micros()).unwrap_or(u64::MAX);
    let beyond = since % GRID_US;
    if beyond == 0 { deadline } else { deadline + Duration::from_micros(GRID_US - beyond) }
}

impl AsyncRuntime for Paced {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = TokioInstant;
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

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        TokioRuntime::sleep_until(on_grid(deadline))
    }

    fn timeout<R, F>(duration: Duration, future: F) -> Self::Timeout<R, F>
    where
        F: Future<Output = R> + OptionalSend,
    {
        TokioRuntime::timeout(duration, future)
    }

    fn timeout_at<R, F>(deadline: Self::Instant, future: F) -> Self::Timeout<R, F>
    where
        F: Future<Output = R> + OptionalSend,
    {
        TokioRuntime::timeout_at(deadline, future)
    }

    fn is_panic(fault: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(fault)
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
    fn deadlines_fall_together_and_never_earlier() {
        let first = on_grid(TokioInstant::now());
        let grid = Duration::from_millis(TICK_GRID_MS);
        for us in [0, 1, 999, 1_000, TICK_GRID_MS * 1_000, 123_456] {
            let wanted = first + Duration::from_micros(us);
            let given = on_grid(wanted);
            assert!(given >= wanted && given - wanted < grid, "{us}");
            assert_eq!((given - first).as_micros() % grid.as_micros(), 0, "{us}");
        }
        assert_eq!(on_grid(first), first);
    }
}
