//! A service writes tags or desired: merge or replace, at an expected version if it names one.

use alloc::string::String;

use super::dedup::Keyed;
use super::typed::{Typed, patched};
use super::{Twin, check};
use crate::change::{Change, Effect, Section};
use crate::input::CallId;
use crate::limits::Limits;
use crate::output::Answer;
use crate::rejection::Rejection;
use crate::time::Time;
use crate::tree::Write;
use crate::types::Part;
use crate::value::Value;

impl Twin {
    /// Whether the patch may go in, and whether it changes anything.
    pub(super) fn decide_patch(
        &self,
        (limits, typed): (&Limits, Option<&Typed>),
        section: Section,
        patch: &Value,
        write: Write,
        expected: Option<u64>,
    ) -> Result<bool, Rejection> {
        if section == Section::Reported {
            let reason = "section reported belongs to the device; write tags or desired";
            return Err(check::invalid(reason.into()));
        }
        let state = self.document.section(section);
        // There is nothing to expect of a twin that is not there, whatever its versions go on from.
        let actual = if self.is_alive() { state.version } else { 0 };
        if let Some(expected) = expected.filter(|expected| *expected != actual) {
            return Err(Rejection::VersionMismatch { section: Some(section), expected, actual });
        }
        let changed = check::patch(limits, &state.tree, patch, write)?;
        if let (true, Section::Desired, Some(typed), Value::Object(members)) =
            (changed, section, typed, patch)
        {
            typed.check(Part::Desired, || patched(&state.tree, members, write))?;
        }
        // Even an empty patch makes a twin that was not there.
        Ok(changed || !self.is_alive())
    }

    /// Writes the patch, if it changes anything, and answers.
    pub(super) fn patch(
        &mut self,
        now: Time,
        call: CallId,
        keyed: Keyed,
        section: Section,
        patch: Option<(Value, Write)>,
        by: String,
    ) {
        let changed = patch.is_some();
        let version = self.document.section(section).version.saturating_add(u64::from(changed));
        if changed || keyed.is_lasting() {
            let effect = patch.map_or(Effect::None, |(patch, write)| Effect::Patched {
                section,
                patch,
                whole: write == Write::Replace,
                observed_at: None,
                by,
            });
            self.commit(Change { at: now, mark: keyed.mark(Ok(version)), effect });
        }
        self.answer(call, Ok(Answer::Written { section, version }));
        if let Some(session) = self.live_session()
            && changed
            && section == Section::Desired
        {
            self.tell_desired(session);
        }
    }
}
