//! A job as it is kept: a twin of Pollux's own whose tags say what it is about and what is wished of it, written by
//! those who call, and whose desired says how far it is, written by the node that carries it out. Owns its form.

use std::sync::Arc;

use pollux_proto::{convert, v1};
use pollux_twin::limits::{DEPTH_CEILING, SECTION_BYTES_MAX};
use pollux_twin::twin::{Life, View};
use pollux_twin::value::Object;
use pollux_twin::{JsonLimits, Rejection, TwinKey, Value};

use super::limits::SPEC_BYTES_MAX;
use super::machine::Totals;
use super::part::{self, text};
use super::plan::{Plan, wrong};
use crate::own;
use crate::router::Scope;

/// What the name of a job's twin begins with.
const KIND: &str = "job:";

/// What is kept was within the bounds of the node that took it.
const KEPT: JsonLimits = JsonLimits { bytes_max: SPEC_BYTES_MAX, depth_max: DEPTH_CEILING };

/// The twin of a job.
pub(crate) fn key(tenant: &str, name: &str) -> Result<TwinKey, Rejection> {
    own::key(KIND, tenant, name)
}

/// Refuses names of which no twin can be made.
pub(crate) fn check_names(tenant: &str, name: &str) -> Result<(), Rejection> {
    key(tenant, name)?;
    part::key(tenant, name, u32::MAX).map(drop)
}

/// What is asked of a job as it will be read again: what has its default is left out.
pub(crate) fn plain(spec: &v1::JobSpec, limits: &JsonLimits) -> Result<v1::JobSpec, Rejection> {
    convert::job_spec_from_json(convert::job_spec_json(spec, limits)?)
}

/// What the keys of all jobs' twins begin with.
pub(crate) fn beginning() -> String {
    format!("{}/{KIND}", own::RESERVED)
}

/// The twins of a tenant's jobs, and perhaps of others.
pub(crate) fn all(tenant: &str) -> Scope {
    Scope::Prefix { tenant: own::RESERVED.to_owned(), prefix: format!("{KIND}{tenant}:") }
}

/// What its callers wish of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wish {
    #[default]
    Run,
    Pause,
    Cancel,
    /// It is over, and to be forgotten.
    Delete,
}

/// What a job is about, and what is wished of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) tenant: String,
    pub(crate) name: String,
    pub(crate) spec: v1::JobSpec,
    /// By whose rights it acts.
    pub(crate) by: Arc<str>,
    /// Whether that was proven; otherwise nobody is checked.
    pub(crate) proven: bool,
    pub(crate) created_ms: u64,
    /// Not the same for any two jobs that had this name.
    pub(crate) run: u64,
    pub(crate) wish: Wish,
}

/// Where a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Scheduled,
    Selecting,
    Running,
    Aborting,
    Cancelling,
    Finished,
    Aborted,
    Cancelled,
}

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Goes up by one with each node that takes the job over.
    pub(crate) turn: u64,
    pub(crate) phase: Phase,
    pub(crate) reason: String,
    pub(crate) devices: u64,
    pub(crate) parts: u32,
    pub(crate) totals: Totals,
    pub(crate) started_ms: u64,
    pub(crate) ended_ms: u64,
}

/// A job as it was read, with the versions that the next writes must meet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    pub(crate) record: Record,
    pub(crate) progress: Progress,
    pub(crate) record_version: u64,
    pub(crate) progress_version: u64,
}

impl Kept {
    /// Reads a job; none if there is none, or none that this program knows.
    pub(crate) fn read(view: &View) -> Option<Self> {
        if view.life != Life::Alive {
            return None;
        }
        let record = Record::read(view.tags.value.as_object()?)?;
        let progress = view.desired.value.as_object().and_then(|members| {
            (members.get("run")?.as_u64()? == record.run).then(|| Progress::read(members)).flatten()
        });
        Some(Self {
            progress: progress.unwrap_or_default(),
            record_version: view.tags.version,
            progress_version: view.desired.version,
            record,
        })
    }

