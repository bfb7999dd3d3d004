//! Jobs as both doors have them: who may, what is asked, and how far they are. They are carried out by jobs/.

use pollux_cluster::access::{Action, On};
use pollux_cluster::meta::CONTROL_LEVEL;
use pollux_proto::v1::job_spec::Whose as Selected;
use pollux_proto::{convert, v1};
use pollux_twin::id::DEFAULT_TENANT;
use pollux_twin::{Rejection, TwinKey};

use super::desk::{Desk, reason};
use super::limits::{JOB_PAGE, JOB_PAGE_MAX, PAGE_PART};
use crate::access::Caller;
use crate::cluster::ControlFault;
use crate::jobs::limits::{JOBS_MAX, PARTS_READ_MAX, TRIES};
use crate::jobs::{self, Kept, Record, State, Store, Target, Whose, Wish};
use crate::own::RESERVED;
use crate::router::Scope;

impl Desk {
    fn jobs(&self) -> Store {
        Store::new(self.router.clone())
    }

    /// Makes a job, if there is none of its name.
    pub(super) async fn create_job(
        &self,
        caller: &Caller,
        asked: v1::CreateJobRequest,
    ) -> Result<Kept, Rejection> {
        self.router.must_have(CONTROL_LEVEL)?;
        let tenant = tenant_of(&asked.tenant).to_owned();
        if tenant == RESERVED {
            let reason = format!("tenant {tenant} is Pollux's own; use another");
            return Err(Rejection::Invalid { reason });
        }
        let mut spec = asked.spec.unwrap_or_default();
        if let Some(Selected::Fleet(fleet)) = &mut spec.whose {
            fleet.filter = self.with_groups(&tenant, &fleet.filter)?;
        }
        self.fill_in(caller, &tenant, &mut spec).await?;
        let now_ms = self.clock.wall().ms;
        let record = Record {
            tenant,
            name: asked.name,
            spec: jobs::plain(&spec, &self.json)?,
            by: caller.name.clone(),
            proven: caller.is_proven(),
            created_ms: now_ms,
            // In the order in which they are made, and none like another's.
            run: (now_ms << 10) | u64::from(rand::random::<u16>() >> 6),
            wish: Wish::Run,
        };
        let plan = record.plan(&self.json)?;
        jobs::check_names(&record.tenant, &record.name)?;
        self.may_steer(caller, Action::JobManage, &record)?;
        let whose = plan.whose.narrowed(&record.tenant, |scope, filter| {
            self.doorman.narrow(caller, Action::TwinQuery, scope, filter)
        })?;
        match self.jobs().job(&record.tenant, &record.name).await {
            Ok(kept) => return the_same(kept, &record),
            Err(Rejection::NotFound) => {}
            Err(rejection) => return Err(rejection),
        }
        plan.check_start(record.created_ms)?;
        self.check_selector(&record, &whose).await?;
        self.announce(&record).await?;
        let content = record.to_value(&self.json)?;
        let (jobs, on) = (self.jobs(), on(&record));
        let made = async { jobs.write_record(&record, content, 0).await };
        match self.told(caller, "job create", on, made).await {
            Err(mismatch @ Rejection::VersionMismatch { .. }) => {
                let kept = self.jobs().job(&record.tenant, &record.name).await;
                kept.map_err(|_| mismatch).and_then(|kept| the_same(kept, &record))
            }
            made => {
                made?;
                self.jobs().job(&record.tenant, &record.name).await
            }
        }
    }

    async fn check_selector(&self, record: &Record, whose: &Whose) -> Result<(), Rejection> {
        let now = self.clock.wall();
        let count = jobs::count(&self.router, now, &record.tenant, whose).await?;
        jobs::check_count(count)?;
        let scope = jobs::all(&record.tenant);
        let others = self.kept_jobs(&scope).await?;
        if others.iter().filter(|one| one.record.tenant == record.tenant).count() >= JOBS_MAX {
            let max = u32::try_from(JOBS_MAX).unwrap_or(u32::MAX);
            return Err(Rejection::TooMany { what: "jobs of a tenant".into(), max });
        }
        Ok(())
    }

    pub(super) async fn job(
        &self,
        caller: &Caller,
        tenant: &str,
        name: &str,
    ) -> Result<Kept, Rejection> {
        let kept = self.jobs().job(tenant_of(tenant), name).await?;
        self.may_steer(caller, Action::JobRead, &kept.record)?;
        Ok(kept)
    }

