//! One round of carrying a job out: a machine, and everything that it has done at once. Calls, looks and writes come
//! back as events, what twins do is heard from a watch, and how far it is is told now and then.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use pollux_twin::{Rejection, TwinKey};
use tokio::time::sleep;

use super::act::Acting;
use super::limits::{LOOK_EVERY, LOOKS_MAX, TOLD_EVERY};
use super::listen::{Listener, News};
use super::machine::{End, Finish, Input, Machine, Mode, Output, Place, Reply, Sight};
use super::part::{self, Part};
use super::record::{Kept, Phase, Progress, Record, Wish};
use super::runner::{Runner, Stopped};

/// What comes back.
enum Event {
    Loaded(u32, Result<Part, Rejection>),
    Written(u32, Result<u64, Rejection>),
    Answered(Place, u32, Reply),
    Looked(Place, Vec<Sight>),
    Told(Result<u64, Rejection>),
}

/// How a device is looked at.
#[derive(Clone, Copy)]
enum Look {
    Only,
    /// Its command is withdrawn, if that still goes.
    Withdrawing,
}

/// A part that is open: its devices, and the version that the next write must meet.
struct Open {
    keys: Vec<TwinKey>,
    version: u64,
}

/// See the module.
pub(super) struct Round<'r> {
    runner: &'r Runner,
    kept: Kept,
    record: Arc<Record>,
    machine: Machine,
    acting: Arc<Acting>,
    /// Hears what twins of the tenant do, if that is of interest.
    listener: Option<Listener>,
    open: BTreeMap<u32, Open>,
    places: HashMap<TwinKey, Place>,
    events: FuturesUnordered<BoxFuture<'static, Event>>,
    /// Looks that wait for their turn.
    looks: VecDeque<(Place, Look)>,
    looking: usize,
    /// How far it is, as it was told last, and whether that is being written.
    told: Progress,
    telling: bool,
    tell_at_ms: u64,
    /// When to look for wishes, and whether the job is still this node's.
    look_at_ms: u64,
}

impl<'r> Round<'r> {
    pub(super) fn new(
        runner: &'r Runner,
        kept: Kept,
        record: Arc<Record>,
        machine: Machine,
        acting: Arc<Acting>,
    ) -> Self {
        let listener = match machine.finish() {
            Finish::Taken => None,
            Finish::Acknowledged | Finish::Answered => {
                let router = runner.office.router.clone();
                Some(Listener::open(router, &record.tenant, Arc::clone(&acting)))
            }
        };
        Self {
            runner,
            told: kept.progress.clone(),
            kept,
            record,
            machine,
            acting,
            listener,
            open: BTreeMap::new(),
            places: HashMap::new(),
            events: FuturesUnordered::new(),
            looks: VecDeque::new(),
            looking: 0,
            telling: false,
            tell_at_ms: 0,
            look_at_ms: 0,
        }
    }

    /// Goes on until the job is over.
    pub(super) async fn run(mut self) -> Result<(), Stopped> {
        loop {
            while let Some(output) = self.machine.poll_output() {
                match output {
                    Output::Over { end } => return self.over(end).await,
                    output => self.carry_out(output),
                }
            }
            self.look();
            self.tell();
            let now_ms = self.now_ms();
            let due_ms = self.machine.next_deadline().unwrap_or(u64::MAX).min(self.look_at_ms);
            if due_ms <= now_ms {
                self.due(now_ms)?;
                continue;
            }
            let wait = Duration::from_millis(due_ms - now_ms).min(LOOK_EVERY);
            tokio::select! {
                Some(event) = self.events.next() => self.happened(event).await?,
                news = heard(&mut self.listener) => match news {
                    Some(news) => self.hear(news),
                    // The node stops.
                    None => return Err(Stopped::Failed(Rejection::NotOwner)),
                },
                () = sleep(wait) => {}
            }
        }
    }

    fn now_ms(&self) -> u64 {
        self.acting.now_ms()
    }

