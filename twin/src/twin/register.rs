//! The registry's calls: who may come, and by what. What they decide is the whole entry as it is from now on.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::dedup::Keyed;
use super::typed::Typed;
use super::{Twin, check};
use crate::change::{Change, Effect, Mark, Section};
use crate::input::{CallId, ConnectionId};
use crate::limits::{CREDENTIALS_MAX, GROUPS_MAX, Limits};
use crate::output::{Answer, ByeReason, ToDevice};
use crate::registration::{
    Credential, Enrolled, OfType, Proof, Registration, RegistryRequest, Shown, Standing,
};
use crate::rejection::Rejection;
use crate::time::Time;
use crate::tree::Write;
use crate::types::Types;
use crate::value::Value;

impl Twin {
    /// A call to the registry that is no repetition.
    pub(super) fn register(
        &mut self,
        now: Time,
        (limits, types): (&Limits, &dyn Types),
        call: CallId,
        keyed: Keyed,
        by: String,
        request: RegistryRequest,
    ) {
        let before = self.registration().cloned().unwrap_or_default();
        let (entry, patches) = match self.decide_entry(now, (limits, types), &by, &before, request)
        {
            Ok(decided) => decided,
            Err(rejection) => return self.refuse(now, call, keyed, rejection),
        };
        // All of them are in one batch, the type before what it let through.
        let patches_desired = patches.iter().any(|(section, _)| *section == Section::Desired);
        let mut effect =
            if entry == before { Effect::None } else { Effect::Registered(Box::new(entry)) };
        for (section, patch) in patches {
            let by = by.clone();
            let patched = Effect::Patched { section, patch, whole: false, observed_at: None, by };
            let first = core::mem::replace(&mut effect, patched);
            if first != Effect::None {
                self.commit(Change { at: now, mark: Mark::None, effect: first });
            }
        }
        let mark = keyed.mark(Ok(self.version));
        if (&effect, &mark) != (&Effect::None, &Mark::None) {
            self.commit(Change { at: now, mark, effect });
        }
        self.send_away(now, limits, &before);
        if let Some(session) = self.live_session().filter(|_| patches_desired) {
            self.tell_desired(session);
        }
        self.answer_registration(call);
    }

    pub(super) fn answer_registration(&mut self, call: CallId) {
        let registration = self.registration.as_deref().cloned().unwrap_or_default();
        let known = registration.standing != Standing::Unregistered || self.is_alive();
        let answer = if known {
            Ok(Answer::Registration(Box::new(registration)))
        } else {
            Err(Rejection::NotFound)
        };
        self.answer(call, answer);
    }

    /// What is known of the device, if anything was registered.
    pub fn registration(&self) -> Option<&Registration> {
        self.registration.as_deref()
    }

    /// Whether a device that shows this may have a session.
    pub(super) fn admit(&self, now: Time, limits: &Limits, shown: Shown) -> Result<(), Rejection> {
        match self.registration.as_deref() {
            Some(registration) => registration.admit(now, limits.admission, shown),
            None => Registration::default().admit(now, limits.admission, shown),
        }
    }

    /// Tells a device whose hello opened no session why.
    pub(super) fn turn_away(&mut self, connection: ConnectionId, rejection: Rejection) {
        self.tell(0, ToDevice::Refused { connection, rejection });
    }

    /// Ends the session of a device that could not open one now.
    fn send_away(&mut self, now: Time, limits: &Limits, before: &Registration) {
        let Some(session) = self.session() else { return };
        let reason = match self.local.shown {
            Some(shown) => self.admit(now, limits, shown).err().map(ByeReason::Refused),
            // Another actor opened it, with what is not known.
            None => self
                .registration()
                .is_some_and(|entry| entry.narrows(before))
                .then_some(ByeReason::ProveAgain),
        };
        let Some(reason) = reason else { return };
        self.end_session(now, session, reason);
    }

    /// The entry as the request wants it, and what changes of the document.
    fn decide_entry(
        &self,
        now: Time,
        (limits, types): (&Limits, &dyn Types),
        by: &str,
        before: &Registration,
        request: RegistryRequest,
    ) -> Result<(Registration, Vec<(Section, Value)>), Rejection> {
        let mut entry = before.clone();
        let mut patches = Vec::new();
        if !matches!(request, RegistryRequest::Register { .. } | RegistryRequest::Enrol { .. }) {
            self.must_be_known()?;
        }
        match request {
            RegistryRequest::Get => {}
            RegistryRequest::Delete { .. } | RegistryRequest::Restore => {
                unreachable!("no matter of the entry alone")
            }
            RegistryRequest::Register { tags, desired, credentials, of_type, groups } => {
                if entry.standing == Standing::Unregistered {
                    entry.stand(now, by, Standing::Enabled, String::new());
                }
                for credential in credentials {
                    give(&mut entry, now, by, credential)?;
                }
                let outfit = Outfit { tags, desired, of_type, groups };
                patches = self.outfit((limits, types), &mut entry, outfit)?;
            }
            RegistryRequest::Enrol {
                enrolment,
                unmet,
                at,
                proof,
                expires,
                tags,
                of_type,
                groups,
            } => {
                self.may_enrol(before, &enrolment, at, unmet)?;
                if entry.standing == Standing::Unregistered {
                    entry.stand(now, by, Standing::Enabled, String::new());
                }
                entry.enrolled = Some(Enrolled { by: enrolment, at });
                const TOKEN: &str = "enrolled-token";
                const CERTIFICATE: &str = "enrolled-certificate";
                let (name, other) = match proof {
                    Proof::Token(_) => (TOKEN, CERTIFICATE),
                    Proof::Certificate(_) => (CERTIFICATE, TOKEN),
                };
                // It comes by what it got last, and by nothing that it got before.
                entry.revoke(now, other);
                give(&mut entry, now, by, (name.into(), proof, expires))?;
                let outfit = Outfit { tags, desired: None, of_type, groups };
                patches = self.outfit((limits, types), &mut entry, outfit)?;
            }
            RegistryRequest::Disable { reason } => {
                check::text_or_none("reason", &reason)?;
                entry.stand(now, by, Standing::Disabled, reason);
            }
            RegistryRequest::Enable => entry.stand(now, by, Standing::Enabled, String::new()),
            RegistryRequest::Give { name, proof, expires } => {
                give(&mut entry, now, by, (name, proof, expires))?;
            }
            RegistryRequest::Revoke { name } => {
                if !entry.revoke(now, &name) {
                    return Err(Rejection::UnknownCredential { name });
                }
            }
            RegistryRequest::Join { group } => join(&mut entry, group)?,
            RegistryRequest::Leave { group } => entry.leave(&group),
        }
        Ok((entry, patches))
    }

