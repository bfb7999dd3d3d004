//! Artifacts and the keys they are signed by, as both doors have them done. Their bytes are artifacts/'s, what there is
//! the cluster agrees on.

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use pollux_cluster::access::Action;
use pollux_cluster::fleet::{
    self, Arrival, Artifact, Change, Signature, SigningKey, artifact_name_fault, media_type_fault,
};
use pollux_cluster::meta::{ARTIFACTS_LEVEL, Meta};
use pollux_proto::artifact::statement;
use pollux_proto::hex::hex;
use pollux_proto::v1;
use pollux_twin::Rejection;

use super::access::{AccessFault, Answer};
use super::desk::Desk;
use super::limits::{ARTIFACT_PAGE, ARTIFACT_PAGE_MAX, UPLOAD_RETRY_MS};
use super::pace::{LeastPace, passed_on};
use crate::access::Caller;
use crate::artifacts::{ArtifactFault, Bytestream, Sealed, verify};
use crate::cluster::ControlFault;
use crate::own::RESERVED;

/// What an artifact is that somebody brings.
#[derive(Clone, Debug, Default)]
pub(super) struct Brought {
    pub(super) tenant: String,
    pub(super) name: String,
    pub(super) version: String,
    /// Empty: bytes of no known kind.
    pub(super) media_type: String,
    /// What its digest must be.
    pub(super) sha256: Option<[u8; 32]>,
    /// Its signature, and by which key to check it; by none named: by any.
    pub(super) signature: Option<(String, [u8; 64])>,
    /// How many bytes come, where that is said.
    pub(super) size: Option<u64>,
}

/// An artifact with a way to its bytes.
pub(super) struct Opened {
    pub(super) artifact: v1::Artifact,
    desk: Desk,
    digest: [u8; 32],
}

/// What a twin's caller hears of a byte's fault.
impl From<ArtifactFault> for AccessFault {
    fn from(fault: ArtifactFault) -> Self {
        let invalid =
            |fault: ArtifactFault| Self::Rejected(Rejection::Invalid { reason: fault.to_string() });
        match fault {
            ArtifactFault::TooLarge { .. } => Self::TooLarge(fault.to_string()),
            ArtifactFault::NoSpace => Self::NoSpace(fault.to_string()),
            fault @ (ArtifactFault::WrongDigest { .. } | ArtifactFault::Broken(_)) => {
                invalid(fault)
            }
            fault => Self::Control(ControlFault::NoAnswer(fault.to_string())),
        }
    }
}

fn invalid(reason: impl Into<String>) -> AccessFault {
    AccessFault::Rejected(Rejection::Invalid { reason: reason.into() })
}

fn missing(name: &str, version: &str) -> AccessFault {
    AccessFault::NotFound(format!(
        "there is no artifact {name}@{version}; `pollux artifact list` shows those there are"
    ))
}

impl Desk {
    /// Takes an artifact in: acknowledged once a majority has its bytes on disk, and all agree on it.
    pub(super) async fn put_artifact(
        &self,
        caller: &Caller,
        brought: Brought,
        body: impl Stream<Item = Result<Bytes, Rejection>> + Send,
    ) -> Answer<v1::Artifact> {
        let tenant = self.may_bring(caller, &brought.tenant)?;
        let brought = self.check_brought(&tenant, brought)?;
        let Some(_turn) = self.depot.upload_turn() else {
            let retry_after_ms = UPLOAD_RETRY_MS;
            return Err(Rejection::Overloaded { retry_after_ms }.into());
        };
        let came = self.take_in(&brought, body).await?;
        let (sha256, size) = (came.digest, came.size);
        let Brought { name, version, media_type, signature, .. } = brought;
        self.is_new_or_same(&tenant, (&name, &version), &sha256)?;
        let arrival = Arrival {
            signature: self.checked_signature(
                &tenant,
                (&name, &version),
                (size, &sha256),
                signature,
            )?,
            tenant,
            name,
            version,
            size,
            sha256,
            media_type,
        };
        came.keep().await?;
        let place = self.depot.spread(sha256, size).await?;
        let (tenant, name, version) =
            (arrival.tenant.clone(), arrival.name.clone(), arrival.version.clone());
        let known = Artifact {
            size,
            sha256,
            media_type: arrival.media_type.clone(),
            signature: arrival.signature.clone(),
            at_ms: self.clock.wall().ms,
            by: caller.name.to_string(),
            ..Artifact::default()
        };
        self.change_fleet(caller, Change::PutArtifact(Box::new(arrival))).await?;
        if self.depot.place() != place {
            // Others decide now: they must have it as well before it is acknowledged.
            self.depot.spread(sha256, size).await?;
        }
        // It is decided; a node that is behind sees it later.
        let here = self.one_artifact(&tenant, &name, &version);
        Ok(here.unwrap_or_else(|_| shown(&tenant, &name, &version, &known)))
    }

