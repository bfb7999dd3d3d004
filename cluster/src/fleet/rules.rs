//! What each change does to the agreed state. Everything that can be refused is refused before anything is changed.

use super::{
    Change, Claimed, DeviceType, Enrolment, Fleet, Group, Key, SigningKey, TenantLimits, Terms, key,
};
use crate::access::{Changed, Fault};
use crate::limits::{
    CLAIM_CA_BYTES_MAX, COUNTED_MAX, DEVICE_GROUPS_MAX, ENROLMENT_DAYS_MAX, ENROLMENTS_MAX,
    FILTER_BYTES_MAX, FLEET_NAME_BYTES_MAX, ID_BYTES_MAX, NOTE_BYTES_MAX, SCHEMAS_BYTES_MAX,
    TENANTS_MAX, TERMS_BYTES_MAX, TYPES_BYTES_MAX, TYPES_MAX,
};

impl Fleet {
    /// Does what a change says, in a cluster of so many shards.
    pub(crate) fn follow(
        &mut self,
        change: Change,
        (at_ms, by): (u64, &str),
        shards: usize,
    ) -> Result<Changed, Fault> {
        match change {
            Change::LimitTenant { tenant, limits, note } => {
                self.limit_tenant(tenant, (limits, note), (at_ms, by), shards)
            }
            Change::ShareDevices { tenant, shard, turn, has, wants } => {
                let known = self.tenants.get_mut(&tenant);
                let changed = known.is_some_and(|known| known.take(shard, turn, (has, wants)));
                Ok(if changed { Changed::Yes } else { Changed::No })
            }
            Change::PutClaim { tenant, name, claimed } => self.put_claim(&tenant, &name, claimed),
            Change::PutType { tenant, name, schemas, note } => {
                let by = by.to_owned();
                let asked = DeviceType { version: 0, schemas: Some(schemas), note, at_ms, by };
                self.put_type(checked(&tenant, &name)?, asked)
            }
            Change::RemoveType { tenant, name } => {
                let names = |terms: &Terms| terms.of_type == name;
                self.must_be_unnamed(&tenant, &format!("device type {name:?}"), names)?;
                let known = self.types.get_mut(&key(&tenant, &name));
                let known = known.filter(|known| known.schemas.is_some());
                let Some(known) = known else { return Err(missing("device type", &name)) };
                known.version += 1;
                (known.schemas, known.at_ms, known.by) = (None, at_ms, by.to_owned());
                Ok(Changed::Yes)
            }
            Change::PutGroup { tenant, name, filter, note } => {
                let group = Group { filter, note, at_ms, by: by.to_owned() };
                self.put_group(checked(&tenant, &name)?, group)
            }
            Change::PutEnrolment { tenant, name, terms, key, new_key } => {
                self.put_enrolment(checked(&tenant, &name)?, terms, (key, new_key), (at_ms, by))
            }
            Change::RemoveEnrolment { tenant, name } => {
                self.claims.remove(&key(&tenant, &name));
                match self.enrolments.remove(&key(&tenant, &name)) {
                    Some(_) => Ok(Changed::Yes),
                    None => Err(missing("enrolment", &name)),
                }
            }
            Change::CountEnrolled { tenant, name, id } => self.count_enrolled(&tenant, &name, id),
            Change::PutArtifact(come) => self.put_artifact(*come, at_ms, by),
            Change::RemoveArtifact { tenant, name, version, named } => {
                self.remove_artifact(&tenant, (&name, &version), named)
            }
            Change::NameArtifact { tenant, name, version, sha256, naming } => {
                self.name_artifact(&tenant, (&name, &version), &sha256, naming)
            }
            Change::PutArtifactKey { tenant, name, public, note } => {
                let added = SigningKey { public, note, at_ms, by: by.to_owned() };
                self.put_artifact_key(&tenant, &name, added)
            }
            Change::RemoveArtifactKey { tenant, name } => self.remove_artifact_key(&tenant, &name),
            Change::RemoveGroup { tenant, name } => {
                let names = |terms: &Terms| terms.groups.contains(&name);
                self.must_be_unnamed(&tenant, &format!("group {name:?}"), names)?;
                match self.groups.remove(&key(&tenant, &name)) {
                    Some(_) => Ok(Changed::Yes),
                    None => Err(missing("group", &name)),
                }
            }
        }
    }

