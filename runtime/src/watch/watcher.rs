//! One watcher: goes over the changes of its scope's shards, and the tables when a picture is due.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{BoxStream, SelectAll, select_all};
use futures_util::{FutureExt, StreamExt};
use pollux_proto::feed::{Fit, Heard, Live};
use pollux_proto::position::Position;
use pollux_twin::{Change, Effect, Mark, Rejection, ShardId, TwinKey};
use tokio::sync::mpsc;
use tokio::time::{Interval, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::batch::{Batch, InBatches};
use super::committed::Committed;
use super::hub::Step;
use super::live;
use super::progress;
use super::ring::Event;
use super::sieve::Sieve;
use super::walk::{Met, Walk};
use crate::access::{Narrowed, Shows};
use crate::limits::{
    KEEP_STATES_EVERY_MS, OWNER_LOOK_MS, OWNER_WAIT_MS_MAX, PAGE_MAX, PART_PAGE_MAX,
    WATCH_BATCH_STEPS,
};
use crate::router::{Router, Scope, WatchItem};

/// A stream of changes, at least once, in order per twin, without a gap. Pull it with
/// [`Watch::next`]; dropping it ends it.
pub struct Watch {
    router: Router,
    scope: Scope,
    /// Which changes are told; all if there is none.
    sieve: Option<Arc<Sieve>>,
    /// What of them.
    shows: Shows,
    /// Whether its one twin may be shown no more.
    lost: bool,
    /// Says for as long that it watches with a filter.
    _kept: Option<DropGuard>,
    /// What was seen of each shard, those among them whose replica is being looked for.
    seen: Position,
    /// Those that have something are served in turn.
    shards: Walks,
    picture: Option<Picture>,
    /// Whether a place was given up, and those of other shards are to be looked at before a picture is drawn.
    unsettled: bool,
    /// If changes are told several at once: those that are to be told.
    batch: Option<Batch>,
    /// If telemetry is asked for: what comes of it, and how much was left out since it was told last.
    live: Option<mpsc::Receiver<Heard>>,
    left_out: u64,
    ready: VecDeque<WatchItem>,
    progress: Interval,
    stopping: CancellationToken,
}

/// Walks over the changes of each shard.
type Walks = SelectAll<BoxStream<'static, (ShardId, Met)>>;

/// A picture under way: continue after this key.
#[derive(Debug, Default)]
struct Picture {
    after: Option<TwinKey>,
    /// With a filter, shards are shown one after the other: those that are left.
    shards: VecDeque<ShardId>,
}

impl Watch {
    /// A watcher from `from`, or from now. When it is there, it will see all that is written from then on.
    pub(crate) async fn new(
        router: Router,
        scope: Scope,
        asked: &Narrowed,
        from: Option<&Position>,
        picture: crate::router::Picture,
    ) -> Result<Self, Rejection> {
        let sieve = Sieve::of(scope.beginning(), asked)?.map(Arc::new);
        let kept = sieve.as_ref().map(|_| keep(router.clone(), scope.clone()));
        let fits = from.map(|from| fits(&router, &scope, from));
        let known = from.filter(|_| fits == Some(Ok(())));
        let mut walks = router.walks(&scope, sieve.as_ref(), known);
        let begun = join_all(walks.iter_mut().map(Walk::begin));
        let patience = Duration::from_millis(OWNER_WAIT_MS_MAX);
        let begun = timeout(patience, begun).await.map_err(|_| Rejection::NotOwner)?;
        let shards = router.shards_of(&scope).zip(begun).collect();
        let stopping = router.stopping();
        let mut watch = Self {
            seen: Position { lineage: router.lineage(), shards },
            router,
            scope,
            sieve,
            shows: asked.shows(),
            lost: false,
            _kept: kept,
            shards: select_all(walks.into_iter().map(Walk::met)),
            picture: None,
            unsettled: false,
            batch: None,
            live: None,
            left_out: 0,
            ready: VecDeque::new(),
            progress: progress(),
            stopping,
        };
        match fits {
            Some(Err(reason)) => watch.reset(reason),
            None if picture == crate::router::Picture::First => watch.begin_picture(),
            Some(Ok(())) | None => {}
        }
        Ok(watch)
    }

    /// Whether it is over, as its twin is not one of those that may be shown any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost && self.ready.is_empty()
    }

    /// The next item; `None` when the node stops, or its twin may be shown no more.
    pub async fn next(&mut self) -> Option<WatchItem> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            if self.lost || self.stopping.is_cancelled() {
                return None;
            }
            if self.picture.is_some() {
                self.draw().await;
                continue;
            }
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return None,
                _ = self.progress.tick() => {
                    let position = self.seen.to_string();
                    self.ready.push_back(WatchItem::Progress { position });
                }
                Some((shard, met)) = next(self.batch.as_ref(), &mut self.shards) => {
                    self.take(shard, met);
                }
                // Last: where there is much to tell, changes go first.
                Some(heard) = hear(self.live.as_mut()) => self.take_heard(heard),
            }
        }
    }

    /// Where it begins, unless a picture comes first, which tells that at its end.
    pub(crate) fn start(&self) -> Option<WatchItem> {
        let position = || self.seen.to_string();
        self.picture.is_none().then(|| WatchItem::Progress { position: position() })
    }

    /// From now on changes are told in batches, as are those of all others that hold a clone of this.
    pub(crate) fn in_batches(&mut self, all: InBatches) {
        self.batch = Some(Batch::new(all));
    }

    /// From now on telemetry that comes as datagrams is told, too.
    pub(crate) fn tell_telemetry(&mut self) {
        self.live = Some(live::follow(&self.router, &self.scope, self.sieve.as_ref()));
    }

    fn take_heard(&mut self, Heard { lives, left_out }: Heard) {
        self.left_out += left_out;
        // Others' names may begin like that of the one twin that is watched.
        let wanted =
            |live: &Live| TwinKey::parse(&live.key).is_ok_and(|key| self.scope.contains(&key));
        let lives: Vec<_> = lives.into_iter().filter(wanted).collect();
        for live in lives {
            let left_out = std::mem::take(&mut self.left_out);
            self.ready.push_back(WatchItem::Telemetry { live, left_out });
        }
    }

    /// Takes what a walk came upon, and in batches what others have come upon as well.
    fn take(&mut self, shard: ShardId, met: Met) {
        self.take_one(shard, met);
        for _ in 0..WATCH_BATCH_STEPS {
            if self.batch.is_none() || self.picture.is_some() || !self.ready.is_empty() {
                break;
            }
            let Some(Some((shard, met))) = self.shards.next().now_or_never() else { break };
            self.take_one(shard, met);
        }
        self.tell_batch();
    }

    fn take_one(&mut self, shard: ShardId, met: Met) {
        match met {
            Met::Step(Step { events, seen }) => {
                for event in events {
                    self.take_event(shard, event);
                }
                self.seen.shards.insert(shard, seen);
            }
            Met::Beginning(place) => {
                self.tell_batch();
                self.unsettled = true;
                let before = self.seen.shards.insert(shard, place);
                self.reset(match before.is_some_and(|before| before > place) {
                    true => "the position is ahead of what has happened",
                    false => "the position is older than the history that is kept",
                });
            }
        }
    }

    fn take_event(&mut self, shard: ShardId, Event { at, what, fit, .. }: Event) {
        if self.lost || !self.scope.contains(&what.key) {
            return;
        }
        let (what, fit) = match self.shows {
            Shows::All => (what, fit),
            Shows::Matching => (without_content(what, fit.as_ref()), fit),
            Shows::WhileMatching => {
                self.lost = leaves(fit.as_ref());
                if self.lost && !is_deletion(&what) {
                    return;
                }
                (what, None)
            }
        };
        let Some(batch) = &self.batch else {
            self.seen.shards.insert(shard, at);
            let position = self.tell_position();
            return self.ready.push_back(WatchItem::Change { what, fit, position });
        };
        let Some(written) = what.written(fit.as_ref()) else { return };
        if !batch.has_room(written.len()) {
            self.tell_batch();
        }
        self.seen.shards.insert(shard, at);
        if let Some(batch) = &mut self.batch {
            batch.push(written);
        }
    }

    /// What is in the batch is told: it is all up to what was seen.
    fn tell_batch(&mut self) {
        if let Some(changes) = self.batch.as_mut().and_then(Batch::take) {
            let position = self.tell_position();
            self.ready.push_back(WatchItem::Changes { changes, position });
        }
    }

    fn reset(&mut self, reason: &str) {
        self.ready.push_back(WatchItem::Reset { reason: reason.into() });
        self.begin_picture();
    }

    /// The changes after what was seen follow the picture; those that are in the picture already are
    /// seen in both, which at-least-once allows.
    fn begin_picture(&mut self) {
        let shards = self.router.shards_of(&self.scope).collect();
        self.picture = Some(Picture { after: None, shards });
    }

    /// Begins the walks again where they are, so that none is at a place that never was: no picture could be drawn from
    /// there, and one does for all that are lost.
    async fn settle(&mut self) {
        let mut walks = self.router.walks(&self.scope, self.sieve.as_ref(), Some(&self.seen));
        let settled = tokio::select! {
            () = self.stopping.cancelled() => return,
            settled = join_all(walks.iter_mut().map(Walk::find)) => settled,
        };
        self.seen.shards = self.router.shards_of(&self.scope).zip(settled).collect();
        self.shards = select_all(walks.into_iter().map(Walk::met));
        self.unsettled = false;
    }

    async fn draw(&mut self) {
        if self.unsettled {
            return self.settle().await;
        }
        if let Some(sieve) = self.sieve.clone() {
            return self.draw_sifted(sieve).await;
        }
        let after = self.picture.as_ref().and_then(|picture| picture.after.clone());
        let most = match self.scope {
            Scope::Part { .. } => PART_PAGE_MAX,
            _ => PAGE_MAX,
        };
        let page = self.router.list(&self.scope, after.as_ref(), most, &self.seen.shards);
        // A picture without the twins of a shard would be a lie: it waits for one that can show them.
        let Ok(page) = page.await else { return sleep(Duration::from_millis(OWNER_LOOK_MS)).await };
        let items = page.items.into_iter();
        self.ready
            .extend(items.map(|(key, view)| WatchItem::Picture { key, view: Box::new(view) }));
        self.picture = page.next.map(|next| Picture { after: Some(next), ..Picture::default() });
        if self.picture.is_none() {
            self.picture_done();
        }
    }

    async fn draw_sifted(&mut self, sieve: Arc<Sieve>) {
        let Some(picture) = &mut self.picture else { return };
        let Some(shard) = picture.shards.front().copied() else {
            self.picture = None;
            return self.picture_done();
        };
        let least = self.seen.shards.get(&shard).map_or(0, |place| place.index);
        let page = self.router.sift((shard, least), sieve, picture.after.as_ref()).await;
        let Ok(page) = page else { return sleep(Duration::from_millis(OWNER_LOOK_MS)).await };
        let wanted = page.items.into_iter().filter(|(key, _)| self.scope.contains(key));
        self.ready
            .extend(wanted.map(|(key, view)| WatchItem::Picture { key, view: Box::new(view) }));
        if page.next.is_none() {
            picture.shards.pop_front();
        }
        picture.after = page.next;
    }

    fn picture_done(&mut self) {
        let position = self.tell_position();
        self.ready.push_back(WatchItem::PictureDone { position });
    }

    fn tell_position(&mut self) -> String {
        self.progress.reset();
        self.seen.to_string()
    }
}

