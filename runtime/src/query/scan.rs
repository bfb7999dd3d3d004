//! Looking at the twins of shards that are owned here, all or those that an index tells, on a thread of its own that gives way to all others.
//!
//! A shard is looked at as a picture: its twins as of one place in its log, taken a few at a time, so
//! that nothing waits for long. The place is one that has all that was acknowledged before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use futures_util::future::try_join_all;
use pollux_cluster::NodeId;
use pollux_query::{Collector, Part, QueryError, Subject, choose};
use pollux_twin::index::{IndexPath, Lookup};
use pollux_twin::table::Table;
use pollux_twin::{Rejection, ShardId};
use rustix::process::setpriority_process;
use tokio::sync::oneshot;

use super::{Question, Turns, Way, refused};
use crate::batch_thread::become_batch;
use crate::limits::{QUERY_NICENESS, QUERY_RETRY_MS, QUERY_SLICE_BYTES, QUERY_TWINS_PER_YIELD};
use crate::shard::{PictureOf, Replica, ShardHandle};

/// What was found.
pub(crate) struct Found {
    pub(super) part: Part,
    /// At which places of which shards.
    pub(super) places: Vec<(ShardId, u64)>,
    /// How each of them was looked at, if that was to be told.
    pub(super) ways: Vec<Way>,
}

/// Why a shard was not looked at to its end.
enum Stopped {
    Query(QueryError),
    /// Its table is not to be had now.
    Gone,
    /// Nobody waits for it any more.
    Cancelled,
}

impl From<QueryError> for Stopped {
    fn from(error: QueryError) -> Self {
        Self::Query(error)
    }
}

/// Looks at shards that this node owns.
pub(super) async fn scan(
    turns: &Turns,
    (node, shards): (NodeId, Vec<Arc<ShardHandle>>),
    question: &Question,
) -> Result<Found, Rejection> {
    let turn = turns.next().await?;
    let reached = shards.iter().map(|shard| async {
        shard.has_all_acknowledged().await.then_some(()).ok_or(Rejection::NotOwner)
    });
    try_join_all(reached).await?;
    let replicas = shards.iter().map(|shard| (shard.id(), shard.replica())).collect();
    let (tell, told) = oneshot::channel();
    let cancelled = Cancelled(Arc::default());
    let lookups = question.lookups();
    let cancelled_too = Arc::clone(&cancelled.0);
    let look = Look { question: question.clone(), lookups, node, cancelled: cancelled_too };
    let thread = thread::Builder::new().name("pollux-query".into()).spawn(move || {
        give_way();
        let _ = tell.send(look.at_all(replicas));
        drop(turn);
    });
    thread.map_err(|error| {
        tracing::warn!(%error, "no thread for a query");
        Rejection::Overloaded { retry_after_ms: QUERY_RETRY_MS }
    })?;
    match told.await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(Stopped::Query(error))) => Err(refused(error)),
        Ok(Err(Stopped::Gone | Stopped::Cancelled)) => Err(Rejection::NotOwner),
        Err(_) => Err(Rejection::Unknown),
    }
}

/// Everything else is more urgent than a query.
fn give_way() {
    let nice = setpriority_process(None, QUERY_NICENESS).map_err(Into::into);
    if let Err(error) = become_batch().and(nice) {
        tracing::debug!(%error, "a query does not give way");
    }
}

/// Set when its owner is dropped.
struct Cancelled(Arc<AtomicBool>);

impl Drop for Cancelled {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One query's look at shards.
struct Look {
    question: Question,
    /// What indexes can be asked.
    lookups: Vec<Lookup>,
    node: NodeId,
    cancelled: Arc<AtomicBool>,
}

impl Look {
    fn at_all(&self, replicas: Vec<(ShardId, Arc<Replica>)>) -> Result<Found, Stopped> {
        let Question { query, bounds, .. } = &self.question;
        let mut collector = Collector::new(Arc::clone(query)).within(bounds.clone());
        let (mut places, mut ways) = (Vec::new(), Vec::new());
        for (shard, replica) in replicas {
            let before = collector.so_far();
            let (place, index) = self.at(&replica, &mut collector)?;
            places.push((shard, place));
            if self.question.explain {
                let after = collector.so_far();
                ways.push(Way {
                    shard,
                    node: self.node,
                    index: index.map(|path| path.to_string()),
                    twins: replica.counts().2,
                    scanned: after.0 - before.0,
                    matched: after.1 - before.1,
                });
            }
        }
        Ok(Found { part: collector.finish(), places, ways })
    }

    /// Looks at those twins of a shard that an index tells, or at all: as of which place, and which index.
    fn at(
        &self,
        replica: &Replica,
        collector: &mut Collector,
    ) -> Result<(u64, Option<IndexPath>), Stopped> {
        let opened = replica.opened();
        // A table to which nothing was applied holds nothing.
        if replica.place().0.is_none() {
            return Ok((0, None));
        }
        let few = |table: &Table| {
            let chosen = choose(&self.lookups, |lookup, most| table.count(lookup, most));
            chosen.map(|(lookup, _)| lookup.clone())
        };
        let begun = replica.begin_picture_of(few).map_err(|_| Stopped::Gone)?;
        let (picture, head, chosen) = begun;
        let picture = Taken { replica, picture };
        let beginning = format!("{}/", self.question.tenant.as_str());
        while let Some(images) = picture.next()? {
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(Stopped::Cancelled);
            }
            for (n, (key, image)) in images.iter().enumerate() {
                // Threads of shards are batch work as this one is, and do not interrupt it.
                if n % QUERY_TWINS_PER_YIELD == 0 {
                    thread::yield_now();
                }
                if !key.as_str().starts_with(&beginning) {
                    continue;
                }
                let subject = Subject::of(key, image, self.question.now, opened);
                let subject = subject.map_err(|error| {
                    tracing::error!(%key, %error, "a twin cannot be looked at");
                    Stopped::Gone
                })?;
                collector.take(key.as_str(), &subject)?;
            }
        }
        Ok((head.position.index, chosen.map(|lookup| lookup.path)))
    }
}

/// A picture that is ended in any case.
struct Taken<'r> {
    replica: &'r Replica,
    picture: PictureOf,
}

impl Taken<'_> {
    fn next(&self) -> Result<Option<pollux_twin::table::Images>, Stopped> {
        self.replica.take_picture(self.picture, QUERY_SLICE_BYTES).map_err(|_| Stopped::Gone)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let _ = self.replica.end_picture(self.picture);
    }
}