    /// One more device has come by an enrolment, unless it is one that was counted.
    fn count_enrolled(&mut self, tenant: &str, name: &str, id: u128) -> Result<Changed, Fault> {
        let known = self.enrolments.get_mut(&key(tenant, name));
        let known = known.ok_or_else(|| missing("enrolment", name))?;
        if known.counted.contains(&id) {
            return Ok(Changed::No);
        }
        if known.is_exhausted() {
            let most = usize::try_from(known.terms.most).unwrap_or(usize::MAX);
            return Err(Fault::Full { what: "devices by this enrolment", most });
        }
        known.enrolled = known.enrolled.saturating_add(1);
        known.counted.push(id);
        let excess = known.counted.len().saturating_sub(COUNTED_MAX);
        known.counted.drain(..excess);
        Ok(Changed::Yes)
    }

    fn limit_tenant(
        &mut self,
        tenant: String,
        (limits, note): (TenantLimits, String),
        (at_ms, by): (u64, &str),
        shards: usize,
    ) -> Result<Changed, Fault> {
        note_fits(&note)?;
        tenant_fits(&tenant)?;
        let before = self.tenants.get(&tenant);
        if before.is_none() && self.tenants.len() >= TENANTS_MAX {
            return Err(Fault::Full { what: "tenants with limits", most: TENANTS_MAX });
        }
        if limits.is_none() && note.is_empty() {
            let gone = self.tenants.remove(&tenant);
            return Ok(if gone.is_some() { Changed::Yes } else { Changed::No });
        }
        let before = before.cloned().unwrap_or_default();
        if before.limits == limits && before.note == note && !limits.is_none() {
            return Ok(Changed::No);
        }
        let mut after = before.limited(limits, shards, at_ms);
        (after.note, after.at_ms, after.by) = (note, at_ms, by.to_owned());
        self.tenants.insert(tenant, after);
        Ok(Changed::Yes)
    }

    /// Whether a change is about whose certificates are good for an enrolment, and they are so already.
    pub(crate) fn claims_so(&self, change: &Change) -> bool {
        let Change::PutClaim { tenant, name, claimed } = change else { return false };
        let key = key(tenant, name);
        self.enrolments.contains_key(&key) && self.claims.get(&key) == claimed.as_ref()
    }

    fn put_claim(
        &mut self,
        tenant: &str,
        name: &str,
        claimed: Option<Claimed>,
    ) -> Result<Changed, Fault> {
        let key = key(tenant, name);
        if !self.enrolments.contains_key(&key) {
            return Err(missing("enrolment", name));
        }
        if matches!(&claimed, Some(Claimed::By(ca)) if ca.len() > CLAIM_CA_BYTES_MAX) {
            let why = format!("a CA's certificate has at most {CLAIM_CA_BYTES_MAX} bytes");
            return Err(Fault::Invalid(why));
        }
        let before = match claimed.clone() {
            Some(claimed) => self.claims.insert(key, claimed),
            None => self.claims.remove(&key),
        };
        Ok(if before == claimed { Changed::No } else { Changed::Yes })
    }

    fn put_type(&mut self, key: String, mut asked: DeviceType) -> Result<Changed, Fault> {
        note_fits(&asked.note)?;
        let bytes = |one: &DeviceType| one.schemas.as_ref().map_or(0, String::len);
        let gained = bytes(&asked);
        if gained > SCHEMAS_BYTES_MAX {
            let why = format!("schemas: at most {SCHEMAS_BYTES_MAX} bytes of JSON");
            return Err(Fault::Invalid(why));
        }
        let before = self.types.get(&key);
        if before.is_none() && self.types.len() >= TYPES_MAX {
            return Err(Fault::Full { what: "device types", most: TYPES_MAX });
        }
        let others = self.types.iter().filter(|(name, _)| **name != key);
        if others.map(|(_, one)| bytes(one)).sum::<usize>() + gained > TYPES_BYTES_MAX {
            return Err(Fault::Full { what: "bytes of device types", most: TYPES_BYTES_MAX });
        }
        let version = before.map_or(self.versions_above, |before| before.version);
        let same = before.is_some_and(|before| before.schemas == asked.schemas);
        asked.version = if same { version } else { version + 1 };
        if same && before.is_some_and(|before| before.note == asked.note) {
            return Ok(Changed::No);
        }
        self.types.insert(key, asked);
        Ok(Changed::Yes)
    }