    /// A page of the jobs of a tenant that the caller may read, by name, and the name to go on after.
    pub(super) async fn list_jobs(
        &self,
        caller: &Caller,
        asked: &v1::ListJobsRequest,
    ) -> Result<(Vec<Kept>, String), Rejection> {
        let tenant = tenant_of(&asked.tenant);
        let scope = jobs::all(tenant);
        let mut after = match asked.page_token.as_str() {
            "" => None,
            token => Some(jobs::key_of(tenant, token).map_err(|_| {
                let reason =
                    "page_token: not one that a list gave; leave it empty to begin".to_owned();
                Rejection::Invalid { reason }
            })?),
        };
        let most = match asked.page_size {
            0 => JOBS_MAX,
            size => size as usize,
        };
        let stand = self.stand(&scope, &convert::Freshness::default(), None).await?;
        let mut found = Vec::new();
        loop {
            let reached = &stand.position.shards;
            let part = self.router.list(&scope, after.as_ref(), PAGE_PART, reached).await?;
            let ended = part.next.is_none();
            for kept in part.items.iter().filter_map(|(_, view)| Kept::read(view)) {
                let record = &kept.record;
                // Names of another tenant may begin like those of this one.
                let shows = record.tenant == tenant
                    && self.may_steer(caller, Action::JobRead, record).is_ok();
                if shows && found.len() == most {
                    let last: &Kept = &found[most - 1];
                    let next = last.record.name.clone();
                    return Ok((found, next));
                }
                found.extend(shows.then_some(kept));
            }
            if ended {
                return Ok((found, String::new()));
            }
            after = part.next;
        }
    }

