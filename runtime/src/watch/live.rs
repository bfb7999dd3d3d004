//! Telemetry that devices send as datagrams: in no log, told to whoever listens while it comes, from the shard's owner.
//! Nobody waits for who listens: what comes faster than it is taken is left out, and counted.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, stream};
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
use crate::limits::{
    LIVE_AHEAD, LIVE_BYTES, LIVE_BYTES_ALL, LIVE_OWNER_LOOK, LIVE_PER_ITEM, WATCH_LOOK_MS,
};
use crate::router::{Router, Scope};
use crate::shard::{Replica, ShardHandle, weigh_value as value_bytes};

/// Those who listen to one shard, at its owner.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    /// Whether there are any: all that a device's telemetry costs where there are none.
    some: AtomicBool,
    /// By the tenant to which they listen; those who listen to all have none.
    all: Mutex<BTreeMap<String, Vec<Listener>>>,
    numbers: AtomicU64,
    /// Bytes that wait for all who listen at this node.
    node: Arc<AtomicUsize>,
}

/// Whose telemetry is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// That of one twin.
    One(String),
    /// That of all whose key begins so.
    Beginning(String),
}

impl Wanted {
    fn of(scope: &Scope) -> Self {
        match scope {
            Scope::One(_) => Self::One(scope.beginning()),
            _ => Self::Beginning(scope.beginning()),
        }
    }

    fn has(&self, key: &str) -> bool {
        match self {
            Self::One(one) => one == key,
            Self::Beginning(beginning) => key.starts_with(beginning),
        }
    }

    fn tenant(&self) -> &str {
        let (Self::One(text) | Self::Beginning(text)) = self;
        tenant(text)
    }
}

fn tenant(key: &str) -> &str {
    key.split_once('/').map_or("", |(tenant, _)| tenant)
}

#[derive(Debug)]
struct Listener {
    number: u64,
    wanted: Wanted,
    sender: mpsc::Sender<Waiting>,
    left_out: Arc<AtomicU64>,
    bytes: Arc<AtomicUsize>,
}

/// Telemetry that waits to be taken.
#[derive(Debug)]
struct Waiting {
    live: Arc<Live>,
    bytes: usize,
}

/// One who listens, for as long as it is kept.
struct Listening {
    listeners: Arc<Listeners>,
    number: u64,
    tenant: String,
    came: mpsc::Receiver<Waiting>,
    left_out: Arc<AtomicU64>,
    /// Bytes of what waits.
    bytes: Arc<AtomicUsize>,
}

impl Listeners {
    /// Those of a shard of a node, with how many bytes wait for all who listen there.
    pub(crate) fn new(node: Arc<AtomicUsize>) -> Self {
        Self { node, ..Self::default() }
    }

    /// Whether anybody wants telemetry of a twin.
    pub(crate) fn want(&self, key: &str) -> bool {
        self.some.load(Ordering::Relaxed) && each(&self.lock(), key).next().is_some()
    }

    /// Telemetry came: how many of those who want it do not get it.
    pub(crate) fn tell(&self, live: Live) -> u64 {
        let (bytes, live) = (weigh(&live), Arc::new(live));
        let mut missed = 0;
        for one in each(&self.lock(), &live.key) {
            let has_room = one.bytes.load(Ordering::Relaxed) + bytes <= LIVE_BYTES
                && self.node.load(Ordering::Relaxed) + bytes <= LIVE_BYTES_ALL;
            let waiting = Waiting { live: Arc::clone(&live), bytes };
            if has_room && one.sender.try_send(waiting).is_ok() {
                one.bytes.fetch_add(bytes, Ordering::Relaxed);
                self.node.fetch_add(bytes, Ordering::Relaxed);
            } else {
                one.left_out.fetch_add(1, Ordering::Relaxed);
                missed += 1;
            }
        }
        missed
    }

    fn listen(self: &Arc<Self>, wanted: Wanted) -> Listening {
        let (sender, came) = mpsc::channel(LIVE_AHEAD);
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (left_out, bytes) = (Arc::<AtomicU64>::default(), Arc::<AtomicUsize>::default());
        let tenant = wanted.tenant().to_owned();
        let one = Listener {
            number,
            wanted,
            sender,
            left_out: Arc::clone(&left_out),
            bytes: Arc::clone(&bytes),
        };
        self.lock().entry(tenant.clone()).or_default().push(one);
        self.some.store(true, Ordering::Relaxed);
        Listening { listeners: Arc::clone(self), number, tenant, came, left_out, bytes }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Listener>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those who want telemetry of a twin.
fn each<'a>(
    all: &'a BTreeMap<String, Vec<Listener>>,
    key: &'a str,
) -> impl Iterator<Item = &'a Listener> {
    let some = [tenant(key), ""].into_iter().filter_map(|tenant| all.get(tenant)).flatten();
    some.filter(move |one| one.wanted.has(key))
}

fn weigh(live: &Live) -> usize {
    let values = live.values.iter().map(|(name, value)| name.len() + value_bytes(value));
    size_of::<Live>() + live.key.len() + values.sum::<usize>()
}

impl Listening {
    async fn next(&mut self) -> (Vec<Arc<Live>>, u64) {
        let mut came = Vec::with_capacity(LIVE_PER_ITEM);
        self.came.recv_many(&mut came, LIVE_PER_ITEM).await;
        // Whoever tells has counted it by the time that this has the lock.
        let told = self.listeners.lock();
        self.taken(came.iter().map(|one| one.bytes).sum());
        drop(told);
        let lives = came.into_iter().map(|one| one.live).collect();
        (lives, self.left_out.swap(0, Ordering::Relaxed))
    }

