//! A device's report: a merge patch of `reported`.

use super::typed::{Typed, patched};
use super::{Twin, check};
use crate::change::{Effect, Section};
use crate::limits::Limits;
use crate::rejection::Rejection;
use crate::time::Time;
use crate::tree::Write;
use crate::types::Part;
use crate::value::Value;

/// Who changes `reported`.
const DEVICE: &str = "device";

impl Twin {
    pub(super) fn decide_report(
        &self,
        (limits, typed): (&Limits, Option<&Typed>),
        patch: Value,
        observed_at: Option<Time>,
    ) -> Result<Effect, Rejection> {
        let section = Section::Reported;
        let tree = &self.document.reported.tree;
        let changed = check::patch(limits, tree, &patch, Write::Merge)?;
        if !changed {
            return Ok(Effect::None);
        }
        if let (Some(typed), Value::Object(members)) = (typed, &patch) {
            typed.check(Part::Reported, || patched(tree, members, Write::Merge))?;
        }
        Ok(Effect::Patched { section, patch, whole: false, observed_at, by: DEVICE.into() })
    }
}
