//! Carries one job out at the node that owns its twin: takes it over, lists its devices when it starts, and does what
//! its machine says. Decides nothing; whatever fails, it begins again from what was written, and ends where another
//! node has the job or nothing is left to do.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use pollux_cluster::access::Action;
use pollux_twin::{Rejection, ShardId, Time, TwinKey, View};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::act::Acting;
use super::limits::{AGAIN_AFTER, JOBS_AT_ONCE, LOOK_EVERY, PARTS_AT_ONCE};
use super::machine::{End, Machine, Mode};
use super::part;
use super::plan::{Plan, Whose};
use super::record::{Kept, Phase, Progress, Record, Wish};
use super::round::Round;
use super::select::{check_count, select};
use super::store::Store;
use crate::access::Doorman;
use crate::clock::Clock;
use crate::cluster::Owner;
use crate::router::Router;

/// What carrying out jobs needs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Office {
    pub(super) router: Router,
    pub(super) doorman: Doorman,
    pub(super) clock: Clock,
    pub(super) store: Store,
    /// Those that may be carried out at once.
    pub(super) seats: Arc<Semaphore>,
}

impl Office {
    pub(crate) fn new(router: Router, doorman: Doorman) -> Self {
        let (clock, store) = (router.clock(), Store::new(router.clone()));
        Self { router, doorman, clock, store, seats: Arc::new(Semaphore::new(JOBS_AT_ONCE)) }
    }

    /// Whether this node owns a shard, as far as it knows.
    pub(super) fn is_here(&self, shard: ShardId) -> bool {
        let open = |owner| matches!(owner, Owner::Here(handle) if handle.is_open());
        open(self.router.owner(shard)) && !self.router.stopping().is_cancelled()
    }

    pub(super) fn now(&self) -> Time {
        self.clock.wall()
    }
}

/// Why a job is not carried out further.
#[derive(Debug)]
pub(super) enum Stopped {
    /// Another node carries it out, or nothing is left to do.
    Done,
    /// It can never go on, and why.
    Broken(String),
    /// Something failed: again from what was written.
    Failed(Rejection),
}

impl From<Rejection> for Stopped {
    fn from(rejection: Rejection) -> Self {
        Self::Failed(rejection)
    }
}

/// See the module.
pub(super) struct Runner {
    pub(super) office: Office,
    shard: ShardId,
    pub(super) key: TwinKey,
    tenant: String,
    name: String,
}

impl Runner {
    pub(super) fn new(office: Office, shard: ShardId, key: TwinKey, kept: &Kept) -> Self {
        let (tenant, name) = (kept.record.tenant.clone(), kept.record.name.clone());
        Self { office, shard, key, tenant, name }
    }

    /// Goes on until the job is over or another node's.
    pub(super) async fn run(self) {
        loop {
            let carried_out = match self.carry_out().await {
                Err(Stopped::Broken(reason)) => self.break_off(&reason).await,
                carried_out => carried_out,
            };
            match carried_out {
                Err(Stopped::Failed(rejection)) if self.is_here() => {
                    tracing::debug!(job = %self.key, ?rejection, "a job begins again from what was written");
                    sleep(AGAIN_AFTER).await;
                }
                Ok(()) | Err(_) => return,
            }
        }
    }

    /// Whether this node owns the job's twin.
    pub(super) fn is_here(&self) -> bool {
        self.office.is_here(self.shard)
    }

    /// A job that can never go on ends, and says why.
    async fn break_off(&self, reason: &str) -> Result<(), Stopped> {
        tracing::error!(job = %self.key, reason, "a job is broken off");
        let mut kept = self.office.store.job(&self.tenant, &self.name).await?;
        kept.progress.turn += 1;
        self.end(&mut kept, Phase::Aborted, reason).await
    }

    /// The job as this node's table has it: what is written to it is written here.
    pub(super) fn view(&self) -> Option<View> {
        self.office.router.shown(self.shard, 0)?.view(&self.key)
    }

