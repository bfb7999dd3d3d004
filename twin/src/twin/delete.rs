//! Deletion: content goes, a tombstone keeps versions, marks and keys (safety rule 16). What can be brought back is
//! `restore`'s.

use alloc::string::String;
use alloc::vec::Vec;

use super::Twin;
use super::command::end_of;
use super::dedup::Keyed;
use crate::change::{Change, CommandState, Effect, Mark};
use crate::input::CallId;
use crate::output::{Answer, ByeReason, ToDevice};
use crate::rejection::Rejection;
use crate::time::Time;

impl Twin {
    pub(super) fn delete(
        &mut self,
        now: Time,
        call: CallId,
        keyed: Keyed,
        (expected, kept_until): (Option<u64>, Option<Time>),
        by: String,
    ) {
        if !self.is_alive() {
            return self.refuse(now, call, keyed, Rejection::NotFound);
        }
        let actual = self.version;
        if let Some(expected) = expected.filter(|expected| *expected != actual) {
            let mismatch = Rejection::VersionMismatch { section: None, expected, actual };
            return self.refuse(now, call, keyed, mismatch);
        }
        let live: Vec<_> = self
            .live_commands()
            .map(|command| (command.id, end_of(&command.state, CommandState::Cancelled)))
            .collect();
        for (id, end) in live {
            self.move_command(now, Mark::None, id, end);
        }
        if let Some(until) = kept_until {
            let effect = Effect::Buried { until };
            self.commit(Change { at: now, mark: Mark::None, effect });
        }
        let session = self.session();
        let version = actual.saturating_add(1);
        let mark = keyed.mark(Ok(version));
        self.commit(Change { at: now, mark, effect: Effect::Deleted { by } });
        self.local.heard = false;
        self.local.volatile.clear();
        if let Some(session) = session {
            self.tell(session, ToDevice::Bye { reason: ByeReason::Deleted });
        }
        self.answer(call, Ok(Answer::Deleted { version }));
    }
}
