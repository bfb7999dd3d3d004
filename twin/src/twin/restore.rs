//! Bringing a deleted twin back: what a deletion leaves is kept for a while, and written again by a call.
//!
//! Versions go on: what comes back is written as anybody would write it, in one batch. What was written or decided since
//! the deletion stays as it is.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use rkyv::{Archive, Deserialize, Serialize};

use super::dedup::Keyed;
use super::{Document, Twin};
use crate::change::{Change, Effect, Mark, Section};
use crate::input::CallId;
use crate::registration::Registration;
use crate::rejection::Rejection;
use crate::time::Time;
use crate::value::Value;

/// What was in a twin when it was deleted.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Buried {
    /// Until when it is kept.
    pub(crate) until: Time,
    /// The document's bytes.
    document: Vec<u8>,
    registration: Option<Registration>,
}

/// What is known of a twin that was deleted and can be brought back.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Restorable {
    /// Until when.
    pub until: Time,
    /// When it was deleted, and by whom; nothing where it is there again.
    pub deleted: Option<(Time, String)>,
}

impl Twin {
    /// What is known of it, if it was deleted and can be brought back.
    pub fn restorable(&self) -> Option<Restorable> {
        let until = self.restorable_until()?;
        // Deletion leaves its mark on every section, until somebody writes one.
        let tags = self.document.section(Section::Tags);
        let deleted = (!self.is_alive()).then(|| (tags.at, tags.by.clone()));
        Some(Restorable { until, deleted })
    }

    /// Until when what was deleted can be brought back, if anything can.
    pub fn restorable_until(&self) -> Option<Time> {
        self.buried.as_ref().map(|buried| buried.until)
    }

    /// Keeps what there is until then.
    pub(super) fn bury(&mut self, until: Time) {
        let registration = self.registration.as_deref().cloned();
        let document = self.document.to_bytes();
        self.buried = Some(Box::new(Buried { until, document, registration }));
    }

    /// Forgets what was deleted, once that is due.
    pub(super) fn forget_buried(&mut self, now: Time) {
        if self.restorable_until().is_some_and(|until| until <= now) {
            self.commit(Change { at: now, mark: Mark::None, effect: Effect::Forgotten });
        }
    }

    /// A call that brings back what was deleted.
    pub(super) fn restore(&mut self, now: Time, call: CallId, keyed: Keyed, by: &str) {
        let kept = self.comes_back().filter(|_| self.restorable_until() > Some(now));
        let Some((document, entry)) = kept else {
            return self.refuse(now, call, keyed, Rejection::NotFound);
        };
        let mut effects = Vec::new();
        if !self.is_alive() || self.registration.as_deref() != Some(&entry) {
            effects.push(Effect::Registered(Box::new(entry)));
        }
        for section in Section::ALL {
            let lost = document.section(section).tree.to_value();
            if self.document.section(section).tree.is_empty() && lost != Value::object() {
                let by = String::from(by);
                let (whole, observed_at) = (false, None);
                effects.push(Effect::Patched { section, patch: lost, whole, observed_at, by });
            }
        }
        let desired =
            |effect: &Effect| matches!(effect, Effect::Patched { section: Section::Desired, .. });
        let tells = effects.iter().any(desired);
        for effect in effects {
            self.commit(Change { at: now, mark: Mark::None, effect });
        }
        let mark = keyed.mark(Ok(self.version));
        self.commit(Change { at: now, mark, effect: Effect::Forgotten });
        if let Some(session) = self.live_session().filter(|_| tells) {
            self.tell_desired(session);
        }
        self.answer_registration(call);
    }

    /// What was there, and the entry that the device would get, until that is forgotten.
    pub(super) fn comes_back(&self) -> Option<(Document, Registration)> {
        self.exhumed(self.buried.as_deref()?)
    }

    /// What was there, and the entry that the device gets. Of an entry that somebody decided on since the deletion
    /// only gaps are filled: nobody who was kept out since comes in by it.
    fn exhumed(&self, buried: &Buried) -> Option<(Document, Registration)> {
        let document = Document::read(&buried.document).ok()?;
        let lost = buried.registration.clone().unwrap_or_default();
        let left = buried.registration.clone().and_then(Registration::buried);
        let present = self.registration.as_deref();
        if present == left.as_ref() {
            return Some((document, lost));
        }
        let mut entry = present.cloned().unwrap_or_default();
        if entry.of_type.is_none() {
            entry.of_type = lost.of_type;
        }
        if entry.groups.is_empty() {
            entry.groups = lost.groups;
        }
        Some((document, entry))
    }
}