    pub(super) async fn kept_jobs(&self, scope: &Scope) -> Result<Vec<Kept>, Rejection> {
        let stand = self.stand(scope, &convert::Freshness::default(), None).await?;
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let reached = &stand.position.shards;
            let part = self.router.list(scope, after.as_ref(), PAGE_PART, reached).await?;
            found.extend(part.items.iter().filter_map(|(_, view)| Kept::read(view)));
            match part.next {
                Some(next) => after = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// Has something else wished of a job that is not over.
    pub(super) async fn wish_of_job(
        &self,
        caller: &Caller,
        asked: &v1::GetJobRequest,
        wish: Wish,
    ) -> Result<Kept, Rejection> {
        let mut mismatch = Rejection::NotOwner;
        for _ in 0..TRIES {
            let mut kept = self.jobs().job(tenant_of(&asked.tenant), &asked.name).await?;
            self.may_steer(caller, Action::JobManage, &kept.record)?;
            check_wish(&kept, wish)?;
            if kept.record.wish == wish {
                return Ok(kept);
            }
            kept.record.wish = wish;
            let what = match wish {
                Wish::Run => "job resume",
                Wish::Pause => "job pause",
                Wish::Cancel => "job cancel",
                Wish::Delete => "job delete",
            };
            let (store, content) = (self.jobs(), kept.record.kept_value()?);
            let written = store.write_record(&kept.record, content, kept.record_version);
            match self.told(caller, what, on(&kept.record), written).await {
                Err(raced @ Rejection::VersionMismatch { .. }) => mismatch = raced,
                Ok(version) => {
                    kept.record_version = version;
                    return Ok(kept);
                }
                Err(rejection) => return Err(rejection),
            }
        }
        Err(mismatch)
    }

    /// Forgets a job that is over. Should this node be lost meanwhile, its owner goes on.
    pub(super) async fn delete_job(
        &self,
        caller: &Caller,
        asked: &v1::GetJobRequest,
    ) -> Result<(), Rejection> {
        let kept = self.wish_of_job(caller, asked, Wish::Delete).await?;
        match self.jobs().forget(&kept).await {
            // The owner of its twin was faster.
            Err(Rejection::VersionMismatch { .. }) => self.jobs().forget(&kept).await,
            forgotten => forgotten,
        }
    }

    /// A page of a job's devices in a state, or in any; and where the next one begins.
    pub(super) async fn job_devices(
        &self,
        caller: &Caller,
        asked: &v1::ListJobDevicesRequest,
    ) -> Result<v1::ListJobDevicesResponse, Rejection> {
        let wanted = v1::JobDeviceState::try_from(asked.state).map_err(|_| {
            let reason = format!("state: {} is none; leave it out for all", asked.state);
            Rejection::Invalid { reason }
        })?;
        let size = match asked.page_size as usize {
            0 => JOB_PAGE,
            size => size.min(JOB_PAGE_MAX),
        };
        let token = page_token(&asked.page_token)?;
        let kept = self.job(caller, &asked.tenant, &asked.name).await?;
        let run = kept.record.run;
        let (mut part, mut n) = match token {
            None => (0, 0),
            Some((of, part, n)) if of == run => (part, n),
            Some(_) => return Err(not_a_token("of a job that had this name before")),
        };
        let (mut devices, end) = (Vec::new(), part.saturating_add(PARTS_READ_MAX));
        while part < kept.progress.parts {
            if part == end {
                let next_page_token = format!("{run:x}.{part}.0");
                return Ok(v1::ListJobDevicesResponse { devices, next_page_token });
            }
            let read = self.jobs().part(&kept.record, part).await?;
            for (key, target) in read.keys.iter().zip(&read.targets).skip(n) {
                n += 1;
                let device = device(key, target);
                if wanted == v1::JobDeviceState::Unspecified || device.state() == wanted {
                    devices.push(device);
                }
                if devices.len() == size {
                    let next_page_token = format!("{run:x}.{part}.{n}");
                    return Ok(v1::ListJobDevicesResponse { devices, next_page_token });
                }
            }
            (part, n) = (part + 1, 0);
        }
        Ok(v1::ListJobDevicesResponse { devices, next_page_token: String::new() })
    }

    /// Whether the caller may do something with a job: to all whom it selects.
    fn may_steer(&self, caller: &Caller, action: Action, record: &Record) -> Result<(), Rejection> {
        let tenant = record.tenant.as_str();
        let (prefix, filter) = match &record.spec.whose {
            Some(Selected::Devices(listed)) => {
                return listed.devices.iter().try_for_each(|device| {
                    self.doorman.check(caller, action, On::Twin { tenant, device })
                });
            }
            Some(Selected::Fleet(fleet)) => (fleet.prefix.as_str(), fleet.filter.as_str()),
            None => ("", ""),
        };
        let scope = Scope::Prefix { tenant: tenant.to_owned(), prefix: prefix.to_owned() };
        self.doorman.check_matching(caller, action, &scope, filter)
    }

    /// Does something that the audit shall show.
    async fn told<T>(
        &self,
        caller: &Caller,
        what: &str,
        on: String,
        done: impl Future<Output = Result<T, Rejection>>,
    ) -> Result<T, Rejection> {
        let mut outcome = None;
        let audited = async {
            let result = done.await;
            let told = match &result {
                Ok(_) => Ok(()),
                Err(rejection) => Err(ControlFault::Invalid(reason(rejection).to_owned())),
            };
            outcome = Some(result);
            told
        };
        let audited = self.control.audited(caller, what, on, audited).await;
        match (outcome, audited) {
            (Some(outcome), _) => outcome,
            // It could not be written down, and was not done.
            (None, _) => Err(Rejection::NotOwner),
        }
    }
}

fn tenant_of(tenant: &str) -> &str {
    if tenant.is_empty() { DEFAULT_TENANT } else { tenant }
}

fn on(record: &Record) -> String {
    format!("{}/{}", record.tenant, record.name)
}

/// One of the same name that is about the same is the one that was asked for.
fn the_same(kept: Kept, asked: &Record) -> Result<Kept, Rejection> {
    if kept.record.spec == asked.spec && kept.record.by == asked.by {
        return Ok(kept);
    }
    let actual = kept.record_version;
    Err(Rejection::VersionMismatch { section: None, expected: 0, actual })
}

fn check_wish(kept: &Kept, wish: Wish) -> Result<(), Rejection> {
    let state = convert::job_state_name(kept.state());
    let refused = |reason: String| Err(Rejection::Invalid { reason });
    match wish {
        Wish::Delete if !kept.is_over() => {
            refused(format!("job is {state}: cancel it first, or wait until it is over"))
        }
        Wish::Delete => Ok(()),
        _ if kept.is_over() => refused(format!("job is {state}: nothing more happens to it")),
        Wish::Run | Wish::Pause if kept.record.wish == Wish::Cancel => {
            refused("job is being cancelled, which is not undone: make another".to_owned())
        }
        _ => Ok(()),
    }
}

/// The job's run, the part, and the place in it, at which a page begins.
fn page_token(text: &str) -> Result<Option<(u64, u32, usize)>, Rejection> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut items = text.splitn(3, '.');
    let parsed = (|| {
        let run = u64::from_str_radix(items.next()?, 16).ok()?;
        let part = items.next()?.parse::<u32>().ok()?;
        Some((run, part, usize::from(items.next()?.parse::<u16>().ok()?)))
    })();
    parsed.map(Some).ok_or_else(|| not_a_token("not one that a page gave"))
}

fn not_a_token(what: &str) -> Rejection {
    Rejection::Invalid { reason: format!("page_token: {what}; leave it empty to begin") }
}

fn device(key: &TwinKey, target: &Target) -> v1::JobDevice {
    let state = match target.state {
        State::Waiting => v1::JobDeviceState::Waiting,
        State::Sending | State::Sent => v1::JobDeviceState::UnderWay,
        State::Done => v1::JobDeviceState::Done,
        State::Failed => v1::JobDeviceState::Failed,
        State::Unknown => v1::JobDeviceState::Unknown,
        State::Cancelled => v1::JobDeviceState::Cancelled,
    };
    v1::JobDevice {
        device: key.device().to_owned(),
        state: state.into(),
        attempts: target.attempt,
        at_ms: target.at_ms,
        number: target.number,
        reason: target.reason.clone(),
    }
}