/// Whether a change leaves a twin with which nothing says that it may be shown.
const fn leaves(fit: Option<&Fit>) -> bool {
    matches!(fit, None | Some(Fit::Left | Fit::Undecided))
}

/// A deleted twin has nothing to show.
fn is_deletion(what: &Committed) -> bool {
    matches!(what.change.effect, Effect::Deleted { .. })
}

/// A change as it is told to who may not see what it leaves: that it was, and no more.
fn without_content(what: Arc<Committed>, fit: Option<&Fit>) -> Arc<Committed> {
    if !leaves(fit) || is_deletion(&what) {
        return what;
    }
    let Committed { key, change, versions, .. } = &*what;
    let change = Change { at: change.at, mark: Mark::None, effect: Effect::None };
    Arc::new(Committed::new(key.clone(), change, *versions))
}

/// What the next walk comes upon that may be told now.
async fn next(batch: Option<&Batch>, shards: &mut Walks) -> Option<(ShardId, Met)> {
    if let Some(batch) = batch {
        batch.due().await;
    }
    shards.next().await
}

/// What comes of telemetry; never, where nobody asked for it.
async fn hear(live: Option<&mut mpsc::Receiver<Heard>>) -> Option<Heard> {
    match live {
        Some(live) => live.recv().await,
        None => pending().await,
    }
}

/// Has all nodes that hold shards of a scope keep what filters are asked of, until the guard is dropped.
fn keep(router: Router, scope: Scope) -> DropGuard {
    let until = CancellationToken::new();
    let done = until.clone();
    tokio::spawn(async move {
        let again = async {
            loop {
                router.keep_states(&scope).await;
                sleep(Duration::from_millis(KEEP_STATES_EVERY_MS)).await;
            }
        };
        tokio::select! {
            () = again => {}
            () = done.cancelled() => {}
        }
    });
    until.drop_guard()
}

/// Whether a watch can go on from a position.
fn fits(router: &Router, scope: &Scope, from: &Position) -> Result<(), &'static str> {
    if from.lineage != router.lineage() {
        return Err("the position belongs to another life of this cluster");
    }
    if router.shards_of(scope).all(|shard| from.shards.contains_key(&shard)) {
        Ok(())
    } else {
        Err("the position is of a watch with another scope")
    }
}
