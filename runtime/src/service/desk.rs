//! What both doors share: every call goes through here to the router, is counted and timed, and
//! finds its bounds.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use pollux_cluster::access::Action;
use pollux_cluster::meta::{CONTROL_LEVEL, MetaPicture, POLICY_FILTERS_LEVEL};
use pollux_proto::convert::{self, Page, Whose};
use pollux_proto::{status, v1};
use pollux_query::Filter;
use pollux_twin::input::Request;
use pollux_twin::output::Answer;
use pollux_twin::registration::RegistryRequest;
use pollux_twin::{JsonLimits, Rejection, TwinKey, View};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::Parts;
use super::limits::{
    IMPORTS_MAX, PAGE_BYTES_MAX, PAGE_PART, REQUEST_BYTES_MAX, WATCH_LOOK, WATCH_RETRY_MS,
    WATCHES_MAX,
};
use super::provision::Provisioning;
use super::stale::Stand;
use crate::access::{Caller, Doorman, Narrowed, Shows};
use crate::artifacts::Depot;
use crate::clock::Clock;
use crate::cluster::Control;
use crate::metrics::{Door, Method, Metrics};
use crate::own::is_reserved;
use crate::query::{Answer as Answered, Question};
use crate::router::{Call, Picture, Router, Scope, WatchItem};
use crate::watch::{InBatches, Watch};

/// The way of both doors to the twins. Cheap to clone.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) router: Router,
    pub(super) control: Control,
    pub(super) doorman: Doorman,
    pub(super) depot: Depot,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    watches: Arc<Semaphore>,
    pub(super) in_batches: Arc<InBatches>,
    imports: Arc<Semaphore>,
    pub(super) provisioning: Arc<Provisioning>,
    stopping: CancellationToken,
    /// Bounds of JSON in requests: twins take no deeper values, and check their bytes themselves.
    pub(super) json: JsonLimits,
}

impl Desk {
    pub(super) fn new(
        (router, control, doorman, depot, metrics): Parts,
        provisioning: Arc<Provisioning>,
        stopping: CancellationToken,
        depth_max: usize,
    ) -> Self {
        let watches = Arc::new(Semaphore::new(WATCHES_MAX));
        let imports = Arc::new(Semaphore::new(IMPORTS_MAX));
        let json = JsonLimits { bytes_max: REQUEST_BYTES_MAX, depth_max };
        Self {
            router,
            control,
            doorman,
            depot,
            metrics,
            clock: Clock::new(),
            watches,
            in_batches: Arc::default(),
            imports,
            provisioning,
            stopping,
            json,
        }
    }

    /// The way to the twins for a caller.
    pub(super) fn router_for(&self, caller: &Caller) -> Router {
        match caller.is_proven() {
            true => self.router.on_behalf(&caller.name),
            false => self.router.clone(),
        }
    }

    /// Carries out a call, counts how it ended (`code` names a refusal) and how long it took.
    pub(super) async fn measured<T, E>(
        &self,
        door: Door,
        method: Method,
        code: impl FnOnce(&E) -> &'static str,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let began = self.clock.elapsed();
        let result = call.await;
        let took = self.clock.elapsed().saturating_sub(began);
        self.metrics.call_seconds.of(method.name()).observe(took);
        match &result {
            Ok(_) => self.metrics.calls_total.record(door, method, "ok"),
            Err(error) => {
                let reason = code(error);
                self.metrics.calls_total.record(door, method, reason);
                self.metrics.rejections_total.of(reason).inc();
                tracing::debug!(method = method.name(), reason, "call refused");
            }
        }
        result
    }