    fn put_enrolment(
        &mut self,
        name: String,
        terms: Terms,
        (key, new_key): (Key, bool),
        (at_ms, by): (u64, &str),
    ) -> Result<Changed, Fault> {
        note_fits(&terms.note)?;
        let named = terms.groups.iter().map(String::len).sum::<usize>() + terms.of_type.len();
        let bytes = terms.prefix.len() + terms.tags.len() + named;
        if bytes > TERMS_BYTES_MAX {
            let why = format!("an enrolment has at most {TERMS_BYTES_MAX} bytes in all");
            return Err(Fault::Invalid(why));
        }
        if terms.days > ENROLMENT_DAYS_MAX {
            let why = format!("days: at most {ENROLMENT_DAYS_MAX}");
            return Err(Fault::Invalid(why));
        }
        let before = self.enrolments.get(&name);
        if before.is_none() && self.enrolments.len() >= ENROLMENTS_MAX {
            return Err(Fault::Full { what: "enrolments", most: ENROLMENTS_MAX });
        }
        let before = before.cloned().unwrap_or_default();
        let by = by.to_owned();
        let kept = before.key.clone().filter(|_| !new_key);
        let after = Enrolment { terms, key: Some(kept.unwrap_or(key)), ..before };
        self.enrolments.insert(name, Enrolment { at_ms, by, ..after });
        Ok(Changed::Yes)
    }

    /// Refuses to take away what devices that come by an enrolment are to have.
    fn must_be_unnamed(
        &self,
        tenant: &str,
        what: &str,
        names: impl Fn(&Terms) -> bool,
    ) -> Result<(), Fault> {
        match super::of(&self.enrolments, tenant).find(|(_, one)| names(&one.terms)) {
            None => Ok(()),
            Some((enrolment, _)) => Err(Fault::Invalid(format!(
                "enrolment {enrolment:?} names {what}: change or remove the enrolment first"
            ))),
        }
    }

    fn put_group(&mut self, key: String, group: Group) -> Result<Changed, Fault> {
        note_fits(&group.note)?;
        if group.filter.len() > FILTER_BYTES_MAX {
            let why = format!("filter: at most {FILTER_BYTES_MAX} bytes");
            return Err(Fault::Invalid(why));
        }
        let before = self.groups.get(&key);
        if before.is_none() && self.groups.len() >= DEVICE_GROUPS_MAX {
            return Err(Fault::Full { what: "groups", most: DEVICE_GROUPS_MAX });
        }
        if before.is_some_and(|before| before.filter.is_empty() != group.filter.is_empty()) {
            let why = "devices are put in this group, or a filter says which are in it, and that stays so: remove \
                       it first, or use another name";
            return Err(Fault::Invalid(why.into()));
        }
        let same = |before: &Group| (&before.filter, &before.note) == (&group.filter, &group.note);
        if before.is_some_and(same) {
            return Ok(Changed::No);
        }
        self.groups.insert(key, group);
        Ok(Changed::Yes)
    }
}

/// The key of a thing whose names may be.
pub(super) fn checked(tenant: &str, name: &str) -> Result<String, Fault> {
    tenant_fits(tenant)?;
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if name.is_empty() || name.len() > FLEET_NAME_BYTES_MAX || !name.bytes().all(good) {
        let why =
            format!("name {name:?}: it has 1 to {FLEET_NAME_BYTES_MAX} letters, digits and - . _");
        return Err(Fault::Invalid(why));
    }
    Ok(key(tenant, name))
}

fn tenant_fits(tenant: &str) -> Result<(), Fault> {
    let graphic = |b: u8| b.is_ascii_graphic() && !b"/+#$".contains(&b);
    if tenant.is_empty() || tenant.len() > ID_BYTES_MAX || !tenant.bytes().all(graphic) {
        let why = format!("tenant {tenant:?}: a name has 1 to {ID_BYTES_MAX} characters of ids");
        return Err(Fault::Invalid(why));
    }
    Ok(())
}

pub(super) fn note_fits(note: &str) -> Result<(), Fault> {
    let bad = note.len() > NOTE_BYTES_MAX || note.chars().any(char::is_control);
    let why = || format!("a note has at most {NOTE_BYTES_MAX} bytes and no control characters");
    if bad { Err(Fault::Invalid(why())) } else { Ok(()) }
}

pub(super) fn missing(what: &str, name: &str) -> Fault {
    Fault::Invalid(format!("there is no {what} {name:?}"))
}
