//! A walk over the changes of a shard that has its replica on another node: both ends of it, and how steps
//! become items. Which node is asked is `walk`'s business, the way there the cluster's.

use std::collections::VecDeque;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use futures_util::{Stream, StreamExt};
use pollux_cluster::access::Action;
use pollux_cluster::{CallFault, NodeId};
use pollux_proto::feed::{Changed, Changes, Fit, Sift, SiftedChanges, Stand, Told, Watch};
use pollux_proto::forward::{decode, encode};
use pollux_twin::table::Versions;
use pollux_twin::{ShardId, TwinKey};
use tokio::time::Interval;

use super::committed::Committed;
use super::hub::{Cannot, Hub, Step};
use super::ring::{Cursor, Event, Need};
use super::{Sieve, Source, Steps, progress};
use crate::access::Guard;
use crate::cluster::{Forward, Served, refused};
use crate::limits::{WATCH_ASK_MS_MAX, WATCH_ITEM_BYTES};
use crate::router::Router;
use crate::shard::Replica;

/// All changes of a replica here, after a place or from now on: where that is, and what follows.
pub(super) fn all(hub: Arc<Hub>, after: Option<Cursor>) -> Result<(Cursor, Steps), Cannot> {
    let stands = hub.stand(after, Need::Changes)?;
    Ok((stands, hub.walk(stands, Need::Changes).boxed()))
}

/// Those of them that a filter lets through.
pub(super) async fn sifted(
    replica: &Replica,
    sieve: Arc<Sieve>,
    after: Option<Cursor>,
) -> Result<(Cursor, Steps), Cannot> {
    let hub = replica.hub();
    let kept_after = replica.keep_states();
    hub.has(kept_after.index).await;
    let stands = hub.stand(Some(after.unwrap_or(kept_after)), Need::States)?;
    let sift = move |step| {
        let sieve = Arc::clone(&sieve);
        async move { sieve.step(step).await }
    };
    Ok((stands, hub.walk(stands, Need::States).then(sift).boxed()))
}

/// Begins a walk at another node.
pub(super) async fn open(
    forward: &Forward,
    to: NodeId,
    watch: Watch,
    sieve: Option<&Sieve>,
) -> Result<Source, Cannot> {
    let opened = async {
        let items = match sieve {
            None => forward.watch(to, &watch).await,
            Some(sieve) => {
                forward.sift(to, &Sift { watch, filter: sieve.filter().to_owned() }).await
            }
        };
        let mut items = items.map_err(|_| Cannot::Reach)?;
        match items.next().await.map(|item| item.map(|bytes| decode::<Told>(&bytes))) {
            Some(Ok(Ok(Told::Stands(Stand { at: stands, age_ms })))) => {
                Ok(Source { stands, age_ms, steps: steps(items).boxed() })
            }
            Some(Ok(Ok(Told::TooOld))) => Err(Cannot::Remember),
            Some(Ok(Ok(Told::Behind))) => Err(Cannot::Foresee),
            other => {
                tracing::debug!(%to, ?other, "a node tells nothing of a shard");
                Err(Cannot::Reach)
            }
        }
    };
    let patience = Duration::from_millis(WATCH_ASK_MS_MAX);
    tokio::time::timeout(patience, opened).await.unwrap_or(Err(Cannot::Reach))
}

/// What another node watches of a shard that is held here.
pub(crate) fn serve(router: Option<&Router>, payload: &[u8], guard: &Guard) -> Served {
    let Ok(watch) = decode::<Watch>(payload) else { return refused(CallFault::Failed) };
    if guard.beginning(Action::TwinWatch, &watch.beginning).is_err() {
        return refused(CallFault::Failed);
    }
    let held = |router: &Router| router.shards().held(ShardId(watch.shard));
    let shown = router.and_then(|router| {
        let handle = held(router).filter(|handle| !handle.group().is_pristine())?;
        Some((router.age_ms(&handle), handle.hub()))
    });
    match shown {
        Some((age_ms, hub)) => tell(all(hub, watch.after), age_ms, watch.beginning),
        None => refused(CallFault::Unreachable),
    }
}

/// What another node watches with a filter of a shard that is held here.
pub(crate) fn serve_sifted(router: Option<&Router>, payload: &[u8], guard: &Guard) -> Served {
    let Ok(Sift { watch, filter }) = decode(payload) else { return refused(CallFault::Failed) };
    let narrowed = guard.filtered(Action::TwinWatch, &watch.beginning, &filter);
    let sieve = narrowed.and_then(|narrowed| Sieve::of(watch.beginning.clone(), &narrowed));
    let Ok(Some(sieve)) = sieve else { return refused(CallFault::Failed) };
    let held = |router: &Router| router.shards().held(ShardId(watch.shard));
    let shown = router.and_then(|router| {
        let handle = held(router).filter(|handle| !handle.group().is_pristine())?;
        Some((router.age_ms(&handle), handle.replica()))
    });
    let Some((age_ms, replica)) = shown else { return refused(CallFault::Unreachable) };
    let Watch { beginning, after, .. } = watch;
    let begun =
        async move { tell(sifted(&replica, Arc::new(sieve), after).await, age_ms, beginning) };
    stream::once(begun).flatten().boxed()
}