    fn taken(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.listeners.node.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut all = self.listeners.lock();
        if let Some(some) = all.get_mut(&self.tenant) {
            some.retain(|one| one.number != self.number);
            if some.is_empty() {
                all.remove(&self.tenant);
            }
        }
        self.taken(self.bytes.load(Ordering::Relaxed));
        self.listeners.some.store(!all.is_empty(), Ordering::Relaxed);
    }
}

/// What is heard on a shard that this node owns, of twins for which a filter holds.
fn here(
    handle: &ShardHandle,
    wanted: Wanted,
    sieve: Option<Arc<Sieve>>,
) -> BoxStream<'static, Heard> {
    let (listening, replica) = (handle.listeners().listen(wanted), handle.replica());
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

/// The same of a shard that another node owns, until that says why no more comes.
async fn there(
    router: &Router,
    to: NodeId,
    shard: ShardId,
    beginning: String,
    sieve: Option<&Sieve>,
) -> Result<BoxStream<'static, Result<Heard, CallFault>>, CallFault> {
    let filter = sieve.map(|sieve| sieve.filter().to_owned()).unwrap_or_default();
    let listen = Listen { shard: shard.0, beginning, filter };
    let items = router.forward().listen(to, &listen).await?;
    Ok(items.map(|item| decode::<Heard>(&item?).map_err(|_| CallFault::Failed)).boxed())
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
    let heard = here(&handle, Wanted::Beginning(beginning), sieve).map(|heard| {
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
        let (wanted, sieve) = (Wanted::of(scope), sieve.cloned());
        tokio::spawn(async move {
            let told = tell(&router, shard, &wanted, sieve.as_ref(), &sender);
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
    wanted: &Wanted,
    sieve: Option<&Arc<Sieve>>,
    sender: &mpsc::Sender<Heard>,
) {
    loop {
        let (heard, node) = match router.owner(shard) {
            Owner::Here(handle) => {
                (Ok(here(&handle, wanted.clone(), sieve.cloned()).map(Ok).boxed()), None)
            }
            Owner::There(node) => {
                let (Wanted::One(beginning) | Wanted::Beginning(beginning)) = wanted;
                let sieve = sieve.map(Arc::as_ref);
                (there(router, node, shard, beginning.clone(), sieve).await, Some(node))
            }
            Owner::Unknown => (Ok(stream::empty().boxed()), None),
        };
        let ended = match heard {
            Ok(heard) => pass_on(heard.take_until(moved(router, shard, node)), sender).await,
            Err(fault) => Err(fault),
        };
        // One that is busy, or does not let its caller listen, may be the owner all the same.
        if let (Err(CallFault::Unreachable), Some(node), Owner::There(still)) =
            (ended, node, router.owner(shard))
            && node == still
        {
            router.not_at(shard, node);
        }
        sleep(Duration::from_millis(WATCH_LOOK_MS)).await;
    }
}

/// Tells what is heard until no more comes, or nobody takes it; then `tell` is over, too.
async fn pass_on(
    heard: impl Stream<Item = Result<Heard, CallFault>>,
    sender: &mpsc::Sender<Heard>,
) -> Result<(), CallFault> {
    let mut heard = pin!(heard);
    while let Some(heard) = heard.next().await {
        if sender.send(heard?).await.is_err() {
            break;
        }
    }
    Ok(())
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
        assert!(!listeners.want("acme/a"));
        assert_eq!(listeners.tell(live("acme/a", 0)), 0, "nobody wants it");
        let mut one = listeners.listen(Wanted::Beginning("acme/".into()));
        let other = listeners.listen(Wanted::One("other/b".into()));
        assert!(listeners.want("acme/a") && listeners.want("other/b"));
        assert!(!listeners.want("other/b2") && !listeners.want("third/b"), "nobody asked");
        assert_eq!(listeners.tell(live("acme/a", 1)), 0);
        assert_eq!(one.next().now_or_never().unwrap().0.len(), 1);
        assert!(one.next().now_or_never().is_none());
        let count = LIVE_AHEAD as u64 + 3;
        let missed: u64 = (0..count).map(|n| listeners.tell(live("acme/a", n))).sum();
        assert_eq!(missed, 3, "it has room for some");
        let (lives, left_out) = one.next().now_or_never().unwrap();
        assert_eq!((lives.len(), left_out), (LIVE_PER_ITEM, 3));
        drop(other);
        assert!(!listeners.want("other/b") && listeners.want("acme/a"));
        drop(one);
        assert!(!listeners.want("acme/a"));
        assert_eq!(listeners.node.load(Ordering::Relaxed), 0, "nothing waits");
    }

    #[test]
    fn what_waits_is_bounded_by_bytes_too() {
        let listeners = Arc::<Listeners>::default();
        let mut one = listeners.listen(Wanted::Beginning(String::new()));
        let large = || {
            let text = "x".repeat(LIVE_BYTES / 4);
            Live { values: vec![("text".to_owned(), Value::from(text))], ..live("acme/a", 0) }
        };
        let missed = |count: u64| (0..count).map(|_| listeners.tell(large())).sum::<u64>();
        assert_eq!(missed(4), 1, "three have room");
        let (lives, left_out) = one.next().now_or_never().unwrap();
        assert_eq!((lives.len(), left_out), (3, 1));
        assert_eq!(missed(3), 0, "there is room again");
        // And by what waits for all of a node.
        listeners.node.fetch_add(LIVE_BYTES_ALL, Ordering::Relaxed);
        let mut other = listeners.listen(Wanted::One("acme/b".into()));
        assert_eq!(listeners.tell(live("acme/b", 0)), 2);
        assert_eq!(other.next().now_or_never().map(|_| ()), None);
    }
}
