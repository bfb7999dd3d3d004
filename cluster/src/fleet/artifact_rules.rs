//! What each change does to artifacts and the keys that they are signed by. Everything that can be refused is refused
//! before anything is changed.

use super::artifact::media_type_fault;
use super::artifact::{Arrival, Artifact, Naming, SigningKey, artifact_key, artifact_name_fault};
use super::rules::{checked, missing, note_fits};
use super::{Fleet, key, of};
use crate::access::{Changed, Fault};
use crate::limits::{
    ARTIFACT_KEYS_MAX, ARTIFACT_KEYS_OF_TENANT_MAX, ARTIFACTS_MAX, ARTIFACTS_OF_TENANT_MAX,
};

impl Fleet {
    pub(super) fn put_artifact(
        &mut self,
        arrival: Arrival,
        at_ms: u64,
        by: &str,
    ) -> Result<Changed, Fault> {
        let Arrival { tenant, name, version, size, sha256, media_type, signature } = arrival;
        checked(&tenant, "artifact")?;
        let faults = [
            artifact_name_fault("name", &name),
            artifact_name_fault("version", &version),
            media_type_fault(&media_type),
        ];
        if let Some(why) = faults.into_iter().flatten().next() {
            return Err(Fault::Invalid(why));
        }
        if let Some(known) = self.artifact(&tenant, &name, &version) {
            let same = (known.size, known.sha256) == (size, sha256);
            if same && signature.is_some() && known.signature != signature {
                return Err(Fault::Invalid(format!(
                    "artifact {name}@{version} is there with another signature, or none, and none ever changes: give \
                     this one another version"
                )));
            }
            return if same {
                Ok(Changed::No)
            } else {
                Err(Fault::Invalid(format!(
                    "artifact {name}@{version} is there with other content, and none ever changes: give this one \
                     another version"
                )))
            };
        }
        let signed = signature.as_ref().is_some_and(|signature| {
            let known = self.artifact_keys.get(&key(&tenant, &signature.key));
            known.is_some_and(|known| known.public == signature.public)
        });
        if !signed && (signature.is_some() || of(&self.artifact_keys, &tenant).next().is_some()) {
            return Err(Fault::Invalid(
                "artifacts of this tenant are signed by one of its keys, and this one is not: sign it".into(),
            ));
        }
        if of(&self.artifacts, &tenant).count() >= ARTIFACTS_OF_TENANT_MAX {
            return Err(Fault::Full {
                what: "artifacts of one tenant",
                most: ARTIFACTS_OF_TENANT_MAX,
            });
        }
        if self.artifacts.len() >= ARTIFACTS_MAX {
            return Err(Fault::Full { what: "artifacts", most: ARTIFACTS_MAX });
        }
        let by = by.to_owned();
        let come =
            Artifact { size, sha256, media_type, signature, at_ms, by, ..Artifact::default() };
        self.artifacts.insert(artifact_key(&tenant, &name, &version), come);
        Ok(Changed::Yes)
    }

    /// Takes an artifact away, if no job was made with it since `named` were.
    pub(super) fn remove_artifact(
        &mut self,
        tenant: &str,
        (name, version): (&str, &str),
        named: u64,
    ) -> Result<Changed, Fault> {
        let key = artifact_key(tenant, name, version);
        let known = self.artifacts.get(&key);
        let known = known.ok_or_else(|| missing("artifact", &format!("{name}@{version}")))?;
        if known.named != named {
            return Err(Fault::Invalid(format!(
                "a job was made with artifact {name}@{version} just now: look at it, and try again"
            )));
        }
        self.artifacts.remove(&key);
        Ok(Changed::Yes)
    }

    pub(super) fn name_artifact(
        &mut self,
        tenant: &str,
        (name, version): (&str, &str),
        sha256: &[u8; 32],
        naming: Naming,
    ) -> Result<Changed, Fault> {
        let known = self.artifacts.get_mut(&artifact_key(tenant, name, version));
        let known = known.ok_or_else(|| missing("artifact", &format!("{name}@{version}")))?;
        if known.sha256 != *sha256 {
            return Err(Fault::Invalid(format!(
                "artifact {name}@{version} was removed and brought again with other content just now: make the job \
                 again"
            )));
        }
        if known.name_in(naming) {
            return Ok(Changed::Yes);
        }
        Err(Fault::Invalid(format!(
            "too many jobs were made with artifact {name}@{version} within a minute: try again in one"
        )))
    }

    pub(super) fn put_artifact_key(
        &mut self,
        tenant: &str,
        name: &str,
        added: SigningKey,
    ) -> Result<Changed, Fault> {
        let key = checked(tenant, name)?;
        note_fits(&added.note)?;
        if let Some(known) = self.artifact_keys.get(&key) {
            return match known.public == added.public {
                true => Ok(Changed::No),
                false => Err(Fault::Invalid(format!(
                    "artifact key {name:?} is there and is another one: remove it first, or use another name"
                ))),
            };
        }
        let theirs = || of(&self.artifact_keys, tenant);
        if let Some((other, _)) = theirs().find(|(_, known)| known.public == added.public) {
            return Err(Fault::Invalid(format!("this key is there as {other:?} already")));
        }
        if theirs().count() >= ARTIFACT_KEYS_OF_TENANT_MAX {
            let most = ARTIFACT_KEYS_OF_TENANT_MAX;
            return Err(Fault::Full { what: "artifact keys of one tenant", most });
        }
        if self.artifact_keys.len() >= ARTIFACT_KEYS_MAX {
            return Err(Fault::Full { what: "artifact keys", most: ARTIFACT_KEYS_MAX });
        }
        self.artifact_keys.insert(key, added);
        Ok(Changed::Yes)
    }

    pub(super) fn remove_artifact_key(
        &mut self,
        tenant: &str,
        name: &str,
    ) -> Result<Changed, Fault> {
        match self.artifact_keys.remove(&key(tenant, name)) {
            Some(_) => Ok(Changed::Yes),
            None => Err(missing("artifact key", name)),
        }
    }
}