    /// What is due is done, and what is wished is looked at.
    fn due(&mut self, now_ms: u64) -> Result<(), Stopped> {
        self.machine.handle_deadline(now_ms);
        if now_ms < self.look_at_ms {
            return Ok(());
        }
        self.look_at_ms = after(now_ms, LOOK_EVERY);
        if !self.runner.is_here() {
            return Err(Stopped::Done);
        }
        let Some(view) = self.runner.view() else { return Err(Stopped::Done) };
        let (record, progress) = (view.tags.version, view.desired.version);
        // Its owner's own writes change nothing of what is wished.
        if record == self.kept.record_version && progress == self.kept.progress_version {
            return Ok(());
        }
        let Some(seen) = Kept::read(&view) else { return Err(Stopped::Done) };
        if seen.progress.turn > self.kept.progress.turn {
            return Err(Stopped::Done);
        }
        if seen.record_version > self.kept.record_version {
            (self.kept.record, self.kept.record_version) = (seen.record, seen.record_version);
            let mode = match self.kept.record.wish {
                Wish::Run => Mode::Running,
                Wish::Pause => Mode::Paused,
                Wish::Cancel | Wish::Delete => Mode::Ending(End::Cancelled),
            };
            self.machine.handle(now_ms, Input::Wish(mode));
        }
        Ok(())
    }

    fn carry_out(&mut self, output: Output) {
        let store = self.runner.office.store.clone();
        let (record, acting) = (Arc::clone(&self.record), Arc::clone(&self.acting));
        let event = match output {
            Output::Load { part } => {
                async move { Event::Loaded(part, store.part(&record, part).await) }.boxed()
            }
            Output::Write { part } => {
                let Some(Open { version, .. }) = self.open.get(&part) else { return };
                let (version, turn) = (*version, self.kept.progress.turn);
                let states = part::states(record.run, turn, self.machine.targets(part));
                let write = async move {
                    let written = store.write_states(&record, part, states, version).await?;
                    // No later owner may have ended or paused the job when calls follow from this.
                    store.still(&record, turn).await?;
                    Ok(written)
                };
                write.map(move |written| Event::Written(part, written)).boxed()
            }
            Output::Send { place, attempt } => {
                let Some((key, marked_ms)) = self.marked(place) else { return };
                async move {
                    Event::Answered(place, attempt, acting.send(key, attempt, marked_ms).await)
                }
                .boxed()
            }
            Output::Look { place } => return self.looks.push_back((place, Look::Only)),
            Output::Withdraw { place } => return self.looks.push_back((place, Look::Withdrawing)),
            Output::Close { part } => {
                if let Some(Open { keys, .. }) = self.open.remove(&part) {
                    for key in &keys {
                        self.places.remove(key);
                    }
                }
                return;
            }
            Output::Over { .. } => return,
        };
        self.events.push(event);
    }

    fn key(&self, (part, n): Place) -> Option<TwinKey> {
        self.open.get(&part)?.keys.get(usize::from(n)).cloned()
    }

    fn marked(&self, place: Place) -> Option<(TwinKey, u64)> {
        Some((self.key(place)?, self.machine.target(place)?.at_ms))
    }

    /// Looks at as many devices as may be looked at.
    fn look(&mut self) {
        while self.looking < LOOKS_MAX {
            let Some((place, how)) = self.looks.pop_front() else { return };
            let (Some(key), Some(target)) = (self.key(place), self.machine.target(place)) else {
                continue;
            };
            let (acting, target) = (Arc::clone(&self.acting), target.clone());
            let look = async move {
                let sights = match how {
                    Look::Only => acting.look(key, target).await,
                    Look::Withdrawing => acting.withdraw(key, target).await,
                };
                Event::Looked(place, sights)
            };
            self.events.push(look.boxed());
            self.looking += 1;
        }
    }

    async fn happened(&mut self, event: Event) -> Result<(), Stopped> {
        let now_ms = self.now_ms();
        match event {
            Event::Loaded(id, part) => self.loaded(now_ms, id, part?)?,
            Event::Written(id, written) => {
                let turn = self.kept.progress.turn;
                let version = self.runner.unless_taken_over(turn, written).await?;
                if let Some(open) = self.open.get_mut(&id) {
                    open.version = version;
                }
                self.machine.handle(now_ms, Input::Written { part: id });
            }
            Event::Answered(place, attempt, reply) => {
                self.machine.handle(now_ms, Input::Answered { place, attempt, reply });
            }
            Event::Looked(place, sights) => {
                self.looking -= 1;
                self.see(now_ms, place, sights);
            }
            Event::Told(written) => {
                self.telling = false;
                let turn = self.kept.progress.turn;
                self.kept.progress_version = self.runner.unless_taken_over(turn, written).await?;
            }
        }
        Ok(())
    }