    fn may_bring(&self, caller: &Caller, given: &str) -> Answer<String> {
        let tenant = self.may_on_all(caller, Action::ArtifactManage, given)?;
        if tenant == RESERVED {
            return Err(invalid(format!("tenant {tenant} is Pollux's own; use another")));
        }
        let level = self.control.meta().level;
        if level < ARTIFACTS_LEVEL {
            return Err(Rejection::LevelTooLow { level, needed: ARTIFACTS_LEVEL }.into());
        }
        Ok(tenant)
    }

    /// What can be refused before any byte has come.
    fn check_brought(&self, tenant: &str, mut brought: Brought) -> Answer<Brought> {
        let Brought { name, version, media_type, sha256, signature, size, .. } = &mut brought;
        if media_type.is_empty() {
            "application/octet-stream".clone_into(media_type);
        }
        let faults = [
            artifact_name_fault("name", name),
            artifact_name_fault("version", version),
            media_type_fault(media_type),
        ];
        if let Some(why) = faults.into_iter().flatten().next() {
            return Err(invalid(why));
        }
        let max = self.depot.size_max();
        if size.is_some_and(|size| size > max) {
            return Err(ArtifactFault::TooLarge { max }.into());
        }
        if let Some(sha256) = sha256 {
            self.is_new_or_same(tenant, (name, version), sha256)?;
        }
        if signature.is_none() && keys(&self.control.meta(), tenant).next().is_some() {
            return Err(unsigned());
        }
        Ok(self.depot.has_room(size.unwrap_or(0)).map(|()| brought)?)
    }

    /// Refuses what is there with other content, before its bytes are kept.
    fn is_new_or_same(
        &self,
        tenant: &str,
        (name, version): (&str, &str),
        sha256: &[u8; 32],
    ) -> Answer<()> {
        let meta = self.control.meta();
        match meta.fleet.artifact(tenant, name, version) {
            Some(known) if known.sha256 != *sha256 => Err(AccessFault::Refused(format!(
                "artifact {name}@{version} is there with other content (SHA-256 {}), and none ever changes: give \
                 this one another version",
                hex(&known.sha256)
            ))),
            Some(_) | None => Ok(()),
        }
    }

    async fn take_in(
        &self,
        brought: &Brought,
        body: impl Stream<Item = Result<Bytes, Rejection>> + Send,
    ) -> Answer<Sealed> {
        let mut writer = self.depot.begin().await?;
        let mut body = std::pin::pin!(body);
        let max = self.depot.size_max();
        let mut pace = LeastPace::default();
        loop {
            let asked = self.clock.elapsed();
            let Some(bytes) = body.next().await else { break };
            let bytes = bytes?;
            // What the disk takes is not the caller's.
            let waited = self.clock.elapsed().saturating_sub(asked);
            if !pace.keeps(waited, bytes.len() as u64) {
                return Err(invalid(LeastPace::broken()));
            }
            if writer.bytes() + bytes.len() as u64 > max {
                return Err(ArtifactFault::TooLarge { max }.into());
            }
            writer.push(bytes).await?;
        }
        let came = writer.bytes();
        if let Some(said) = brought.size.filter(|said| *said != came) {
            return Err(invalid(format!("body: {came} bytes came, and {said} were to come")));
        }
        Ok(writer.seal(brought.sha256).await?)
    }