    pub(crate) fn state(&self) -> v1::JobState {
        let paused = self.record.wish == Wish::Pause;
        match self.progress.phase {
            Phase::Scheduled | Phase::Selecting | Phase::Running if paused => v1::JobState::Paused,
            Phase::Scheduled if self.record.spec.start_at_ms == 0 => v1::JobState::Selecting,
            Phase::Scheduled => v1::JobState::Scheduled,
            Phase::Selecting => v1::JobState::Selecting,
            Phase::Running => v1::JobState::Running,
            Phase::Aborting => v1::JobState::Aborting,
            Phase::Cancelling => v1::JobState::Cancelling,
            Phase::Finished => v1::JobState::Finished,
            Phase::Aborted => v1::JobState::Aborted,
            Phase::Cancelled => v1::JobState::Cancelled,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        convert::job_is_over(self.state())
    }

    pub(crate) fn to_v1(&self) -> v1::Job {
        let Progress { devices, totals, .. } = self.progress;
        let begun = totals.under_way + totals.over();
        v1::Job {
            tenant: self.record.tenant.clone(),
            name: self.record.name.clone(),
            spec: Some(self.record.spec.clone()),
            state: self.state().into(),
            reason: self.progress.reason.clone(),
            totals: Some(v1::JobTotals {
                devices,
                waiting: devices.saturating_sub(begun),
                under_way: totals.under_way,
                done: totals.done,
                failed: totals.failed,
                unknown: totals.unknown,
                cancelled: totals.cancelled,
            }),
            created_by: self.record.by.to_string(),
            created_at_ms: self.record.created_ms,
            started_at_ms: self.progress.started_ms,
            ended_at_ms: self.progress.ended_ms,
        }
    }
}

impl Record {
    /// What it is about, checked.
    pub(crate) fn plan(&self, limits: &JsonLimits) -> Result<Plan, Rejection> {
        Plan::read(&self.tenant, &self.spec, limits)
    }

    /// What it is about, as read again from what was kept.
    pub(crate) fn kept_plan(&self) -> Result<Plan, Rejection> {
        self.plan(&KEPT)
    }

    /// As whom its calls are made: what twins show, and the scope of its keys. No other job's has the same.
    pub(crate) fn caller(&self) -> String {
        format!("job:{}:{:08x}", self.name, self.run)
    }

    /// The key of a device's attempt.
    pub(crate) fn attempt_key(attempt: u32) -> String {
        format!("attempt-{attempt}")
    }

    /// The content of tags.
    pub(crate) fn to_value(&self, limits: &JsonLimits) -> Result<Value, Rejection> {
        let spec = convert::job_spec_json(&self.spec, limits)?.to_json();
        if spec.len() > SPEC_BYTES_MAX {
            let bytes = spec.len();
            return Err(wrong(format!(
                "job: has {bytes} bytes as JSON; it takes {SPEC_BYTES_MAX}, devices named one by one are most of it"
            )));
        }
        let wish = match self.wish {
            Wish::Run => "run",
            Wish::Pause => "pause",
            Wish::Cancel => "cancel",
            Wish::Delete => "delete",
        };
        let members = [
            ("tenant", self.tenant.as_str().into()),
            ("name", self.name.as_str().into()),
            ("spec", spec.into()),
            ("by", Value::from(&*self.by)),
            ("proven", self.proven.into()),
            ("created_ms", self.created_ms.into()),
            ("run", self.run.into()),
            ("wish", wish.into()),
        ];
        let content = object(members);
        // What one is about is kept as a text, in which quotes take twice as much.
        let bytes = content.to_json().len();
        if bytes > SECTION_BYTES_MAX {
            return Err(wrong(format!(
                "job: has {bytes} bytes as it is kept, where quotes and backslashes count twice; it takes {SECTION_BYTES_MAX}"
            )));
        }
        Ok(content)
    }

    /// As [`Self::to_value`], of what was kept before.
    pub(crate) fn kept_value(&self) -> Result<Value, Rejection> {
        self.to_value(&KEPT)
    }