    /// One call to one twin. Who waits for the end of a command is not waited for when the node
    /// stops: the command stays, and can be asked about.
    pub(super) async fn call(&self, caller: &Caller, mut call: Call) -> Result<Answer, Rejection> {
        self.may_come(caller, &mut call)?;
        let router = self.router_for(caller);
        if let Request::Delete { expected } = call.request {
            // A cluster that knows the registry keeps what is deleted for a while.
            if self.router.level() >= CONTROL_LEVEL {
                call.request = Request::Registry(Box::new(RegistryRequest::Delete { expected }));
            }
            return self.delete(caller, &router, call).await;
        }
        if !matches!(call.request, Request::Command { wait: true, .. }) {
            return router.call(call).await;
        }
        tokio::select! {
            result = router.call(call) => result,
            () = self.stopping.cancelled() => Err(Rejection::Unknown),
        }
    }

    /// Whether the call may go to its twin.
    pub(super) fn may_come(&self, caller: &Caller, call: &mut Call) -> Result<(), Rejection> {
        if is_reserved(&call.key) && !call.is_read() {
            let reason = format!("tenant {} is Pollux's own; use another", call.key.tenant());
            return Err(Rejection::Invalid { reason });
        }
        self.doorman.check_call(caller, &call.key, &call.request)?;
        self.name_in(call)
    }

    /// A deletion is told.
    async fn delete(
        &self,
        caller: &Caller,
        router: &Router,
        call: Call,
    ) -> Result<Answer, Rejection> {
        let on = call.key.clone();
        let answer = router.call(call).await;
        let from = caller.from.map(|from| from.to_string()).unwrap_or_default();
        let result = answer.as_ref().map_or_else(reason, |_| "done");
        tracing::info!(
            target: "pollux::audit",
            who = &*caller.name, via = %caller.proof, from, what = "twin delete", on = %on, result,
            "audited"
        );
        answer
    }

    /// A page of a list, each twin turned by `show` into what goes out and its bytes; ends early
    /// where it would get too large. With it come the key to go on after, and what it stands for.
    pub(super) async fn list<T>(
        &self,
        caller: &Caller,
        page: &Page,
        mut show: impl FnMut(&TwinKey, &View) -> (T, usize),
    ) -> Result<(Vec<T>, Option<TwinKey>, Stand), Rejection> {
        let scope =
            Scope::Prefix { tenant: page.tenant.as_str().to_owned(), prefix: page.prefix.clone() };
        self.doorman.check_scope(caller, Action::TwinRead, &scope)?;
        let router = self.router_for(caller);
        let stand = self.stand(&scope, &page.fresh, None).await?;
        let mut shown = Vec::new();
        let mut bytes = 0;
        let mut after = page.after.clone();
        loop {
            let limit = (page.size - shown.len()).clamp(1, PAGE_PART);
            let part = router.list(&scope, after.as_ref(), limit, &stand.position.shards).await?;
            let count = part.items.len();
            for (n, (key, view)) in part.items.into_iter().enumerate() {
                let (item, weight) = show(&key, &view);
                shown.push(item);
                bytes += weight;
                if bytes >= PAGE_BYTES_MAX {
                    let next = if n + 1 < count { Some(key) } else { part.next };
                    return Ok((shown, next, stand));
                }
            }
            match part.next {
                Some(next) if shown.len() < page.size => after = Some(next),
                next => return Ok((shown, next, stand)),
            }
        }
    }

    /// What a query finds.
    pub(super) async fn query(
        &self,
        caller: &Caller,
        request: &v1::QueryRequest,
    ) -> Result<Answered, Rejection> {
        let filter = |tenant: &str| self.with_groups(tenant, &request.filter);
        let question = Question::read(request, filter, self.clock.wall())?;
        let all =
            Scope::Prefix { tenant: question.tenant.as_str().to_owned(), prefix: String::new() };
        let asked = question.text.filter.as_str();
        let narrowed = self.doorman.narrow(caller, Action::TwinQuery, &all, asked)?;
        let question = match narrowed.bounds.is_empty() {
            true => question,
            false => question.narrowed(narrowed)?,
        };
        self.router_for(caller).query(&question).await
    }

