//! Jobs and their parts where they are kept. Every write meets the version that was read, so that of two who carry
//! out the same job only one goes on.

use futures_util::{StreamExt, TryStreamExt, stream};
use pollux_twin::change::Section;
use pollux_twin::input::Request;
use pollux_twin::output::Answer;
use pollux_twin::{Rejection, TwinKey, Value, View};
use tokio::time::sleep;

use super::limits::{AGAIN_AFTER, CALL_TIME_MAX, PARTS_AT_ONCE, TRIES};
use super::part::{self, Part};
use super::record::{self, Kept, Progress, Record};
use crate::own;
use crate::router::{Call, Router};

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    router: Router,
}

impl Store {
    pub(crate) const fn new(router: Router) -> Self {
        Self { router }
    }

    pub(crate) async fn job(&self, tenant: &str, name: &str) -> Result<Kept, Rejection> {
        let view = self.view(record::key(tenant, name)?).await?;
        Kept::read(&view).ok_or(Rejection::NotFound)
    }

    /// Writes what is wished of a job over the version that was read; gives the new one.
    pub(crate) async fn write_record(
        &self,
        record: &Record,
        content: Value,
        expected: u64,
    ) -> Result<u64, Rejection> {
        let key = record::key(&record.tenant, &record.name)?;
        self.write(key, Section::Tags, content, expected).await
    }

    /// Writes how far a job is over the version that was read; gives the new one.
    pub(super) async fn write_progress(
        &self,
        record: &Record,
        progress: &Progress,
        expected: u64,
    ) -> Result<u64, Rejection> {
        let key = record::key(&record.tenant, &record.name)?;
        self.write_again(key, Section::Desired, progress.to_value(record.run), expected).await
    }

    pub(crate) async fn part(&self, record: &Record, id: u32) -> Result<Part, Rejection> {
        let key = part::key(&record.tenant, &record.name, id)?;
        match self.view(key).await {
            Ok(view) => {
                let part = Part::read(&record.tenant, record.run, &view);
                Ok(part.unwrap_or_else(|| Part::unreadable(&view)))
            }
            Err(Rejection::NotFound) => Ok(Part::default()),
            Err(rejection) => Err(rejection),
        }
    }

    /// Writes which devices are in a part, unless a later turn did.
    pub(super) async fn write_names(
        &self,
        record: &Record,
        turn: u64,
        id: u32,
        keys: &[TwinKey],
    ) -> Result<(), Rejection> {
        let before = self.part(record, id).await?;
        if before.turn > turn {
            return Err(Rejection::VersionMismatch {
                section: None,
                expected: turn,
                actual: before.turn,
            });
        }
        let key = part::key(&record.tenant, &record.name, id)?;
        let names = part::names(record.run, turn, keys);
        self.write_again(key, Section::Tags, names, before.names_version).await.map(drop)
    }

    /// Writes where a part's devices stand over the version that was read; gives the new one.
    pub(super) async fn write_states(
        &self,
        record: &Record,
        id: u32,
        states: Value,
        expected: u64,
    ) -> Result<u64, Rejection> {
        let key = part::key(&record.tenant, &record.name, id)?;
        self.write_again(key, Section::Desired, states, expected).await
    }

    /// Whether no later turn has the job, as its twin's owner knows it.
    pub(super) async fn still(&self, record: &Record, turn: u64) -> Result<(), Rejection> {
        let view = self.view(record::key(&record.tenant, &record.name)?).await?;
        let number = |name: &str| view.desired.value.get(name).and_then(Value::as_u64);
        let actual = number("turn").unwrap_or(u64::MAX);
        if number("run") == Some(record.run) && actual <= turn {
            return Ok(());
        }
        Err(Rejection::VersionMismatch { section: None, expected: turn, actual })
    }

    /// Forgets a job that is over, with its parts; what others made under its name meanwhile stays.
    pub(crate) async fn forget(&self, kept: &Kept) -> Result<(), Rejection> {
        let record = &kept.record;
        let parts = stream::iter(0..kept.progress.parts)
            .map(Ok)
            .try_for_each_concurrent(PARTS_AT_ONCE, |id| self.forget_part(record, id));
        parts.await?;
        let key = record::key(&record.tenant, &record.name)?;
        let now = match self.view(key.clone()).await {
            Ok(view) => view,
            Err(Rejection::NotFound) => return Ok(()),
            Err(rejection) => return Err(rejection),
        };
        match Kept::read(&now) {
            Some(again) if again.record.run == record.run => self.delete(key, now.version).await,
            _ => Ok(()),
        }
    }

    pub(super) async fn forget_part(&self, record: &Record, id: u32) -> Result<(), Rejection> {
        let key = part::key(&record.tenant, &record.name, id)?;
        let view = match self.view(key.clone()).await {
            Ok(view) => view,
            Err(Rejection::NotFound) => return Ok(()),
            Err(rejection) => return Err(rejection),
        };
        match Part::read(&record.tenant, record.run, &view) {
            Some(part) if part.keys.is_empty() => Ok(()),
            _ => self.delete(key, view.version).await,
        }
    }

    async fn delete(&self, key: TwinKey, version: u64) -> Result<(), Rejection> {
        match self.call(key, Request::Delete { expected: Some(version) }).await {
            Ok(_) | Err(Rejection::NotFound) => Ok(()),
            Err(rejection) => Err(rejection),
        }
    }

    async fn view(&self, key: TwinKey) -> Result<View, Rejection> {
        match self.call(key, Request::Get).await? {
            Answer::Twin(view) => Ok(*view),
            other => Err(unexpected(&other)),
        }
    }

    async fn write(
        &self,
        key: TwinKey,
        section: Section,
        patch: Value,
        expected: u64,
    ) -> Result<u64, Rejection> {
        let expected = Some(expected);
        match self.call(key, Request::Patch { section, patch, whole: true, expected }).await? {
            Answer::Written { version, .. } => Ok(version),
            other => Err(unexpected(&other)),
        }
    }

    /// Writes over the same version again while that had no effect: a round is not begun again for a moment's load.
    async fn write_again(
        &self,
        key: TwinKey,
        section: Section,
        patch: Value,
        expected: u64,
    ) -> Result<u64, Rejection> {
        for _ in 1..TRIES {
            match self.write(key.clone(), section, patch.clone(), expected).await {
                Err(Rejection::Overloaded { .. } | Rejection::NotOwner | Rejection::OutOfSpace) => {
                    sleep(AGAIN_AFTER).await
                }
                written => return written,
            }
        }
        self.write(key, section, patch, expected).await
    }

    async fn call(&self, key: TwinKey, request: Request) -> Result<Answer, Rejection> {
        let (caller, timeout) = (own::CALLER.to_owned(), CALL_TIME_MAX);
        self.router.call(Call { key, caller, idempotency_key: None, request, timeout }).await
    }
}

fn unexpected(answer: &Answer) -> Rejection {
    tracing::error!(?answer, "a twin of a job answered something else than it was asked");
    Rejection::Unknown
}
