//! The log's writer moved by hand, one step at a time and on the caller's thread, for a simulation that
//! owns time. Owns the order of the steps; what each of them does is the writer's own code.

use std::sync::Arc;

use super::log::Shared;
use super::queue::Request;
use super::writer::{Writer, answer};
use crate::limits::DRAIN_BYTES_MAX;

/// What the writer's thread would hold. Dropped, all that waits is dropped with it.
pub(crate) struct Hand {
    shared: Arc<Shared>,
    writer: Writer,
    begun: bool,
}

/// Requests that are written and, until a sync, only that.
pub(crate) struct Written(Vec<Request>);

impl Hand {
    pub(super) fn new(shared: Arc<Shared>, writer: Writer) -> Self {
        Self { shared, writer, begun: false }
    }

    /// Waits until there may be something to write.
    pub(crate) async fn wait(&mut self) {
        self.shared.queue.arrived.notified().await;
    }

    /// Writes all that waits; none if nothing does, or the log has stopped.
    pub(crate) fn write(&mut self) -> Option<Written> {
        self.shared.spares.work_off();
        if !self.begun {
            self.begun = true;
            self.writer.begin().ok()?;
        }
        let drained = self.shared.queue.drain_more(DRAIN_BYTES_MAX)?;
        self.writer.gather(drained).ok().map(Written)
    }

    /// Makes it durable. False if the log has stopped.
    pub(crate) fn sync(&mut self, written: &Written) -> bool {
        let now = self.shared.queue.clock.micros();
        self.writer.make_durable(&written.0, now).is_ok()
    }

    /// Tells those who wait for it, and frees what it made free. False if the log has stopped.
    pub(crate) fn answer(&mut self, written: &mut Written) -> bool {
        answer(std::mem::take(&mut written.0));
        self.writer.tidy().is_ok()
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.shared.queue.fail();
        self.shared.spares.close();
    }
}