    /// The signature with the key that it was made by, if there is one; refused if it is by none of the tenant's.
    fn checked_signature(
        &self,
        tenant: &str,
        (name, version): (&str, &str),
        (size, sha256): (u64, &[u8; 32]),
        given: Option<(String, [u8; 64])>,
    ) -> Answer<Option<Signature>> {
        let Some((wanted, bytes)) = given else { return Ok(None) };
        let signed = statement(name, version, size, sha256);
        let meta = self.control.meta();
        let known = keys(&meta, tenant).filter(|(key, _)| wanted.is_empty() || *key == wanted);
        let known: Vec<_> = known.collect();
        if known.is_empty() {
            let which = if wanted.is_empty() { String::new() } else { format!(" {wanted:?}") };
            return Err(invalid(format!(
                "signature: tenant {tenant} has no key{which} to check it by; add it with `pollux artifact key add`"
            )));
        }
        let by = known.iter().find(|(_, key)| verify(&key.public, signed.as_bytes(), &bytes));
        let Some((key, found)) = by else {
            return Err(invalid(format!(
                "signature: it is not of this content, name and version ({name}@{version}, SHA-256 {}) by {}",
                hex(sha256),
                match known.as_slice() {
                    [(only, _)] => format!("key {only:?}"),
                    _ => "any key of the tenant".to_owned(),
                }
            )));
        };
        Ok(Some(Signature { key: (*key).to_owned(), public: found.public, bytes }))
    }

    /// One artifact.
    pub(super) async fn get_artifact(
        &self,
        caller: &Caller,
        (tenant, name, version): (&str, &str, &str),
    ) -> Answer<v1::Artifact> {
        let tenant = self.may_on_all(caller, Action::ArtifactRead, tenant)?;
        self.must_know(&tenant, name, version).await?;
        self.one_artifact(&tenant, name, version)
    }

    /// Where an artifact is not known here, learns first what the cluster agrees on: this node may be behind.
    pub(super) async fn must_know(&self, tenant: &str, name: &str, version: &str) -> Answer<()> {
        let known = self.control.meta().fleet.artifact(tenant, name, version).is_some();
        if known || self.depot.learns_newest().await {
            return Ok(());
        }
        let why = "this node does not hear the cluster now, and knows no such artifact: try again";
        Err(ControlFault::NoAnswer(why.into()).into())
    }

    fn one_artifact(&self, tenant: &str, name: &str, version: &str) -> Answer<v1::Artifact> {
        let meta = self.control.meta();
        let known = meta.fleet.artifact(tenant, name, version);
        known.map(|one| shown(tenant, name, version, one)).ok_or_else(|| missing(name, version))
    }

    /// One artifact, with a way to its bytes.
    pub(super) async fn open_artifact(
        &self,
        caller: &Caller,
        named: (&str, &str, &str),
    ) -> Answer<Opened> {
        let artifact = self.get_artifact(caller, named).await?;
        let digest = artifact.sha256.as_slice().try_into();
        let digest = digest.map_err(|_| missing(&artifact.name, &artifact.version))?;
        Ok(Opened { artifact, desk: self.clone(), digest })
    }

    /// A page of a tenant's artifacts.
    pub(super) fn list_artifacts(
        &self,
        caller: &Caller,
        asked: &v1::ListArtifactsRequest,
    ) -> Answer<v1::ListArtifactsResponse> {
        let tenant = self.may_on_all(caller, Action::ArtifactRead, &asked.tenant)?;
        let size = match asked.page_size as usize {
            0 => ARTIFACT_PAGE,
            size => size.min(ARTIFACT_PAGE_MAX),
        };
        let meta = self.control.meta();
        let all = fleet::of(&meta.fleet.artifacts, &tenant);
        let mut those = all.filter(|(name, _)| name.starts_with(&asked.prefix));
        let mut artifacts = Vec::new();
        let mut last = String::new();
        for (key, one) in those.by_ref().filter(|(key, _)| *key > asked.page_token.as_str()) {
            if artifacts.len() == size {
                let next_page_token = last;
                return Ok(v1::ListArtifactsResponse { artifacts, next_page_token });
            }
            let (name, version) = key.split_once('@').unwrap_or((key, ""));
            artifacts.push(shown(&tenant, name, version, one));
            key.clone_into(&mut last);
        }
        Ok(v1::ListArtifactsResponse { artifacts, next_page_token: String::new() })
    }

