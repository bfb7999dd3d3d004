//! A twin whose device has a type: what is written has to be as the type has it. Owns which version of a type
//! counts; what it asks is the driver's to know (`types`).
//!
//! The entry names the version by which the twin was checked last. When a newer one comes to count, the entry
//! with it goes into the log before the first change that it let through, in the same batch: so every change in
//! the log stands behind the version that checked it, and none is checked by an older one than the change before,
//! whoever owns the shard.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;

use super::Twin;
use crate::change::{Change, Effect, Mark};
use crate::limits::{TYPES_RETRY_MS, VIOLATION_BYTES_MAX};
use crate::rejection::{Rejection, Violation};
use crate::time::Time;
use crate::tree::{Stamp, Tree, Write};
use crate::types::{DeviceType, Part, Types};
use crate::value::{Object, Value};

/// The type of a twin's device, as it counts for one decision.
#[derive(Clone)]
pub(super) struct Typed {
    pub(super) name: String,
    pub(super) version: u64,
    asks: Option<Arc<dyn DeviceType>>,
}

impl Typed {
    /// The type of this name. Refused for now where this node knows an older version than `least`, or than it
    /// must.
    pub(super) fn find(types: &dyn Types, name: &str, least: u64) -> Result<Self, Rejection> {
        let named = types.named(name);
        if named.version < least {
            return Err(Rejection::Overloaded { retry_after_ms: TYPES_RETRY_MS });
        }
        Ok(Self { name: name.into(), version: named.version, asks: named.asks })
    }

    /// Whether there is such a type.
    pub(super) const fn is_there(&self) -> bool {
        self.asks.is_some()
    }

    /// Whether a value is as the type has it; the value is made only where it is asked for.
    pub(super) fn check(
        &self,
        part: Part<'_>,
        value: impl FnOnce() -> Value,
    ) -> Result<(), Rejection> {
        let Some(asks) = self.asks.as_ref().filter(|asks| asks.asks(part)) else { return Ok(()) };
        asks.check(part, &value()).map_err(|broken| {
            Rejection::SchemaViolated(Box::new(Violation {
                of_type: self.name.clone(),
                version: self.version,
                part: part.to_string(),
                at: head(broken.at),
                wrong: head(broken.wrong),
            }))
        })
    }
}

/// As much of a text as a rejection repeats: it is logged with the mark.
fn head(mut text: String) -> String {
    if text.len() > VIOLATION_BYTES_MAX {
        let end = (0..=VIOLATION_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
    }
    text
}

/// A section as a patch would make it.
pub(super) fn patched(tree: &Tree, patch: &Object, write: Write) -> Value {
    let mut tree = tree.clone();
    tree.merge(patch, write, Stamp::default());
    tree.to_value()
}

impl Twin {
    /// What the type of the device asks now, if it has one.
    pub(super) fn typed(&self, types: &dyn Types) -> Result<Option<Typed>, Rejection> {
        let of_type = self.registration().and_then(|entry| entry.of_type.as_ref());
        of_type.map(|known| Typed::find(types, &known.name, known.version)).transpose()
    }

    /// From the next change on this version of the type counts.
    pub(super) fn count_by(&mut self, now: Time, typed: Option<&Typed>) {
        let (Some(typed), Some(entry)) = (typed, self.registration()) else { return };
        if entry.of_type.as_ref().is_none_or(|known| known.version >= typed.version) {
            return;
        }
        let mut entry = entry.clone();
        if let Some(known) = &mut entry.of_type {
            known.version = typed.version;
        }
        let effect = Effect::Registered(Box::new(entry));
        self.commit(Change { at: now, mark: Mark::None, effect });
    }
}