    fn read(members: &Object) -> Option<Self> {
        let spec = Value::from_json(&text(members, "spec")?, &KEPT).ok()?;
        let wish = match text(members, "wish")?.as_str() {
            "pause" => Wish::Pause,
            "cancel" => Wish::Cancel,
            "delete" => Wish::Delete,
            _ => Wish::Run,
        };
        Some(Self {
            tenant: text(members, "tenant")?,
            name: text(members, "name")?,
            spec: convert::job_spec_from_json(spec).ok()?,
            by: text(members, "by")?.into(),
            proven: *members.get("proven")? == Value::Bool(true),
            created_ms: members.get("created_ms")?.as_u64()?,
            run: members.get("run")?.as_u64()?,
            wish,
        })
    }
}

/// The phases by their names.
const PHASES: [(&str, Phase); 8] = [
    ("scheduled", Phase::Scheduled),
    ("selecting", Phase::Selecting),
    ("running", Phase::Running),
    ("aborting", Phase::Aborting),
    ("cancelling", Phase::Cancelling),
    ("finished", Phase::Finished),
    ("aborted", Phase::Aborted),
    ("cancelled", Phase::Cancelled),
];

impl Progress {
    /// The content of desired.
    pub(crate) fn to_value(&self, run: u64) -> Value {
        let phase = PHASES.iter().find(|(_, phase)| *phase == self.phase);
        let Totals { begun, under_way, done, failed, unknown, cancelled } = self.totals;
        object([
            ("run", run.into()),
            ("turn", self.turn.into()),
            ("phase", phase.map_or("", |(name, _)| *name).into()),
            ("reason", self.reason.as_str().into()),
            ("devices", self.devices.into()),
            ("parts", u64::from(self.parts).into()),
            ("begun", begun.into()),
            ("under_way", under_way.into()),
            ("done", done.into()),
            ("failed", failed.into()),
            ("unknown", unknown.into()),
            ("cancelled", cancelled.into()),
            ("started_ms", self.started_ms.into()),
            ("ended_ms", self.ended_ms.into()),
        ])
    }

    fn read(members: &Object) -> Option<Self> {
        let count = |name: &str| members.get(name)?.as_u64();
        let phase = text(members, "phase")?;
        Some(Self {
            turn: count("turn")?,
            phase: PHASES.iter().find(|(name, _)| *name == phase)?.1,
            reason: text(members, "reason")?,
            devices: count("devices")?,
            parts: u32::try_from(count("parts")?).ok()?,
            totals: Totals {
                begun: count("begun")?,
                under_way: count("under_way")?,
                done: count("done")?,
                failed: count("failed")?,
                unknown: count("unknown")?,
                cancelled: count("cancelled")?,
            },
            started_ms: count("started_ms")?,
            ended_ms: count("ended_ms")?,
        })
    }
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

#[cfg(test)]
mod tests {
    use pollux_twin::twin::SectionView;

    use super::*;

    fn record() -> Record {
        let spec = r#"{"prefix":"p","filter":"","desired":{"a":{"b":[1,null]}},"batch":7}"#;
        let spec = Value::from_json(spec, &JsonLimits::default()).unwrap();
        Record {
            tenant: "acme".into(),
            name: "rollout".into(),
            spec: convert::job_spec_from_json(spec).unwrap(),
            by: "ops".into(),
            proven: true,
            created_ms: 5,
            run: 77,
            wish: Wish::Pause,
        }
    }

    fn view(tags: Value, desired: Value) -> View {
        let section = |value, version| SectionView { version, value, ..SectionView::default() };
        let (tags, desired) = (section(tags, 3), section(desired, 7));
        View { life: Life::Alive, tags, desired, ..View::default() }
    }

    #[test]
    fn a_job_comes_back_as_it_was_kept() {
        let record = record();
        let totals =
            Totals { begun: 9, under_way: 2, done: 4, failed: 1, unknown: 1, cancelled: 1 };
        let progress = Progress {
            turn: 4,
            phase: Phase::Running,
            reason: "so".into(),
            devices: 50,
            parts: 1,
            totals,
            started_ms: 8,
            ended_ms: 0,
        };
        let kept = view(record.kept_value().unwrap(), progress.to_value(77));
        let kept = Kept::read(&kept).unwrap();
        assert_eq!((&kept.record, &kept.progress), (&record, &progress));
        assert_eq!((kept.record_version, kept.progress_version), (3, 7));
        let shown = kept.to_v1();
        assert_eq!(shown.state(), v1::JobState::Paused);
        assert_eq!(shown.totals.unwrap().waiting, 41);
        // How far a job was that had this name before says nothing of this one.
        let kept = view(record.kept_value().unwrap(), progress.to_value(76));
        let kept = Kept::read(&kept).unwrap();
        assert_eq!((kept.progress, kept.progress_version), (Progress::default(), 7));
        assert_eq!(Kept::read(&view(Value::object(), Value::object())), None);
    }
}