    /// Whether an enrolment may bring the device: one that is not there, or that it brought before. Each proof is newer
    /// than the one before it. Of a batch with one certificate nobody may become a device that has had a session: what it
    /// got once is its own, and only one that lost the answer may ask again.
    fn may_enrol(
        &self,
        before: &Registration,
        enrolment: &str,
        at: Time,
        unmet: bool,
    ) -> Result<(), Rejection> {
        let refused = |why: &str| Err(Rejection::NotEnrolled { why: why.into() });
        if before.standing == Standing::Disabled {
            return Err(Rejection::Disabled { reason: before.reason.clone() });
        }
        match &before.enrolled {
            Some(earlier) if earlier.by != enrolment => refused("taken"),
            // Not its number: that of one that never came is not 0 in the next life of a cluster.
            Some(_) if unmet && self.session.since > Time::default() => refused("taken"),
            Some(earlier) if earlier.at >= at => refused("replayed"),
            None if self.is_alive() || self.registration.is_some() => refused("taken"),
            _ => Ok(()),
        }
    }

    /// What a device is to be, in its entry; what changes of its document.
    fn outfit(
        &self,
        (limits, types): (&Limits, &dyn Types),
        entry: &mut Registration,
        outfit: Outfit,
    ) -> Result<Vec<(Section, Value)>, Rejection> {
        let Outfit { tags, desired, of_type, groups } = outfit;
        groups.into_iter().try_for_each(|group| join(entry, group))?;
        let typed = match of_type {
            Some(asked) => new_type(entry, types, asked)?,
            None if desired.is_some() => self.typed(types)?,
            None => None,
        };
        // What is written is checked by the newest version that this node knows.
        if let (Some(_), Some(typed), Some(known)) = (&desired, &typed, &mut entry.of_type) {
            known.version = typed.version;
        }
        let terms = (limits, typed.as_ref());
        let mut patches = Vec::new();
        for (section, patch) in [(Section::Tags, tags), (Section::Desired, desired)] {
            if let Some(patch) = patch
                && self.decide_patch(terms, section, &patch, Write::Merge, None)?
            {
                patches.push((section, patch));
            }
        }
        Ok(patches)
    }

    /// A credential for a misspelt name must not make a device.
    fn must_be_known(&self) -> Result<(), Rejection> {
        let known = self.is_alive() || self.registration.is_some();
        if known { Ok(()) } else { Err(Rejection::NotFound) }
    }
}

/// What a device is to be, beside what it proves itself by.
struct Outfit {
    tags: Option<Value>,
    desired: Option<Value>,
    of_type: Option<OfType>,
    groups: Vec<String>,
}

fn join(entry: &mut Registration, group: String) -> Result<(), Rejection> {
    check::text("name of the group", &group)?;
    entry.join(group);
    check::count("groups of one device", entry.groups.len(), GROUPS_MAX)
}

/// Gives the device a type, or takes it away; what that type asks.
fn new_type(
    entry: &mut Registration,
    types: &dyn Types,
    asked: OfType,
) -> Result<Option<Typed>, Rejection> {
    if asked.name.is_empty() {
        entry.of_type = None;
        return Ok(None);
    }
    let before = entry.of_type.as_ref().filter(|known| known.name == asked.name);
    let least = before.map_or(asked.version, |known| known.version.max(asked.version));
    let typed = Typed::find(types, &asked.name, least)?;
    if !typed.is_there() {
        return Err(Rejection::UnknownType { name: asked.name });
    }
    entry.of_type = Some(OfType { name: asked.name, version: typed.version });
    Ok(Some(typed))
}

fn give(
    registration: &mut Registration,
    now: Time,
    by: &str,
    (name, proof, expires): (String, Proof, Option<Time>),
) -> Result<(), Rejection> {
    check::text("name of the credential", &name)?;
    if let Some(end) = expires.filter(|end| *end <= now) {
        let reason = alloc::format!(
            "credential {name} expired at {} ms; give a time that is still to come",
            end.ms
        );
        return Err(check::invalid(reason));
    }
    let same = |one: &&Credential| (&one.name, one.proof, one.expires) == (&name, proof, expires);
    if registration.credentials.iter().find(same).is_some() {
        return Ok(());
    }
    if matches!(proof, Proof::Token(_)) && registration.is_only_pin(&name) {
        let reason = alloc::format!(
            "credential {name} is the only certificate that the device may come by; give the token another name"
        );
        return Err(check::invalid(reason));
    }
    registration.give(Credential { name, proof, expires, at: now, by: by.into() });
    if registration.credentials.len() > CREDENTIALS_MAX {
        let max = u32::try_from(CREDENTIALS_MAX).unwrap_or(u32::MAX);
        return Err(Rejection::TooMany { what: "credentials".into(), max });
    }
    Ok(())
}
