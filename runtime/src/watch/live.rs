//! Telemetry that devices send as datagrams: in no log, told to whoever listens while it comes, from the shard's owner.
//! Nobody waits for who listens: what comes faster than it is taken is left out, and counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use pollux_cluster::access::Action;
use pollux_cluster::{CallFault, NodeId};
use pollux_proto::feed::{Heard, Listen, Live};
use pollux_proto::forward::{decode, encode};
use pollux_twin::{ShardId, TwinKey};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::Sieve;
use crate::access::Guard;
use crate::cluster::{Owner, Served, refused};
use crate::limits::{LIVE_AHEAD, LIVE_OWNER_LOOK, LIVE_PER_ITEM, WATCH_LOOK_MS};
use crate::router::{Router, Scope};
use crate::shard::{Replica, ShardHandle};

/// Those who listen to one shard, at its owner.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    /// Whether there are any: all that a device's telemetry costs where there are none.
    some: AtomicBool,
    all: Mutex<Vec<Listener>>,
    numbers: AtomicU64,
}

#[derive(Debug)]
struct Listener {
    number: u64,
    /// What every key that is wanted begins with.
    beginning: String,
    sender: mpsc::Sender<Arc<Live>>,
    left_out: Arc<AtomicU64>,
}

/// One who listens, for as long as it is kept.
struct Listening {
    listeners: Arc<Listeners>,
    number: u64,
    came: mpsc::Receiver<Arc<Live>>,
    left_out: Arc<AtomicU64>,
}

impl Listeners {
    /// Whether anybody listens.
    pub(crate) fn are_there(&self) -> bool {
        self.some.load(Ordering::Relaxed)
    }

    /// Telemetry came: how many of those who want it do not get it.
    pub(crate) fn tell(&self, live: Live) -> u64 {
        let live = Arc::new(live);
        let mut missed = 0;
        for one in self.lock().iter().filter(|one| live.key.starts_with(&one.beginning)) {
            if one.sender.try_send(Arc::clone(&live)).is_err() {
                one.left_out.fetch_add(1, Ordering::Relaxed);
                missed += 1;
            }
        }
        missed
    }

    fn listen(self: &Arc<Self>, beginning: String) -> Listening {
        let (sender, came) = mpsc::channel(LIVE_AHEAD);
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let left_out = Arc::<AtomicU64>::default();
        let mut all = self.lock();
        all.push(Listener { number, beginning, sender, left_out: Arc::clone(&left_out) });
        self.some.store(true, Ordering::Relaxed);
        Listening { listeners: Arc::clone(self), number, came, left_out }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Listener>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listening {
    async fn next(&mut self) -> (Vec<Arc<Live>>, u64) {
        let mut lives = Vec::with_capacity(LIVE_PER_ITEM);
        self.came.recv_many(&mut lives, LIVE_PER_ITEM).await;
        (lives, self.left_out.swap(0, Ordering::Relaxed))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut all = self.listeners.lock();
        all.retain(|one| one.number != self.number);
        self.listeners.some.store(!all.is_empty(), Ordering::Relaxed);
    }
}

/// What is heard on a shard that this node owns, of twins for which a filter holds.
fn here(
    handle: &ShardHandle,
    beginning: String,
    sieve: Option<Arc<Sieve>>,
) -> BoxStream<'static, Heard> {
    let (listening, replica) = (handle.listeners().listen(beginning), handle.replica());
    let heard =
        stream::unfold((listening, replica, sieve), |(mut listening, replica, sieve)| async {
            loop {
                let (mut lives, left_out) = listening.next().await;
                if let Some(sieve) = &sieve {
                    lives.retain(|live| is_wanted(sieve, &replica, live));
                }
                if !lives.is_empty() || left_out > 0 {
                    let lives = lives.into_iter().map(Arc::unwrap_or_clone).collect();
                    return Some((Heard { lives, left_out }, (listening, replica, sieve)));
                }
            }
        });
    heard.boxed()
}

/// Whether a filter certainly holds for the twin that telemetry is of: of one that is not in the table nothing can be told.
fn is_wanted(sieve: &Sieve, replica: &Replica, live: &Live) -> bool {
    let Ok(key) = TwinKey::parse(&live.key) else { return false };
    replica.images(vec![key]).iter().any(|(key, image)| sieve.holds(key, image))
}

/// The same of a shard that another node owns.
async fn there(
    router: &Router,
    to: NodeId,
    shard: ShardId,
    beginning: String,
    sieve: Option<&Sieve>,
) -> Option<BoxStream<'static, Heard>> {
    let filter = sieve.map(|sieve| sieve.filter().to_owned()).unwrap_or_default();
    let listen = Listen { shard: shard.0, beginning, filter };
    let items = router.forward().listen(to, &listen).await.ok()?;
    let heard = items.map(|item| item.ok().and_then(|bytes| decode::<Heard>(&bytes).ok()));
    Some(
        heard
            .take_while(|heard| std::future::ready(heard.is_some()))
            .filter_map(std::future::ready)
            .boxed(),
    )
}

