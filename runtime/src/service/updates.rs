//! Where jobs and artifacts meet: a job names an artifact that is there, and an artifact that a job needs stays.
//!
//! Jobs are in shards and artifacts in the meta group, so that neither can be asked while the other is decided. So a
//! job has the meta group write down that it is about to be made before it is; and an artifact is only taken away in
//! the state in which it was seen that no job needs it.

use pollux_cluster::access::{Action, On};
use pollux_cluster::fleet::Artifact;
use pollux_cluster::limits::ARTIFACT_NAMING_MS;
use pollux_cluster::meta::ARTIFACTS_LEVEL;
use pollux_proto::hex::{from_hex, hex};
use pollux_proto::v1;
use pollux_twin::Rejection;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::access::{AccessFault, Answer};
use super::desk::Desk;
use crate::access::Caller;
use crate::cluster::ControlFault;
use crate::jobs::{self, Names, Record};

impl Desk {
    /// Fills in what a job's artifact is, if it names one that is there.
    pub(super) async fn fill_in(
        &self,
        caller: &Caller,
        tenant: &str,
        spec: &mut v1::JobSpec,
    ) -> Result<(), Rejection> {
        let Some(named) = spec.artifact_mut() else { return Ok(()) };
        jobs::check_artifact(named)?;
        let level = self.control.meta().level;
        if level < ARTIFACTS_LEVEL {
            return Err(Rejection::LevelTooLow { level, needed: ARTIFACTS_LEVEL });
        }
        self.doorman.check(caller, Action::ArtifactRead, On::Fleet { tenant, prefix: "" })?;
        if self.must_know(tenant, &named.name, &named.version).await.is_err() {
            return Err(Rejection::NotOwner);
        }
        let meta = self.control.meta();
        let Some(known) = meta.fleet.artifact(tenant, &named.name, &named.version) else {
            let reason = format!(
                "artifact: there is no {}@{}; `pollux artifact list` shows those there are",
                named.name, named.version
            );
            return Err(Rejection::Invalid { reason });
        };
        named.size = known.size;
        named.sha256 = hex(&known.sha256);
        if let Some(signature) = &known.signature {
            named.signature = STANDARD.encode(signature.bytes);
            named.key.clone_from(&signature.key);
        }
        Ok(())
    }

    /// Has it written down that a job is about to be made with its artifact, if it names one.
    pub(super) async fn announce(&self, record: &Record) -> Result<(), Rejection> {
        let Some(named) = record.spec.artifact() else { return Ok(()) };
        let artifact = (named.name.as_str(), named.version.as_str());
        let job = (record.name.as_str(), record.run);
        let sha256 = from_hex(&named.sha256).ok_or_else(|| Rejection::Invalid {
            reason: format!("artifact: {:?} is no SHA-256", named.sha256),
        })?;
        match self.control.name_artifact(&record.tenant, artifact, sha256, job).await {
            Ok(()) => Ok(()),
            Err(ControlFault::NoAnswer(_)) => Err(Rejection::NotOwner),
            Err(fault) => Err(Rejection::Invalid { reason: format!("artifact: {fault}") }),
        }
    }

    /// Refuses where a job needs an artifact, or is about to.
    pub(super) async fn no_job_needs(
        &self,
        tenant: &str,
        (name, version): (&str, &str),
        artifact: &Artifact,
    ) -> Answer<()> {
        let kept = self.kept_jobs(&jobs::all(tenant)).await?;
        let theirs = || kept.iter().filter(|kept| kept.record.tenant == tenant);
        let needs = |spec: &v1::JobSpec| {
            spec.artifact()
                .is_some_and(|one| (one.name.as_str(), one.version.as_str()) == (name, version))
        };
        if let Some(job) = theirs().find(|kept| !kept.is_over() && needs(&kept.record.spec)) {
            return Err(AccessFault::Refused(format!(
                "job {:?} is {} and needs artifact {name}@{version}: cancel it, or wait until it is over",
                job.record.name,
                pollux_proto::convert::job_state_name(job.state())
            )));
        }
        let now_ms = self.clock.wall().ms;
        let coming = artifact.namings.iter().find(|naming| {
            let made = theirs()
                .any(|kept| (&kept.record.name, kept.record.run) == (&naming.job, naming.run));
            !made && naming.at_ms.saturating_add(ARTIFACT_NAMING_MS) > now_ms
        });
        match coming {
            None => Ok(()),
            Some(naming) => Err(AccessFault::Refused(format!(
                "job {:?} was about to be made with artifact {name}@{version}: try again in a minute",
                naming.job
            ))),
        }
    }
}
