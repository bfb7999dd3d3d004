//! Connections from their first packet to the begin of their handshake: asks `handshakes` about each,
//! carries out what it says, and feels how late the runtime is. Decides nothing.

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use futures_util::FutureExt;
use quinn::{Incoming, ServerConfig};
use tokio::sync::Notify;

use super::handshakes::{Bounds, Handshakes, Input, Output, Sender};
use crate::clock::Clock;
use crate::limits::{ARRIVAL_BYTES, ARRIVALS_BYTES, ARRIVALS_MAX, PULSE};
use crate::metrics::Metrics;

/// How an arriving connection is answered, as the metrics name it.
const BEGUN: &str = "begun";
/// See [`BEGUN`].
const RETRY: &str = "retry";
/// See [`BEGUN`].
const REFUSED: &str = "refused";

/// Bounds what QUIC holds of connections that nobody has looked at yet.
pub(crate) fn bound(server: &mut ServerConfig, bounds: Bounds) {
    server
        .max_incoming(bounds.waiting + ARRIVALS_MAX)
        .incoming_buffer_size(ARRIVAL_BYTES)
        .incoming_buffer_size_total(ARRIVALS_BYTES);
}

/// All arrivals of an endpoint.
pub(crate) struct Arrivals {
    machine: Mutex<Handshakes<Incoming>>,
    /// Somebody's turn has come.
    turn: Notify,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Arrivals {
    pub(crate) fn new(bounds: Bounds, clock: Clock, metrics: Arc<Metrics>) -> Arc<Self> {
        let machine = Mutex::new(Handshakes::new(bounds));
        Arc::new(Self { machine, turn: Notify::new(), clock, metrics })
    }

    /// The next connection whose handshake is to begin, with its turn; `None` when the endpoint is closed.
    pub(crate) async fn next(
        self: &Arc<Self>,
        quinn: &quinn::Endpoint,
        is_full: impl Fn() -> bool,
    ) -> Option<(Incoming, Turn)> {
        loop {
            // First all that has come: to decide costs little, and those that wait longest are to begin.
            while let Some(connection) = quinn.accept().now_or_never() {
                self.arrived(connection?, is_full());
                tokio::task::coop::consume_budget().await;
            }
            let Some(output) = self.poll_output() else {
                tokio::select! {
                    () = self.turn.notified() => {}
                    connection = quinn.accept() => self.arrived(connection?, is_full()),
                }
                continue;
            };
            if let Some(begun) = self.carry_out(output) {
                return Some(begun);
            }
            // A flood must not keep the thread from others, nor the pulse from being felt.
            tokio::task::coop::consume_budget().await;
        }
    }

    fn arrived(&self, connection: Incoming, full: bool) {
        let sender = match connection.remote_address_validated() {
            true => Sender::Proven,
            false => Sender::Unproven,
        };
        self.handle(Input::Arrived { connection, sender, full });
    }

    /// Feels how late the runtime is, for ever.
    pub(crate) async fn feel_pulse(&self) {
        loop {
            let due = self.clock.elapsed() + PULSE;
            tokio::time::sleep(PULSE).await;
            turn_of_all().await;
            self.handle_elsewhere(Input::Pulse { late: self.clock.elapsed().saturating_sub(due) });
        }
    }

    /// When a device for which there is no room may come again.
    pub(crate) fn retry_after_ms(&self) -> u32 {
        self.lock().retry_after_ms()
    }

    fn carry_out(self: &Arc<Self>, output: Output<Incoming>) -> Option<(Incoming, Turn)> {
        let count = |answer| self.metrics.handshakes_total.of(answer).inc();
        match output {
            Output::Begin(connection) => {
                count(BEGUN);
                return Some((connection, Turn(Arc::clone(self))));
            }
            Output::Prove(connection) => {
                count(RETRY);
                // Where the address is proven nobody asks for a proof.
                let _sent = connection.retry();
            }
            Output::Refuse(connection) => {
                count(REFUSED);
                connection.refuse();
            }
        }
        None
    }

    fn poll_output(&self) -> Option<Output<Incoming>> {
        self.lock().poll_output()
    }

    fn handle(&self, input: Input<Incoming>) {
        let mut machine = self.lock();
        machine.handle(self.clock.elapsed(), input);
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.handshakes_under_way.set(gauge(machine.under_way()));
        self.metrics.handshakes_waiting.set(gauge(machine.waiting()));
        self.metrics.handshakes_max.set(gauge(machine.max()));
    }

    /// The same beside [`Self::next`], which carries out what comes of it.
    fn handle_elsewhere(&self, input: Input<Incoming>) {
        self.handle(input);
        if self.lock().has_output() {
            self.turn.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Handshakes<Incoming>> {
        self.machine.lock().expect("no holder of this lock panics")
    }
}

/// Lets all tasks run that are ready. What a timer wakes, or `yield_now` defers, runs ahead of them; who
/// wakes itself goes to the end of their queue.
async fn turn_of_all() {
    let mut is_first = true;
    std::future::poll_fn(|cx| {
        if std::mem::take(&mut is_first) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

/// A handshake that is under way, until this is dropped.
pub(crate) struct Turn(Arc<Arrivals>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.handle_elsewhere(Input::Ended);
    }
}