/// What another node hears of a shard that this one owns, until it owns it no more.
pub(crate) fn serve(router: Option<&Router>, payload: &[u8], guard: &Guard) -> Served {
    let Ok(Listen { shard, beginning, filter }) = decode(payload) else {
        return refused(CallFault::Failed);
    };
    let narrowed = guard.filtered(Action::TwinWatch, &beginning, &filter);
    let sieve = narrowed.and_then(|narrowed| Sieve::of(beginning.clone(), &narrowed));
    let Ok(sieve) = sieve else { return refused(CallFault::Failed) };
    let sieve = sieve.map(Arc::new);
    let (Some(router), shard) = (router.cloned(), ShardId(shard)) else {
        return refused(CallFault::Unreachable);
    };
    let Owner::Here(handle) = router.owner(shard) else { return refused(CallFault::Unreachable) };
    let heard = here(&handle, beginning, sieve).map(|heard| {
        encode(&heard).map_err(|error| {
            tracing::error!(%error, "telemetry for another node was not written");
            CallFault::Failed
        })
    });
    heard.take_until(async move { moved(&router, shard, None).await }).boxed()
}

/// What is heard on all shards of a scope, wherever their owners are, until nobody takes it.
pub(super) fn follow(
    router: &Router,
    scope: &Scope,
    sieve: Option<&Arc<Sieve>>,
) -> mpsc::Receiver<Heard> {
    // What waits here is not left out any more: it waits at the owner.
    let (sender, heard) = mpsc::channel(1);
    for shard in router.shards_of(scope) {
        let (router, sender) = (router.clone(), sender.clone());
        let (beginning, sieve) = (scope.beginning(), sieve.cloned());
        tokio::spawn(async move {
            let told = tell(&router, shard, &beginning, sieve.as_ref(), &sender);
            tokio::select! {
                () = told => {}
                () = sender.closed() => {}
            }
        });
    }
    heard
}

async fn tell(
    router: &Router,
    shard: ShardId,
    beginning: &str,
    sieve: Option<&Arc<Sieve>>,
    sender: &mpsc::Sender<Heard>,
) {
    loop {
        let (heard, node) = match router.owner(shard) {
            Owner::Here(handle) => {
                (Some(here(&handle, beginning.to_owned(), sieve.cloned())), None)
            }
            Owner::There(node) => {
                let sieve = sieve.map(Arc::as_ref);
                (there(router, node, shard, beginning.to_owned(), sieve).await, Some(node))
            }
            Owner::Unknown => (None, None),
        };
        if let Some(heard) = heard {
            let mut heard = heard.take_until(Box::pin(moved(router, shard, node)));
            while let Some(heard) = heard.next().await {
                if sender.send(heard).await.is_err() {
                    return;
                }
            }
        }
        if let (Some(node), Owner::There(still)) = (node, router.owner(shard))
            && node == still
        {
            router.not_at(shard, node);
        }
        sleep(Duration::from_millis(WATCH_LOOK_MS)).await;
    }
}

/// Waits until a shard is owned by another than this node, or the one named.
async fn moved(router: &Router, shard: ShardId, node: Option<NodeId>) {
    loop {
        let same = match router.owner(shard) {
            Owner::Here(_) => node.is_none(),
            Owner::There(other) => node == Some(other),
            Owner::Unknown => false,
        };
        if !same {
            return;
        }
        sleep(LIVE_OWNER_LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use pollux_twin::{Time, Value};

    use super::*;

    fn live(key: &str, n: u64) -> Live {
        let values = vec![("n".to_owned(), Value::from(n))];
        Live { key: key.to_owned(), at: Time::default(), observed_at: None, values }
    }

    #[test]
    fn who_listens_hears_what_it_wants_and_how_much_was_left_out() {
        let listeners = Arc::<Listeners>::default();
        assert!(!listeners.are_there());
        assert_eq!(listeners.tell(live("acme/a", 0)), 0, "nobody wants it");
        let mut one = listeners.listen("acme/".into());
        let other = listeners.listen("other/".into());
        assert!(listeners.are_there());
        assert_eq!(listeners.tell(live("acme/a", 1)), 0);
        assert_eq!(one.next().now_or_never().unwrap().0.len(), 1);
        assert!(one.next().now_or_never().is_none());
        let count = LIVE_AHEAD as u64 + 3;
        let missed: u64 = (0..count).map(|n| listeners.tell(live("acme/a", n))).sum();
        assert_eq!(missed, 3, "it has room for some");
        let (lives, left_out) = one.next().now_or_never().unwrap();
        assert_eq!((lives.len(), left_out), (LIVE_PER_ITEM, 3));
        drop(other);
        assert!(listeners.are_there());
        drop(one);
        assert!(!listeners.are_there());
    }
}
