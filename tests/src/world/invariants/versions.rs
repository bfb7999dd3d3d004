//! Versions never go back, each goes up by one, and one version of a section has one content; a
//! device is never shown an older desired than before.

use std::collections::BTreeMap;

use pollux_twin::change::Section;
use pollux_twin::twin::View;
use pollux_twin::{TwinKey, Value};

use crate::world::judge::{Invariant, Seen, Verdict};
use crate::world::truth::Truth;

/// The newest desired that a device was shown, by its life.
#[derive(Default)]
pub(super) struct Versions(BTreeMap<TwinKey, (u64, u64)>);

impl Invariant for Versions {
    fn name(&self) -> &'static str {
        "versions"
    }

    fn see(&mut self, truth: &Truth, seen: &Seen<'_>) -> Verdict {
        match seen {
            Seen::Changed { key, .. } => match truth.past(key).map(|past| &past.states[..]) {
                Some([.., (_, before), (_, after)]) => changed(key, before, after),
                _ => Ok(()),
            },
            Seen::Shown { device, life, version, desired } => {
                self.shown(truth, device, *life, *version, desired)
            }
            _ => Ok(()),
        }
    }
}

impl Versions {
    fn shown(
        &mut self,
        truth: &Truth,
        device: &TwinKey,
        life: u64,
        version: u64,
        desired: &Value,
    ) -> Verdict {
        let newest = self.0.get(device).filter(|(before, _)| *before == life);
        if let Some((_, newest)) = newest.filter(|(_, newest)| *newest >= version) {
            return Err(format!("{device} was shown desired {version} after {newest}"));
        }
        self.0.insert(device.clone(), (life, version));
        let known =
            truth.past(device).and_then(|past| past.contents.get(&(Section::Desired, version)));
        match known {
            Some(known) if known == desired => Ok(()),
            _ => Err(format!("{device} was shown another desired {version} than there is")),
        }
    }
}

fn changed(key: &TwinKey, before: &View, after: &View) -> Verdict {
    let whole = (before.version, after.version);
    if after.version < before.version || after.version > before.version + 1 {
        return Err(format!("{key} went from version {} to {}", whole.0, whole.1));
    }
    for (name, old, new) in [
        ("tags", &before.tags, &after.tags),
        ("desired", &before.desired, &after.desired),
        ("reported", &before.reported, &after.reported),
    ] {
        if new.version < old.version || new.version > old.version + 1 {
            let (old, new) = (old.version, new.version);
            return Err(format!("{name} of {key} went from version {old} to {new}"));
        }
        if new.version == old.version && new.value != old.value {
            let version = new.version;
            return Err(format!("{name} of {key} changed, and its version {version} did not"));
        }
    }
    Ok(())
}