/// The items of a walk.
fn tell(begun: Result<(Cursor, Steps), Cannot>, age_ms: u64, beginning: String) -> Served {
    let (told, steps) = match begun {
        Ok((at, steps)) => (Told::Stands(Stand { at, age_ms }), steps),
        Err(Cannot::Remember) => (Told::TooOld, stream::empty().boxed()),
        Err(Cannot::Foresee) => (Told::Behind, stream::empty().boxed()),
        Err(Cannot::Reach) => return refused(CallFault::Unreachable),
    };
    let first = stream::once(ready(written(&told)));
    let Told::Stands(Stand { at: stands, .. }) = told else { return first.boxed() };
    let teller = Teller {
        steps,
        beginning,
        told: stands,
        seen: stands,
        items: VecDeque::new(),
        progress: progress(),
    };
    let rest = stream::unfold(teller, |mut teller| async move {
        let item = teller.next().await?;
        Some((item, teller))
    });
    first.chain(rest).boxed()
}

/// Makes items of steps: changes that are wanted at once, of all others now and then how far they are.
struct Teller {
    steps: Steps,
    beginning: String,
    told: Cursor,
    seen: Cursor,
    items: VecDeque<Result<Bytes, CallFault>>,
    progress: Interval,
}

impl Teller {
    async fn next(&mut self) -> Option<Result<Bytes, CallFault>> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Some(item);
            }
            tokio::select! {
                biased;
                _ = self.progress.tick() => {
                    if self.told != self.seen {
                        self.say(Vec::new());
                    }
                }
                step = self.steps.next() => {
                    let Step { events, seen } = step?;
                    self.seen = seen;
                    let wanted = |event: &Event| event.what.key.as_str().starts_with(&self.beginning);
                    let events: Vec<_> = events.into_iter().filter(wanted).collect();
                    if !events.is_empty() {
                        self.say(events);
                    }
                }
            }
        }
    }

    fn say(&mut self, events: Vec<Event>) {
        self.told = self.seen;
        self.progress.reset();
        cut(events, self.seen, &mut self.items);
    }
}

/// Writes changes as items that are not too large, in halves where they would be.
fn cut(mut events: Vec<Event>, seen: Cursor, items: &mut VecDeque<Result<Bytes, CallFault>>) {
    let item = written(&told(events.clone(), seen));
    let large = item.as_ref().is_ok_and(|bytes| bytes.len() > WATCH_ITEM_BYTES);
    if !large || events.len() < 2 {
        items.push_back(item);
        return;
    }
    let rest = events.split_off(events.len() / 2);
    let half = events.last().map_or(seen, |event| event.at);
    cut(events, half, items);
    cut(rest, seen, items);
}

/// Changes as an item: all of them went through a filter, or none.
fn told(events: Vec<Event>, seen: Cursor) -> Told {
    let is_sifted = events.iter().any(|event| event.fit.is_some());
    if is_sifted {
        let events = events.into_iter().map(|mut event| {
            let fit = event.fit.take().unwrap_or(Fit::Undecided);
            (changed(event), fit)
        });
        return Told::Sifted(SiftedChanges { events: events.collect(), seen });
    }
    Told::Changes(Changes { events: events.into_iter().map(changed).collect(), seen })
}

fn written(told: &Told) -> Result<Bytes, CallFault> {
    encode(told).map_err(|error| {
        tracing::error!(%error, "changes for another node were not written");
        CallFault::Failed
    })
}

/// The steps in items, until they end in whatever way.
fn steps(
    items: impl Stream<Item = Result<Bytes, CallFault>> + Send + Unpin + 'static,
) -> impl Stream<Item = Step> {
    items.map(read).take_while(|step| ready(step.is_some())).filter_map(ready)
}

fn read(item: Result<Bytes, CallFault>) -> Option<Step> {
    let (events, seen): (Option<_>, _) = match item.map(|bytes| decode::<Told>(&bytes)) {
        Ok(Ok(Told::Changes(Changes { events, seen }))) => {
            (events.into_iter().map(|changed| event(changed, None)).collect(), seen)
        }
        Ok(Ok(Told::Sifted(SiftedChanges { events, seen }))) => {
            (events.into_iter().map(|(changed, fit)| event(changed, Some(fit))).collect(), seen)
        }
        Ok(other) => {
            tracing::warn!(?other, "what a node tells of a shard cannot be read");
            return None;
        }
        // Its node is gone, which its connection has told.
        Err(_) => return None,
    };
    Some(Step { events: events?, seen })
}

