//! What has to be known of a twin where who may call it depends on it: its tags and its groups, which no device writes.
//! Who may is decided elsewhere; whoever may not is turned down here.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::dedup::{Keyed, Recognised};
use super::{Document, Life, SectionState, Twin};
use crate::change::{Change, Effect, Mark, Section};
use crate::image;
use crate::input::{CallId, CallKey, Request};
use crate::output::Output;
use crate::registration::{Registration, RegistryRequest};
use crate::rejection::Rejection;
use crate::time::Time;
use crate::value::Value;

impl Twin {
    /// The twins that a caller has to have a right to, each as an image of tags and groups alone: this one as it is. If it
    /// is not there, as the call makes it. If something is brought back, that, too.
    pub fn facts(&self, request: &Request) -> Vec<Arc<[u8]>> {
        let mut facts = Vec::new();
        if self.is_alive() {
            let groups = self.registration().map(|entry| entry.groups.clone());
            facts.push(pack(self.document().tags.clone(), groups.unwrap_or_default()));
        }
        let Request::Registry(asked) = request else {
            if !self.is_alive() {
                facts.push(match request {
                    Request::Patch { section: Section::Tags, patch, .. } => {
                        facts_of(Some(patch), &[])
                    }
                    _ => facts_of(None, &[]),
                });
            }
            return facts;
        };
        match &**asked {
            RegistryRequest::Restore => {
                if let Some((document, entry)) = self.comes_back() {
                    facts.push(pack(document.tags, entry.groups));
                }
            }
            RegistryRequest::Register { tags, groups, .. } if !self.is_alive() => {
                facts.push(facts_of(tags.as_ref(), groups));
            }
            _ => {}
        }
        if facts.is_empty() {
            facts.push(facts_of(None, &[]));
        }
        facts
    }

    /// Whether a call is to be decided: nothing is known of one that came before it with its key. A read always is, as it
    /// shows what is so now.
    pub fn is_new(
        &self,
        now: Time,
        caller: &str,
        key: Option<&CallKey>,
        request: &Request,
    ) -> bool {
        if request.is_read() {
            return true;
        }
        match self.recognise(now, caller, key, request) {
            Recognised::Repeated(_) => false,
            Recognised::Refused(why) => !matches!(why, Rejection::KeyReused | Rejection::Unknown),
            Recognised::New(_) => true,
        }
    }

    /// Refuses a call whose caller may not make it. An attempt before it that may still come finds that.
    pub fn turn_down(
        &mut self,
        now: Time,
        call: CallId,
        (caller, key): (&str, Option<&CallKey>),
        request: &Request,
        rejection: Rejection,
    ) {
        if self.quarantined {
            return self.local.outputs.push_back(Output::Answer { call, result: Err(rejection) });
        }
        self.wake();
        // A key of the caller's own is not remembered: who may not write must not fill the room for them.
        let key = key.filter(|key| matches!(key, CallKey::Entry { .. }));
        let keyed = match self.recognise(now, caller, key, request) {
            Recognised::New(keyed) => keyed,
            Recognised::Repeated(_) | Recognised::Refused(_) => Keyed::Not,
        };
        self.refuse(now, call, keyed, rejection);
    }
}

/// The image of a twin that has these tags and groups and nothing else.
pub fn facts_of(tags: Option<&Value>, groups: &[String]) -> Arc<[u8]> {
    let mut twin = Twin::absent();
    if let Some(patch @ Value::Object(_)) = tags {
        let (section, patch, by) = (Section::Tags, patch.clone(), String::new());
        let effect = Effect::Patched { section, patch, whole: false, observed_at: None, by };
        // Nothing can be wrong with an object that is written to an empty twin.
        let _ = twin.apply(&Change { at: Time::default(), mark: Mark::None, effect });
    }
    pack(twin.document.tags, groups.to_owned())
}

fn pack(tags: SectionState, groups: Vec<String>) -> Arc<[u8]> {
    let registration = Registration { groups, ..Registration::default() };
    let twin = Twin {
        life: Life::Alive,
        document: Document { tags, ..Document::default() },
        registration: Some(Box::new(registration)),
        ..Twin::default()
    };
    image::pack(&twin, 0)
}
