//! Looking at all twins of shards that are owned here, on a thread of its own that gives way to all others.
//!
//! A shard is looked at as a picture: all its twins as of one place in its log, taken a few at a time, so
//! that nothing waits for long. The place is one that has all that was acknowledged before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use futures_util::future::try_join_all;
use pollux_query::{Collector, Part, QueryError, Subject};
use pollux_twin::{Rejection, ShardId};
use rustix::process::setpriority_process;
use tokio::sync::oneshot;

use super::{Question, Turns, refused};
use crate::batch_thread::become_batch;
use crate::limits::{QUERY_NICENESS, QUERY_RETRY_MS, QUERY_SLICE_BYTES};
use crate::shard::{PictureOf, Replica, ShardHandle};

/// What was found here, and at which places of which shards.
pub(super) type Found = (Part, Vec<(ShardId, u64)>);

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
    shards: Vec<Arc<ShardHandle>>,
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
    let look = Look { question: question.clone(), cancelled: Arc::clone(&cancelled.0) };
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
    cancelled: Arc<AtomicBool>,
}

impl Look {
    fn at_all(&self, replicas: Vec<(ShardId, Arc<Replica>)>) -> Result<Found, Stopped> {
        let mut collector = Collector::new(Arc::clone(&self.question.query));
        let mut places = Vec::new();
        for (shard, replica) in replicas {
            places.push((shard, self.at(&replica, &mut collector)?));
        }
        Ok((collector.finish(), places))
    }

    fn at(&self, replica: &Replica, collector: &mut Collector) -> Result<u64, Stopped> {
        let opened = replica.opened();
        // A table to which nothing was applied holds nothing.
        if replica.place().0.is_none() {
            return Ok(0);
        }
        let (picture, head) = replica.begin_picture().map_err(|_| Stopped::Gone)?;
        let picture = Taken { replica, picture };
        let beginning = format!("{}/", self.question.tenant.as_str());
        while let Some(images) = picture.next()? {
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(Stopped::Cancelled);
            }
            for (key, image) in &images {
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
        Ok(head.position.index)
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