    fn see(&mut self, now_ms: u64, place: Place, sights: Vec<Sight>) {
        for sight in sights {
            self.machine.handle(now_ms, Input::Seen { place, sight });
        }
    }

    fn loaded(&mut self, now_ms: u64, id: u32, part: Part) -> Result<(), Stopped> {
        let Part { keys, targets, turn, states_version, .. } = part;
        if turn > self.kept.progress.turn {
            return Err(Stopped::Done);
        }
        if keys.is_empty() {
            tracing::error!(job = %self.runner.key, part = id, "a part of a job is missing");
            let reason = format!("part {id} of its devices is missing or cannot be read");
            return Err(Stopped::Broken(reason));
        }
        for (n, key) in (0u16..).zip(&keys) {
            self.places.insert(key.clone(), (id, n));
        }
        self.open.insert(id, Open { keys, version: states_version });
        self.machine.handle(now_ms, Input::Loaded { part: id, targets });
        Ok(())
    }

    fn hear(&mut self, news: News) {
        let now_ms = self.now_ms();
        match news {
            News::Seen(key, sight) => {
                if let Some(place) = self.places.get(&key).copied() {
                    self.machine.handle(now_ms, Input::Seen { place, sight });
                }
            }
            News::Missed => self.machine.handle(now_ms, Input::Missed),
        }
    }

    /// How far the job is now.
    fn progress(&self) -> Progress {
        let mut progress = self.kept.progress.clone();
        if let Some(totals) = self.machine.totals() {
            progress.totals = totals;
        }
        (progress.phase, progress.reason) = match self.machine.mode() {
            Mode::Running | Mode::Paused => (Phase::Running, String::new()),
            Mode::Ending(End::Aborted) => (Phase::Aborting, self.why_aborted(&progress)),
            Mode::Ending(End::Cancelled | End::Finished) => (Phase::Cancelling, String::new()),
        };
        progress
    }

    fn why_aborted(&self, progress: &Progress) -> String {
        let (totals, percent) = (progress.totals, self.record.spec.abort_above_percent);
        format!(
            "{} of {} devices that are over failed or are unknown, and more than {} % may not",
            totals.failed + totals.unknown,
            totals.over(),
            percent.unwrap_or_default()
        )
    }

    /// Tells how far it is, if it is time and that has changed.
    fn tell(&mut self) {
        let now_ms = self.now_ms();
        if self.telling || now_ms < self.tell_at_ms {
            return;
        }
        let progress = self.progress();
        self.tell_at_ms = after(now_ms, TOLD_EVERY);
        if progress == self.told {
            return;
        }
        self.told = progress.clone();
        self.telling = true;
        let (store, record) = (self.runner.office.store.clone(), Arc::clone(&self.record));
        let version = self.kept.progress_version;
        let tell =
            async move { Event::Told(store.write_progress(&record, &progress, version).await) };
        self.events.push(tell.boxed());
    }

    /// All is written but that it is over.
    async fn over(mut self, end: End) -> Result<(), Stopped> {
        while self.telling {
            match self.events.next().await {
                Some(Event::Told(written)) => {
                    self.telling = false;
                    let turn = self.kept.progress.turn;
                    let version = self.runner.unless_taken_over(turn, written).await?;
                    self.kept.progress_version = version;
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut kept = self.kept.clone();
        kept.progress = self.progress();
        let (phase, reason) = match end {
            End::Finished => (Phase::Finished, String::new()),
            End::Aborted => (Phase::Aborted, kept.progress.reason.clone()),
            End::Cancelled => (Phase::Cancelled, String::new()),
        };
        self.runner.end(&mut kept, phase, &reason).await
    }
}

fn after(now_ms: u64, wait: Duration) -> u64 {
    now_ms.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

/// What is heard next; nothing where nobody listens.
async fn heard(listener: &mut Option<Listener>) -> Option<News> {
    match listener {
        Some(listener) => listener.next().await,
        None => std::future::pending().await,
    }
}