    /// Room for one more import.
    pub(super) fn import(&self) -> Result<OwnedSemaphorePermit, Rejection> {
        Arc::clone(&self.imports).try_acquire_owned().map_err(|_| {
            self.metrics.overloads_total.inc();
            Rejection::Overloaded { retry_after_ms: WATCH_RETRY_MS }
        })
    }

    /// Whether what a caller proved itself by is worth nothing any more, or the node stops.
    pub(super) fn still(&self, caller: &Caller) -> Result<(), Rejection> {
        if self.stopping.is_cancelled() {
            return Err(Rejection::NotOwner);
        }
        if caller.is_proven() { self.doorman.still(caller) } else { Ok(()) }
    }

    /// Opens a watch, if there is room for one more.
    pub(super) async fn watch(
        &self,
        caller: &Caller,
        asked: &convert::Watch,
    ) -> Result<Watching, Rejection> {
        let room = self.room_to_watch()?;
        self.watch_scope(caller, asked, scope(&asked.whose), room).await
    }

    /// Room for one more watch, or for several parts of one.
    pub(super) fn room_to_watch(&self) -> Result<Room, Rejection> {
        Arc::clone(&self.watches).try_acquire_owned().map(Arc::new).map_err(|_| {
            self.metrics.overloads_total.inc();
            Rejection::Overloaded { retry_after_ms: WATCH_RETRY_MS }
        })
    }

    /// Opens a watch of these twins, whatever else is asked.
    pub(super) async fn watch_scope(
        &self,
        caller: &Caller,
        asked: &convert::Watch,
        scope: Scope,
        room: Room,
    ) -> Result<Watching, Rejection> {
        let picture = if asked.picture { Picture::First } else { Picture::None };
        let asked_filter = self.filter_of_changes(scope.tenant(), &asked.filter)?;
        let asked_filter = asked_filter.as_ref().map_or("", Filter::source).to_owned();
        let narrowed = self.doorman.narrow(caller, Action::TwinWatch, &scope, &asked_filter)?;
        let stay = Stay {
            doorman: self.doorman.clone(),
            changed: self.doorman.picture(),
            caller: caller.clone(),
            scope: scope.clone(),
            filter: asked_filter,
            narrowed: narrowed.clone(),
            clock: self.clock,
            look_at: self.clock.elapsed() + WATCH_LOOK,
        };
        let router = self.router_for(caller);
        if let (Shows::WhileMatching, Scope::One(key)) = (narrowed.shows(), &scope) {
            // Two calls to the twin: kept apart, as few need them.
            let decided = Box::pin(self.decide_by_twin(&caller.name, Action::TwinWatch, key));
            if !decided.await?.is_allowed() {
                return Err(not_shown(Action::TwinWatch, key));
            }
        }
        if asked.telemetry {
            router.must_have(POLICY_FILTERS_LEVEL)?;
        }
        let from = asked.position.as_ref();
        let mut watch = router.watch(scope, &narrowed, from, picture).await?;
        if asked.telemetry {
            watch.tell_telemetry();
        }
        self.metrics.watchers.inc();
        Ok(Watching { watch, stay, metrics: Arc::clone(&self.metrics), _room: room })
    }
}

/// The refusal of a twin that is not one of those that the caller may see, or is not there.
pub(super) fn not_shown(action: Action, key: &TwinKey) -> Rejection {
    Rejection::Forbidden { action: action.name().to_owned(), on: key.as_str().to_owned() }
}

/// Room that open watches have, until the last of them that share it ends.
pub(super) type Room = Arc<OwnedSemaphorePermit>;

/// The router's words for what is watched.
pub(super) fn scope(whose: &Whose) -> Scope {
    match whose {
        Whose::Device(key) => Scope::One(key.clone()),
        Whose::Fleet { tenant, prefix } => {
            Scope::Prefix { tenant: tenant.as_str().to_owned(), prefix: prefix.clone() }
        }
    }
}

/// The reason of a rejection, as a code for the counts.
pub(super) fn reason(rejection: &Rejection) -> &'static str {
    status::row(rejection).reason
}