    async fn carry_out(&self) -> Result<(), Stopped> {
        let mut kept = match self.office.store.job(&self.tenant, &self.name).await {
            Err(Rejection::NotFound) => return Err(Stopped::Done),
            kept => kept?,
        };
        if kept.is_over() {
            return Err(Stopped::Done);
        }
        let plan = match kept.record.kept_plan() {
            Err(Rejection::Invalid { reason }) => return Err(Stopped::Broken(reason)),
            plan => plan?,
        };
        let _seat;
        if matches!(kept.progress.phase, Phase::Scheduled | Phase::Selecting) {
            (kept, _seat) = self.start_is_due(kept, &plan).await?;
            kept.progress.turn += 1;
            self.begin(&mut kept, &plan).await?;
        } else {
            _seat = self.seat().await?;
            kept.progress.turn += 1;
            self.write(&mut kept).await?;
        }
        if kept.is_over() {
            return Err(Stopped::Done);
        }
        self.go_on(kept, plan).await
    }

    /// Waits until fewer jobs are carried out here than may be.
    async fn seat(&self) -> Result<OwnedSemaphorePermit, Stopped> {
        loop {
            match Arc::clone(&self.office.seats).try_acquire_owned() {
                Ok(seat) => return Ok(seat),
                Err(_) if !self.is_here() => return Err(Stopped::Done),
                Err(_) => sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Waits until a job is to start, and may; one that is cancelled before is over.
    async fn start_is_due(
        &self,
        mut kept: Kept,
        plan: &Plan,
    ) -> Result<(Kept, OwnedSemaphorePermit), Stopped> {
        loop {
            match kept.record.wish {
                Wish::Run if plan.start_at_ms <= self.office.now().ms => {
                    if let Ok(seat) = Arc::clone(&self.office.seats).try_acquire_owned() {
                        return Ok((kept, seat));
                    }
                }
                Wish::Run | Wish::Pause => {}
                Wish::Cancel | Wish::Delete => {
                    kept.progress.turn += 1;
                    self.end(&mut kept, Phase::Cancelled, "").await?;
                    return Err(Stopped::Done);
                }
            }
            sleep(LOOK_EVERY).await;
            if !self.is_here() {
                return Err(Stopped::Done);
            }
            let view = self.view().ok_or(Stopped::Done)?;
            if view.tags.version != kept.record_version {
                kept = Kept::read(&view).ok_or(Stopped::Done)?;
            }
        }
    }

    /// Lists the devices of a job that starts, as they are now.
    async fn begin(&self, kept: &mut Kept, plan: &Plan) -> Result<(), Stopped> {
        kept.progress.phase = Phase::Selecting;
        self.write(kept).await?;
        let Office { router, store, doorman, .. } = &self.office;
        let whose = match of_maker(doorman, &kept.record, &plan.whose) {
            Ok(whose) => whose,
            Err(rejection) => {
                let reason = pollux_proto::status::message(&rejection);
                self.end(kept, Phase::Aborted, &reason).await?;
                return Err(Stopped::Done);
            }
        };
        let asker = asker(router, &kept.record, &whose);
        let keys = select((router, &asker), self.office.now(), &self.tenant, &whose).await;
        let keys = match keys {
            Ok(keys) => keys,
            // It is the selector's fault, and not the moment's.
            Err(Rejection::Invalid { reason }) => {
                self.end(kept, Phase::Aborted, &reason).await?;
                return Err(Stopped::Done);
            }
            Err(rejection) => return Err(rejection.into()),
        };
        if check_count(keys.len() as u64).is_err() {
            self.end(kept, Phase::Finished, "the selector selected no device when it started")
                .await?;
            return Err(Stopped::Done);
        }
        let devices = keys.len() as u64;
        let parts = part::divide(keys);
        let (count, before) = (u32::try_from(parts.len()).unwrap_or(u32::MAX), kept.progress.parts);
        // Whatever becomes of this, all parts that were written are known.
        kept.progress.parts = count.max(before);
        self.write(kept).await?;
        let (record, turn) = (&kept.record, kept.progress.turn);
        let numbered = stream::iter((0u32..).zip(parts)).map(Ok);
        let written = numbered.try_for_each_concurrent(PARTS_AT_ONCE, |(id, keys)| async move {
            store.write_names(record, turn, id, &keys).await
        });
        written.await?;
        for surplus in count..before {
            store.forget_part(record, surplus).await?;
        }
        (kept.progress.parts, kept.progress.devices) = (count, devices);
        kept.progress.phase = Phase::Running;
        kept.progress.started_ms = self.office.now().ms;
        self.write(kept).await
    }

    async fn go_on(&self, kept: Kept, plan: Plan) -> Result<(), Stopped> {
        let Progress { devices, parts, phase, .. } = kept.progress;
        let mode = match (phase, kept.record.wish) {
            // What is cancelled is hastened, also where it is aborted already.
            (Phase::Cancelling, _) | (_, Wish::Cancel | Wish::Delete) => {
                Mode::Ending(End::Cancelled)
            }
            (Phase::Aborting, _) => Mode::Ending(End::Aborted),
            (_, Wish::Pause) => Mode::Paused,
            (_, Wish::Run) => Mode::Running,
        };
        let (record, rules) = (Arc::new(kept.record.clone()), plan.rules.clone());
        let acting = Acting::new(&self.office, self.shard, Arc::clone(&record), plan);
        let machine = Machine::new(acting.now_ms(), rules, devices, parts, mode);
        Round::new(self, kept, record, machine, Arc::new(acting)).run().await
    }

    /// Writes how far the job is, if nobody else did since it was read.
    async fn write(&self, kept: &mut Kept) -> Result<(), Stopped> {
        let store = &self.office.store;
        let written =
            store.write_progress(&kept.record, &kept.progress, kept.progress_version).await;
        kept.progress_version = self.unless_taken_over(kept.progress.turn, written).await?;
        Ok(())
    }

    /// The job is over.
    pub(super) async fn end(
        &self,
        kept: &mut Kept,
        phase: Phase,
        reason: &str,
    ) -> Result<(), Stopped> {
        kept.progress.phase = phase;
        reason.clone_into(&mut kept.progress.reason);
        kept.progress.ended_ms = self.office.now().ms;
        self.write(kept).await
    }

    /// A write that met another version: another node has the job, or this one wrote without knowing.
    pub(super) async fn unless_taken_over<T>(
        &self,
        turn: u64,
        written: Result<T, Rejection>,
    ) -> Result<T, Stopped> {
        match written {
            Err(mismatch @ Rejection::VersionMismatch { .. }) => {
                let now = self.office.store.job(&self.tenant, &self.name).await;
                match now {
                    Ok(now) if now.progress.turn <= turn => Err(Stopped::Failed(mismatch)),
                    Err(rejection) if rejection != Rejection::NotFound => Err(rejection.into()),
                    _ => Err(Stopped::Done),
                }
            }
            written => Ok(written?),
        }
    }
}

/// Whom a job selects of those whom its maker may still ask for.
fn of_maker(doorman: &Doorman, record: &Record, whose: &Whose) -> Result<Whose, Rejection> {
    if !record.proven {
        return Ok(whose.clone());
    }
    whose.narrowed(&record.tenant, |scope, filter| {
        doorman.narrow_for(&record.by, Action::TwinQuery, scope, filter)
    })
}

/// The way to the names of whom a job selects: where its filter says whom, other nodes check that its maker may ask for it.
fn asker(router: &Router, record: &Record, whose: &Whose) -> Router {
    match whose {
        Whose::Fleet { filter, .. } if record.proven && !filter.is_empty() => {
            router.on_behalf(&record.by)
        }
        _ => router.clone(),
    }
}
