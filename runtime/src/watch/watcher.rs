//! One watcher: walks the rings of its scope's shards, and the tables when a picture is due.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::future::select_all;
use pollux_proto::position::Position;
use pollux_twin::{Rejection, ShardId, TwinKey};
use tokio_util::sync::CancellationToken;

use super::hub::Hub;
use super::ring::{Cursor, Event, TooOld};
use crate::limits::{PAGE_MAX, WATCH_EVENTS_PER_TURN, WATCH_PROGRESS};
use crate::router::{Router, Scope, WatchItem};

/// A shard that a watcher walks.
#[derive(Clone, Debug)]
pub(crate) struct WatchedShard {
    pub(crate) id: ShardId,
    pub(crate) hub: Arc<Hub>,
    pub(crate) cursor: Cursor,
}

/// A stream of changes, at least once, in order per twin, without a gap. Pull it with
/// [`Watch::next`]; dropping it ends it.
pub struct Watch {
    router: Router,
    scope: Scope,
    lineage: u64,
    shards: Vec<WatchedShard>,
    /// Where the walk goes on, so that no shard is served twice before another.
    turn: usize,
    picture: Option<Picture>,
    ready: VecDeque<WatchItem>,
    stopping: CancellationToken,
}

/// A picture under way: continue after this key.
#[derive(Debug, Default)]
struct Picture {
    after: Option<TwinKey>,
}

impl Watch {
    /// A watcher from `from`, or from now.
    pub(crate) fn new(
        router: Router,
        scope: Scope,
        from: Option<&Position>,
        picture: crate::router::Picture,
    ) -> Result<Self, Rejection> {
        let shards = router.watched(&scope)?;
        let lineage = router.lineage();
        let stopping = router.stopping();
        let mut watch = Self {
            router,
            scope,
            lineage,
            shards,
            turn: 0,
            picture: None,
            ready: VecDeque::new(),
            stopping,
        };
        match from {
            Some(position) => watch.resume(position),
            None if picture == crate::router::Picture::First => watch.begin_picture(),
            None => {}
        }
        Ok(watch)
    }

    /// The next item; `None` when the node stops.
    pub async fn next(&mut self) -> Option<WatchItem> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            if self.stopping.is_cancelled() {
                return None;
            }
            if self.picture.is_some() {
                self.draw().await;
                continue;
            }
            self.wait_and_collect().await?;
        }
    }

    fn resume(&mut self, position: &Position) {
        if position.lineage != self.lineage {
            self.reset("the position belongs to another life of this cluster");
            return;
        }
        for shard in &mut self.shards {
            match position.shards.get(&shard.id) {
                Some(cursor) => shard.cursor = *cursor,
                None => {
                    self.reset("the position is of a watch with another scope");
                    return;
                }
            }
        }
    }

    fn reset(&mut self, reason: &str) {
        self.ready.push_back(WatchItem::Reset { reason: reason.into() });
        self.begin_picture();
    }

    /// Changes after these cursors follow the picture; those that fall between cursor and picture
    /// are seen in both, which at-least-once allows.
    fn begin_picture(&mut self) {
        for shard in &mut self.shards {
            shard.cursor = shard.hub.head();
        }
        self.picture = Some(Picture::default());
    }

    async fn draw(&mut self) {
        let after = self.picture.as_ref().and_then(|picture| picture.after.clone());
        match self.router.list(&self.scope, after.as_ref(), PAGE_MAX).await {
            Ok(page) => {
                self.ready.extend(
                    page.items
                        .into_iter()
                        .map(|(key, view)| WatchItem::Picture { key, view: Box::new(view) }),
                );
                match page.next {
                    Some(next) => self.picture = Some(Picture { after: Some(next) }),
                    None => self.end_picture(),
                }
            }
            // A single twin that does not exist has an empty picture.
            Err(_) => self.end_picture(),
        }
    }

    fn end_picture(&mut self) {
        self.picture = None;
        let position = self.position().to_string();
        self.ready.push_back(WatchItem::PictureDone { position });
    }

    async fn wait_and_collect(&mut self) -> Option<()> {
        let hubs: Vec<_> = self.shards.iter().map(|shard| Arc::clone(&shard.hub)).collect();
        let stopping = self.stopping.clone();
        // Registered before looking, so that nothing slips between looking and waiting.
        let mut moved: Vec<_> = hubs.iter().map(|hub| Box::pin(hub.moved())).collect();
        for waiting in &mut moved {
            waiting.as_mut().enable();
        }
        self.collect();
        if !self.ready.is_empty() || self.picture.is_some() {
            return Some(());
        }
        tokio::select! {
            biased;
            () = stopping.cancelled() => None,
            _ = select_all(moved) => Some(()),
            () = tokio::time::sleep(WATCH_PROGRESS) => {
                let position = self.position().to_string();
                self.ready.push_back(WatchItem::Progress { position });
                Some(())
            }
        }
    }

    /// Takes what the shards have, a bounded number from each.
    fn collect(&mut self) {
        for step in 0..self.shards.len() {
            let at = (self.turn + step) % self.shards.len();
            let shard = &self.shards[at];
            match shard.hub.after(shard.cursor, WATCH_EVENTS_PER_TURN) {
                Ok((events, next)) => {
                    for event in events {
                        self.shards[at].cursor = event.at;
                        self.push(event);
                    }
                    self.shards[at].cursor = next;
                }
                Err(TooOld) => {
                    self.ready.clear();
                    self.reset("the position is older than the history that is kept");
                    return;
                }
            }
        }
        self.turn = (self.turn + 1) % self.shards.len().max(1);
    }

    fn push(&mut self, event: Event) {
        if !self.scope.contains(&event.key) {
            return;
        }
        let position = self.position().to_string();
        self.ready.push_back(WatchItem::Change {
            key: event.key,
            change: event.change,
            version: event.version,
            section_version: event.section_version,
            position,
        });
    }

    fn position(&self) -> Position {
        let shards = self.shards.iter().map(|shard| (shard.id, shard.cursor)).collect();
        Position { lineage: self.lineage, shards }
    }
}
