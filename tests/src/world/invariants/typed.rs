//! What is in the log was let through by the version of the type that stands before it, and no change by an older one
//! than the change before it, whoever owned the shard.

use std::collections::BTreeMap;

use pollux_twin::TwinKey;
use pollux_twin::change::{Effect, Section};
use pollux_twin::types::{DeviceType, Part};

use crate::world::judge::{Invariant, Seen, Verdict};
use crate::world::kinds::Version;
use crate::world::truth::Truth;

/// The version that counted last, by twin.
#[derive(Default)]
pub(super) struct Typed(BTreeMap<TwinKey, u64>);

impl Invariant for Typed {
    fn name(&self) -> &'static str {
        "typed"
    }

    fn see(&mut self, truth: &Truth, seen: &Seen<'_>) -> Verdict {
        let Seen::Changed { key, change, .. } = seen else { return Ok(()) };
        let Some(past) = truth.past(key) else { return Ok(()) };
        let entry = past.twin.registration();
        let Some(of_type) = entry.and_then(|entry| entry.of_type.as_ref()) else {
            self.0.remove(*key);
            return Ok(());
        };
        let before = self.0.insert((*key).clone(), of_type.version).unwrap_or(0);
        if of_type.version < before {
            return Err(format!(
                "{key} went from version {before} of its type to {}",
                of_type.version
            ));
        }
        let Effect::Patched { section, .. } = &change.effect else { return Ok(()) };
        let part = match section {
            Section::Tags => return Ok(()),
            Section::Desired => Part::Desired,
            Section::Reported => Part::Reported,
        };
        let version = Version(of_type.version);
        if !version.asks(part) {
            return Ok(());
        }
        let checked = version.check(part, &past.twin.section(*section));
        checked.map_err(|broken| {
            format!("{key} has what version {} refuses: {broken:?}", of_type.version)
        })
    }
}
