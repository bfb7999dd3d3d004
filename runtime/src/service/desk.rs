//! What both doors share: every call goes through here to the router, is counted and timed, and
//! finds its bounds.

use std::sync::Arc;

use pollux_proto::convert::{self, Page, Whose};
use pollux_proto::{status, v1};
use pollux_query::{ExpressionError, Filter};
use pollux_twin::input::Request;
use pollux_twin::output::Answer;
use pollux_twin::{JsonLimits, Rejection, TwinKey, View};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::limits::{PAGE_BYTES_MAX, PAGE_PART, REQUEST_BYTES_MAX, WATCH_RETRY_MS, WATCHES_MAX};
use super::stale::Stand;
use super::subscriptions::is_reserved;
use crate::clock::Clock;
use crate::metrics::{Door, Method, Metrics};
use crate::query::{Answer as Answered, Question};
use crate::router::{Call, Picture, Router, Scope, WatchItem};
use crate::watch::Watch;

/// The way of both doors to the twins. Cheap to clone.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) router: Router,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    watches: Arc<Semaphore>,
    stopping: CancellationToken,
    /// Bounds of JSON in requests: twins take no deeper values, and check their bytes themselves.
    pub(super) json: JsonLimits,
}

impl Desk {
    pub(super) fn new(
        router: Router,
        metrics: Arc<Metrics>,
        stopping: CancellationToken,
        depth_max: usize,
    ) -> Self {
        let watches = Arc::new(Semaphore::new(WATCHES_MAX));
        let json = JsonLimits { bytes_max: REQUEST_BYTES_MAX, depth_max };
        Self { router, metrics, clock: Clock::new(), watches, stopping, json }
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
    pub(super) async fn call(&self, call: Call) -> Result<Answer, Rejection> {
        if is_reserved(&call.key) && !call.is_read() {
            let reason = format!("tenant {} is Pollux's own; use another", call.key.tenant());
            return Err(Rejection::Invalid { reason });
        }
        if !matches!(call.request, Request::Command { wait: true, .. }) {
            return self.router.call(call).await;
        }
        tokio::select! {
            result = self.router.call(call) => result,
            () = self.stopping.cancelled() => Err(Rejection::Unknown),
        }
    }

    /// A page of a list, each twin turned by `show` into what goes out and its bytes; ends early
    /// where it would get too large. With it come the key to go on after, and what it stands for.
    pub(super) async fn list<T>(
        &self,
        page: &Page,
        mut show: impl FnMut(&TwinKey, &View) -> (T, usize),
    ) -> Result<(Vec<T>, Option<TwinKey>, Stand), Rejection> {
        let scope =
            Scope::Prefix { tenant: page.tenant.as_str().to_owned(), prefix: page.prefix.clone() };
        let stand = self.stand(&scope, &page.fresh, None).await?;
        let mut shown = Vec::new();
        let mut bytes = 0;
        let mut after = page.after.clone();
        loop {
            let limit = (page.size - shown.len()).clamp(1, PAGE_PART);
            let part =
                self.router.list(&scope, after.as_ref(), limit, &stand.position.shards).await?;
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
    pub(super) async fn query(&self, request: &v1::QueryRequest) -> Result<Answered, Rejection> {
        let question = Question::read(request, self.clock.wall())?;
        self.router.query(&question).await
    }

    /// Opens a watch, if there is room for one more.
    pub(super) async fn watch(&self, asked: &convert::Watch) -> Result<Watching, Rejection> {
        let scope = scope(&asked.whose);
        let picture = if asked.picture { Picture::First } else { Picture::None };
        let filter = (!asked.filter.is_empty()).then(|| Filter::parse_for_changes(&asked.filter));
        let wrong =
            |error: ExpressionError| Rejection::Invalid { reason: format!("filter: {error}") };
        let filter = filter.transpose().map_err(wrong)?;
        let Ok(permit) = Arc::clone(&self.watches).try_acquire_owned() else {
            self.metrics.overloads_total.inc();
            return Err(Rejection::Overloaded { retry_after_ms: WATCH_RETRY_MS });
        };
        let watch = self.router.watch(scope, filter, asked.position.as_ref(), picture).await?;
        self.metrics.watchers.inc();
        Ok(Watching { watch, metrics: Arc::clone(&self.metrics), _permit: permit })
    }
}

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

/// An open watch, counted while it lives.
pub(super) struct Watching {
    watch: Watch,
    metrics: Arc<Metrics>,
    _permit: OwnedSemaphorePermit,
}

impl Watching {
    /// The next item; `None` when the node stops.
    pub(super) async fn next(&mut self) -> Option<WatchItem> {
        let item = self.watch.next().await?;
        self.metrics.watch_events_total.inc();
        if matches!(item, WatchItem::Reset { .. }) {
            self.metrics.watch_resets_total.inc();
        }
        Some(item)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.metrics.watchers.dec();
    }
}
