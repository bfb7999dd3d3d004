//! Reading the whole twin.

use alloc::boxed::Box;

use super::Twin;
use crate::input::CallId;
use crate::output::Answer;
use crate::rejection::Rejection;

impl Twin {
    pub(super) fn answer_twin(&mut self, call: CallId) {
        let result = if self.is_alive() {
            let mut view = self.view();
            // What another actor opened may be gone.
            view.presence.unknown = self.session() != self.live_session();
            Ok(Answer::Twin(Box::new(view)))
        } else {
            Err(Rejection::NotFound)
        };
        self.answer(call, result);
    }

    /// Whether it knows what the log does not: telemetry that came as datagrams.
    pub fn has_volatile(&self) -> bool {
        !self.local.volatile.is_empty()
    }
}
