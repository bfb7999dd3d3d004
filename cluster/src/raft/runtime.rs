//! tokio as the consensus library's runtime, but for what [`Parts`] has a way of its own for: when those
//! wake that wait until a moment, how news is told, and where chance comes from.

use std::fmt::Debug;
use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

use openraft::async_runtime::watch::Watch;
use openraft::{AsyncRuntime, OptionalSend, TokioRuntime};
use rand::Rng;

/// A moment.
pub(super) type Instant = <TokioRuntime as AsyncRuntime>::Instant;

/// What is not as tokio has it.
pub(crate) trait Parts: Debug + 'static {
    /// A source of chance.
    type Rng: Rng;
    /// Tells the newest value to those who wait for it.
    type Watch: Watch;

    /// A source of chance for whoever asks.
    fn rng() -> Self::Rng;

    /// When somebody wakes that waits until then.
    fn wakes_at(deadline: Instant) -> Instant;
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Runtime<P>(TokioRuntime, PhantomData<P>);

impl<P: Parts> AsyncRuntime for Runtime<P> {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = Instant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> =
        <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = P::Rng;
    type Mpsc = <TokioRuntime as AsyncRuntime>::Mpsc;
    type Watch = P::Watch;
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
        TokioRuntime::sleep_until(P::wakes_at(deadline))
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

    fn thread_rng() -> P::Rng {
        P::rng()
    }

    fn new(threads: usize) -> Self {
        Self(TokioRuntime::new(threads), PhantomData)
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }
}