/// The rejection for an answer of another kind than was asked for: our fault, and nobody can tell
/// the caller what became of the call.
pub(super) fn unexpected(answer: &Answer) -> Rejection {
    tracing::error!(?answer, "a twin answered something else than it was asked");
    Rejection::Unknown
}

/// Who watches, and what: looked at again when policies change.
struct Stay {
    doorman: Doorman,
    changed: watch::Receiver<MetaPicture>,
    caller: Caller,
    scope: Scope,
    /// What the caller asked for, and as it is carried out.
    filter: String,
    narrowed: Narrowed,
    clock: Clock,
    /// When that is looked at again whatever comes.
    look_at: Duration,
}

impl Stay {
    /// Why the caller may no longer, if that is so and it is time to look.
    fn looks(&mut self) -> Result<(), Rejection> {
        let now = self.clock.elapsed();
        if !self.caller.is_proven() || now < self.look_at {
            return Ok(());
        }
        self.look_at = now + WATCH_LOOK;
        self.still()
    }

    /// Its one twin is not one of those that the caller may see any more.
    fn not_shown(&self) -> Rejection {
        match &self.scope {
            Scope::One(key) => not_shown(Action::TwinWatch, key),
            Scope::Prefix { .. } | Scope::Part { .. } | Scope::All => Rejection::NotOwner,
        }
    }

    fn still(&self) -> Result<(), Rejection> {
        self.doorman.still(&self.caller)?;
        let now =
            self.doorman.narrow(&self.caller, Action::TwinWatch, &self.scope, &self.filter)?;
        // What may be seen is another part of it: whoever watches goes on with that from where it is.
        if now == self.narrowed { Ok(()) } else { Err(Rejection::NotOwner) }
    }

    /// Waits until the caller may no longer; never returns where nobody is checked.
    async fn over(&mut self) -> Rejection {
        if !self.caller.is_proven() {
            return pending().await;
        }
        loop {
            let left = self.caller.until_ms.map(|until_ms| {
                Duration::from_millis(until_ms.saturating_sub(self.clock.wall().ms))
            });
            tokio::select! {
                changed = self.changed.changed() => {
                    if changed.is_err() {
                        return pending().await;
                    }
                }
                () = tokio::time::sleep(left.map_or(WATCH_LOOK, |left| left.min(WATCH_LOOK))) => {}
            }
            if let Err(rejection) = self.still() {
                return rejection;
            }
        }
    }
}

/// An open watch, counted while it lives.
pub(super) struct Watching {
    watch: Watch,
    stay: Stay,
    metrics: Arc<Metrics>,
    _room: Room,
}

impl Watching {
    /// Where it begins, if nothing else tells that.
    pub(super) fn start(&self) -> Option<WatchItem> {
        self.watch.start()
    }

    /// From now on changes come several at once.
    pub(super) fn in_batches(&mut self, all: InBatches) {
        self.watch.in_batches(all);
    }

    /// The next item; `None` when the node stops, and why where the caller may no longer watch.
    pub(super) async fn next(&mut self) -> Option<Result<WatchItem, Rejection>> {
        // A watch that is never without an item would not come to it otherwise.
        if let Err(rejection) = self.stay.looks() {
            return Some(Err(rejection));
        }
        let item = tokio::select! {
            biased;
            rejection = self.stay.over() => return Some(Err(rejection)),
            item = self.watch.next() => item,
        };
        let item = match item {
            Some(item) => item,
            None if self.watch.is_lost() => return Some(Err(self.stay.not_shown())),
            None => return None,
        };
        let events = if let WatchItem::Changes { changes, .. } = &item { changes.len() } else { 1 };
        self.metrics.watch_events_total.inc_by(events as u64);
        if matches!(item, WatchItem::Reset { .. }) {
            self.metrics.watch_resets_total.inc();
        }
        Some(Ok(item))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.metrics.watchers.dec();
    }
}
