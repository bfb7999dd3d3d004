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
use pollux_proto::feed::{Changed, Changes, Stand, Told, Watch};
use pollux_proto::forward::{decode, encode};
use pollux_twin::{ShardId, TwinKey};
use tokio::time::Interval;

use super::hub::{Cannot, Hub, Step};
use super::ring::{Cursor, Event};
use super::{Source, Steps, progress};
use crate::access::Guard;
use crate::cluster::{Forward, Served, refused};
use crate::limits::{WATCH_ASK_MS_MAX, WATCH_ITEM_BYTES};
use crate::router::Router;

/// Begins a walk at another node.
pub(super) async fn open(forward: &Forward, to: NodeId, watch: &Watch) -> Result<Source, Cannot> {
    let opened = async {
        let mut items = forward.watch(to, watch).await.map_err(|_| Cannot::Reach)?;
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
        Some((age_ms, hub)) => tell(hub, age_ms, watch),
        None => refused(CallFault::Unreachable),
    }
}

/// The items of a walk.
fn tell(hub: Arc<Hub>, age_ms: u64, watch: Watch) -> Served {
    let told = match hub.stand(watch.after) {
        Ok(at) => Told::Stands(Stand { at, age_ms }),
        Err(Cannot::Remember) => Told::TooOld,
        Err(Cannot::Foresee) => Told::Behind,
        Err(Cannot::Reach) => return refused(CallFault::Unreachable),
    };
    let first = stream::once(ready(written(&told)));
    let Told::Stands(Stand { at: stands, .. }) = told else { return first.boxed() };
    let teller = Teller {
        steps: hub.walk(stands).boxed(),
        beginning: watch.beginning,
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
                    let wanted = |event: &Event| event.key.as_str().starts_with(&self.beginning);
                    let events: Vec<_> =
                        events.into_iter().filter(wanted).map(changed).collect();
                    if !events.is_empty() {
                        self.say(events);
                    }
                }
            }
        }
    }

    fn say(&mut self, events: Vec<Changed>) {
        self.told = self.seen;
        self.progress.reset();
        cut(Changes { events, seen: self.seen }, &mut self.items);
    }
}

/// Writes changes as items that are not too large, in halves where they would be.
fn cut(changes: Changes, items: &mut VecDeque<Result<Bytes, CallFault>>) {
    let told = Told::Changes(changes);
    let item = written(&told);
    let Told::Changes(Changes { mut events, seen }) = told else { return };
    let large = item.as_ref().is_ok_and(|bytes| bytes.len() > WATCH_ITEM_BYTES);
    if !large || events.len() < 2 {
        items.push_back(item);
        return;
    }
    let rest = events.split_off(events.len() / 2);
    let half = events.last().map_or(seen, |event| event.at);
    cut(Changes { events, seen: half }, items);
    cut(Changes { events: rest, seen }, items);
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
    let told = match item.map(|bytes| decode::<Told>(&bytes)) {
        Ok(Ok(Told::Changes(changes))) => changes,
        Ok(other) => {
            tracing::warn!(?other, "what a node tells of a shard cannot be read");
            return None;
        }
        // Its node is gone, which its connection has told.
        Err(_) => return None,
    };
    let events = told.events.into_iter().map(event).collect::<Option<_>>()?;
    Some(Step { events, seen: told.seen })
}

fn changed(event: Event) -> Changed {
    Changed {
        at: event.at,
        key: event.key.as_str().to_owned(),
        change: Arc::unwrap_or_clone(event.change),
        version: event.version,
        section_version: event.section_version,
    }
}

/// The change as the ring had it; it weighs nothing here, as no ring takes it in.
fn event(changed: Changed) -> Option<Event> {
    Some(Event {
        at: changed.at,
        key: TwinKey::parse(&changed.key).ok()?,
        change: Arc::new(changed.change),
        version: changed.version,
        section_version: changed.section_version,
        weight: 0,
    })
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::ring;
    use super::*;

    const fn end(index: u64) -> Cursor {
        Cursor { index, ordinal: u32::MAX }
    }

    fn event_of(key: &str, index: u64, ordinal: u32) -> Event {
        Event { key: TwinKey::parse(key).unwrap(), ..ring::event(index, ordinal) }
    }

    const fn stands(index: u64) -> Told {
        Told::Stands(Stand { at: end(index), age_ms: 70 })
    }

    fn watch(beginning: &str, after: Option<Cursor>) -> Watch {
        Watch { shard: 0, beginning: beginning.to_owned(), after }
    }

    /// The first item, and the steps that follow.
    async fn opened(hub: &Arc<Hub>, watch: Watch) -> (Told, Steps) {
        let mut items = tell(Arc::clone(hub), 70, watch);
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
        let keys: Vec<_> = step.events.iter().map(|event| event.key.as_str()).collect();
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
            pollux_twin::Mark::Sequence { seq, rejection: Some(rejection) }
        };
        let events: Vec<_> = (1..=256)
            .map(|ordinal| {
                let mut changed = changed(ring::event(5, ordinal));
                changed.change.mark = mark(ordinal.into());
                changed
            })
            .collect();
        let mut items = VecDeque::new();
        cut(Changes { events: events.clone(), seen: end(9) }, &mut items);
        assert!(items.len() > 1, "it was to be too large");
        let mut seen = Vec::new();
        for item in items {
            let bytes = item.unwrap();
            assert!(bytes.len() <= WATCH_ITEM_BYTES);
            let Ok(Told::Changes(changes)) = decode(&bytes) else { panic!("changes") };
            seen.extend(changes.events);
            assert!(changes.seen == end(9) || Some(changes.seen) == seen.last().map(|e| e.at));
        }
        assert_eq!(seen, events);
    }
}