fn changed(event: Event) -> Changed {
    let Committed { key, change, versions, .. } = &*event.what;
    Changed {
        at: event.at,
        key: key.as_str().to_owned(),
        change: change.clone(),
        version: versions.twin,
        section_version: versions.section,
    }
}

/// The change as the ring had it; it weighs nothing here, as no ring takes it in.
fn event(changed: Changed, fit: Option<Fit>) -> Option<Event> {
    let Changed { at, key, change, version: twin, section_version: section } = changed;
    let versions = Versions { twin, section };
    Some(Event {
        at,
        what: Arc::new(Committed::new(TwinKey::parse(&key).ok()?, change, versions)),
        states: None,
        fit,
        weight: 0,
    })
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use pollux_twin::Mark;

    use super::super::ring;
    use super::*;

    const fn end(index: u64) -> Cursor {
        Cursor { index, ordinal: u32::MAX }
    }

    fn event_of(key: &str, index: u64, ordinal: u32) -> Event {
        ring::marked(key, Mark::None, Cursor { index, ordinal })
    }

    const fn stands(index: u64) -> Told {
        Told::Stands(Stand { at: end(index), age_ms: 70 })
    }

    fn watch(beginning: &str, after: Option<Cursor>) -> Watch {
        Watch { shard: 0, beginning: beginning.to_owned(), after }
    }

    /// The first item, and the steps that follow.
    async fn opened(hub: &Arc<Hub>, watch: Watch) -> (Told, Steps) {
        let mut items = tell(all(Arc::clone(hub), watch.after), 70, watch.beginning);
        let first = items.next().await.unwrap().unwrap();
        (decode(&first).unwrap(), steps(items).boxed())
    }

    #[tokio::test]
    async fn what_goes_into_a_ring_comes_out_at_another_node() {
        let hub = Arc::new(Hub::new(4, 10_000));
        hub.push(5, [event_of("acme/a", 5, 1), event_of("other/a", 5, 2)]);
        let (told, mut steps) = opened(&hub, watch("acme/", Some(end(4)))).await;
        assert_eq!(told, stands(4));
        let step = steps.next().await.unwrap();
        let keys: Vec<_> = step.events.iter().map(|event| event.what.key.as_str()).collect();
        assert_eq!((keys, step.seen), (vec!["acme/a"], end(5)));
        assert_eq!(step.events[0].at, Cursor { index: 5, ordinal: 1 });
        hub.push(6, [event_of("other/a", 6, 1)]);
        assert!(steps.next().now_or_never().is_none(), "nobody asked for it");
        hub.push(7, [event_of("acme/b", 7, 1)]);
        assert_eq!(steps.next().await.unwrap().seen, end(7));
        hub.close();
        assert!(steps.next().await.is_none(), "the replica has left");
    }

    #[tokio::test]
    async fn who_cannot_begin_is_told_why() {
        let hub = Arc::new(Hub::new(4, 10_000));
        assert_eq!(opened(&hub, watch("", None)).await.0, stands(4));
        assert_eq!(opened(&hub, watch("", Some(end(3)))).await.0, Told::TooOld);
        assert_eq!(opened(&hub, watch("", Some(end(5)))).await.0, Told::Behind);
    }

    #[tokio::test(start_paused = true)]
    async fn where_nothing_is_wanted_the_place_is_told_now_and_then() {
        let hub = Arc::new(Hub::new(4, 10_000));
        let (_, mut steps) = opened(&hub, watch("acme/", None)).await;
        hub.push(5, [event_of("other/a", 5, 1)]);
        let step = steps.next().await.unwrap();
        assert_eq!((step.events.len(), step.seen), (0, end(5)));
    }

    #[test]
    fn large_steps_are_cut_and_nothing_is_left_out() {
        let name = "n".repeat(1_000);
        let mark = |seq| {
            let rejection = pollux_twin::Rejection::Invalid { reason: name.clone() };
            Mark::Sequence { seq, rejection: Some(rejection) }
        };
        let events: Vec<_> = (1..=256)
            .map(|ordinal| ring::marked("a", mark(ordinal.into()), Cursor { index: 5, ordinal }))
            .collect();
        let mut items = VecDeque::new();
        cut(events.clone(), end(9), &mut items);
        assert!(items.len() > 1, "it was to be too large");
        let mut seen = Vec::new();
        for item in items {
            let bytes = item.unwrap();
            assert!(bytes.len() <= WATCH_ITEM_BYTES);
            let Ok(Told::Changes(changes)) = decode(&bytes) else { panic!("changes") };
            seen.extend(changes.events);
            assert!(changes.seen == end(9) || Some(changes.seen) == seen.last().map(|e| e.at));
        }
        assert_eq!(seen, events.into_iter().map(changed).collect::<Vec<_>>());
    }
}