    /// Takes an artifact away, unless a job needs it.
    pub(super) async fn remove_artifact(
        &self,
        caller: &Caller,
        (tenant, name, version): (&str, &str, &str),
    ) -> Answer<()> {
        let tenant = self.may_bring(caller, tenant)?;
        self.must_know(&tenant, name, version).await?;
        let meta = self.control.meta();
        let known = meta.fleet.artifact(&tenant, name, version);
        let known = known.ok_or_else(|| missing(name, version))?;
        self.no_job_needs(&tenant, (name, version), known).await?;
        let (name, version) = (name.to_owned(), version.to_owned());
        let named = known.named;
        self.change_fleet(caller, Change::RemoveArtifact { tenant, name, version, named }).await
    }

    /// Adds a key.
    pub(super) async fn put_artifact_key(
        &self,
        caller: &Caller,
        asked: v1::PutArtifactKeyRequest,
    ) -> Answer<v1::ArtifactKey> {
        let tenant = self.may_bring(caller, &asked.tenant)?;
        let public: [u8; 32] = asked.public_key.as_slice().try_into().map_err(|_| {
            let bytes = asked.public_key.len();
            invalid(format!("public_key: it has {bytes} bytes; an Ed25519 public key has 32"))
        })?;
        let name = asked.name;
        let put = Change::PutArtifactKey {
            tenant: tenant.clone(),
            name: name.clone(),
            public,
            note: asked.note,
        };
        self.change_fleet(caller, put).await?;
        let meta = self.control.meta();
        let known = keys(&meta, &tenant).find(|(known, _)| *known == name);
        let known = known.map(|(name, one)| shown_key(&tenant, name, one));
        known.ok_or_else(|| AccessFault::NotFound(format!("there is no artifact key {name:?}")))
    }

    /// All keys of a tenant.
    pub(super) fn list_artifact_keys(
        &self,
        caller: &Caller,
        tenant: &str,
    ) -> Answer<v1::ListArtifactKeysResponse> {
        let tenant = self.may_on_all(caller, Action::ArtifactRead, tenant)?;
        let meta = self.control.meta();
        let keys = keys(&meta, &tenant).map(|(name, one)| shown_key(&tenant, name, one)).collect();
        Ok(v1::ListArtifactKeysResponse { keys })
    }

    /// Takes a key away.
    pub(super) async fn remove_artifact_key(
        &self,
        caller: &Caller,
        tenant: &str,
        name: String,
    ) -> Answer<()> {
        let tenant = self.may_bring(caller, tenant)?;
        if !keys(&self.control.meta(), &tenant).any(|(known, _)| known == name) {
            return Err(AccessFault::NotFound(format!("there is no artifact key {name:?}")));
        }
        self.change_fleet(caller, Change::RemoveArtifactKey { tenant, name }).await
    }
}

impl Opened {
    /// Its bytes within a range.
    pub(super) async fn read(&self, range: std::ops::Range<u64>) -> Answer<Bytestream> {
        let depot = &self.desk.depot;
        let Some(turn) = depot.read_turn() else {
            let retry_after_ms = UPLOAD_RETRY_MS;
            return Err(Rejection::Overloaded { retry_after_ms }.into());
        };
        let read = depot.read(self.digest, self.artifact.size, range).await?;
        Ok(passed_on(read, turn))
    }
}

fn unsigned() -> AccessFault {
    invalid(
        "signature: none given, and artifacts of this tenant are signed by one of its keys \
         (`pollux artifact key list`): sign it",
    )
}

fn keys<'m>(meta: &'m Meta, tenant: &str) -> impl Iterator<Item = (&'m str, &'m SigningKey)> {
    fleet::of(&meta.fleet.artifact_keys, tenant)
}

fn shown(tenant: &str, name: &str, version: &str, one: &Artifact) -> v1::Artifact {
    let signature = one.signature.as_ref();
    v1::Artifact {
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        version: version.to_owned(),
        size: one.size,
        sha256: one.sha256.to_vec(),
        media_type: one.media_type.clone(),
        signature: signature.map(|signed| signed.bytes.to_vec()).unwrap_or_default(),
        key: signature.map(|signed| signed.key.clone()).unwrap_or_default(),
        at_ms: one.at_ms,
        by: one.by.clone(),
    }
}

fn shown_key(tenant: &str, name: &str, one: &SigningKey) -> v1::ArtifactKey {
    v1::ArtifactKey {
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        public_key: one.public.to_vec(),
        note: one.note.clone(),
        at_ms: one.at_ms,
        by: one.by.clone(),
    }
}
