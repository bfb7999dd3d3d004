//! A walk over the changes of one shard, for as long as somebody watches: at this node's replica or at
//! another's, and at the next one when that leaves or its node dies. Indexes of a log are the same at all
//! replicas, so that a place that was seen at one is where the walk goes on at another.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use pollux_cluster::NodeId;
use pollux_proto::feed::Watch;
use pollux_twin::ShardId;
use tokio::time::sleep;

use super::feed;
use super::hub::{Cannot, Step};
use super::ring::Cursor;
use super::{Sieve, Source};
use crate::limits::{BARRIER_MS_MAX, OWNER_WAIT_MS_MAX, WATCH_LOOK_MS};
use crate::router::Router;

/// What a walk comes upon.
#[derive(Debug)]
pub(super) enum Met {
    /// Changes.
    Step(Step),
    /// What came before this place is kept nowhere: the walk begins anew here.
    Beginning(Cursor),
}

/// See the module.
pub(crate) struct Walk {
    router: Router,
    shard: ShardId,
    /// What every key that is wanted begins with.
    beginning: String,
    /// Which changes are wanted; all if there is none.
    sieve: Option<Arc<Sieve>>,
    after: Option<Cursor>,
    source: Option<Source>,
}

impl Walk {
    /// A walk after a place, or from wherever it begins.
    pub(crate) fn new(
        router: Router,
        shard: ShardId,
        beginning: String,
        sieve: Option<Arc<Sieve>>,
        after: Option<Cursor>,
    ) -> Self {
        Self { router, shard, beginning, sieve, after, source: None }
    }

    /// Waits until it is known where the walk begins: what is written from then on is met.
    pub(crate) async fn begin(&mut self) -> Cursor {
        match self.after {
            Some(after) => after,
            None => self.find().await,
        }
    }

    /// How long ago, at most, all that was acknowledged was before the place where it began from now.
    pub(crate) fn age_ms(&self) -> u64 {
        self.source.as_ref().map_or(0, |source| source.age_ms)
    }

    /// All that it comes upon, without an end.
    pub(super) fn met(self) -> BoxStream<'static, (ShardId, Met)> {
        let met = stream::unfold(self, |mut walk| async move {
            let met = walk.next().await;
            Some(((walk.shard, met), walk))
        });
        met.boxed()
    }

    async fn next(&mut self) -> Met {
        loop {
            if let Some(source) = &mut self.source {
                if let Some(step) = source.steps.next().await {
                    self.after = Some(step.seen);
                    return Met::Step(step);
                }
                // Where it was is often still named as the place to ask: it is told in a moment.
                self.source = None;
                sleep(look()).await;
            }
            let before = self.after;
            let stands = self.find().await;
            if before != Some(stands) {
                return Met::Beginning(stands);
            }
        }
    }

    /// Finds a replica that knows what follows, however long that takes; where it stands.
    pub(super) async fn find(&mut self) -> Cursor {
        let mut after = self.after;
        let mut looks = 0;
        loop {
            looks += 1;
            let mut answers = Vec::new();
            for node in self.router.holders(self.shard) {
                match self.ask(node, after).await {
                    Ok(source) => {
                        let stands = source.stands;
                        self.source = Some(source);
                        self.after = Some(stands);
                        return stands;
                    }
                    Err(cannot) => answers.push(cannot),
                }
            }
            // That a replica is behind says nothing: only the owner knows what has not happened.
            let never_was =
                answers.contains(&Cannot::Foresee) && self.never_was(after, looks).await;
            if never_was || is_lost(&answers, looks) {
                tracing::debug!(shard = %self.shard, ?after, "nobody keeps what follows");
                after = None;
            } else {
                sleep(look()).await;
            }
        }
    }

    /// Whether nothing has happened at a place yet, as the shard's owner says, who is waited for longer with each look.
    async fn never_was(&mut self, place: Option<Cursor>, looks: u32) -> bool {
        let Some(place) = place else { return false };
        let patience = look().saturating_mul(looks).min(Duration::from_millis(BARRIER_MS_MAX));
        self.router.has_come_to(self.shard, place, patience).await == Some(false)
    }

    async fn ask(&mut self, node: NodeId, after: Option<Cursor>) -> Result<Source, Cannot> {
        if node == self.router.node() {
            let handle = self.router.shards().held(self.shard).ok_or(Cannot::Reach)?;
            // The age first: what comes in between makes it newer.
            let age_ms = self.router.age_ms(&handle);
            let (stands, steps) = match &self.sieve {
                None => feed::all(handle.hub(), after)?,
                Some(sieve) => feed::sifted(&handle.replica(), Arc::clone(sieve), after).await?,
            };
            return Ok(Source { stands, age_ms, steps });
        }
        let watch = Watch { shard: self.shard.0, beginning: self.beginning.clone(), after };
        feed::open(self.router.forward(), node, watch, self.sieve.as_deref()).await
    }
}

/// Whether to give up a place, after so many looks at all who may know what follows: if nobody keeps it, or, after many,
/// somebody who is there does not and nobody else comes who does. Who is only behind says nothing about that.
fn is_lost(answers: &[Cannot], looks: u32) -> bool {
    let all = !answers.is_empty() && answers.iter().all(|cannot| *cannot == Cannot::Remember);
    let patient = u64::from(looks) >= OWNER_WAIT_MS_MAX / WATCH_LOOK_MS;
    all || (patient && answers.contains(&Cannot::Remember))
}

const fn look() -> Duration {
    Duration::from_millis(WATCH_LOOK_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_up_when_nobody_can_know_what_follows() {
        use Cannot::{Foresee, Reach, Remember};
        let long = u32::try_from(OWNER_WAIT_MS_MAX / WATCH_LOOK_MS).unwrap();
        assert!(is_lost(&[Remember, Remember], 1), "all have forgotten");
        assert!(!is_lost(&[Remember, Reach], 1), "one may come back that has not");
        assert!(!is_lost(&[Remember, Foresee], 1), "one will have it in a moment");
        assert!(is_lost(&[Remember, Reach], long));
        assert!(is_lost(&[Remember, Foresee], long));
        assert!(!is_lost(&[Foresee, Foresee], long), "only the owner knows that it never was");
        assert!(!is_lost(&[Reach, Reach], long), "nobody has said so");
        assert!(!is_lost(&[], long));
    }
}
