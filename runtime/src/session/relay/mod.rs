//! Devices that cannot dial the owner of their shard: another node passes on what they and the owner say.
//! Here is what the relaying node keeps of them; `passage` carries the bytes on it, `carried` is their
//! session's line on the owner.

mod carried;
mod passage;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use pollux_cluster::peer::Items;
use pollux_cluster::{CallFault, NodeId};
use pollux_proto::forward::decode;
use pollux_proto::relay::{Down, Relay, Relayed};
use pollux_twin::TwinKey;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

pub(super) use passage::Passage;

use crate::cluster::{Forward, Served, refused};
use crate::limits::{RELAYED_ITEMS_MAX, RELAYED_MAX};
use crate::metrics::Metrics;

/// Whether this node relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relaying {
    /// It does, for devices that ask.
    On,
    /// It redirects them all the same.
    Off,
}

/// Why a device is not relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotRelayed {
    /// As many are as may be.
    Full,
    /// The owner does not know how: it is of an older version.
    Unknown,
    /// That node is no owner, or cannot be reached.
    NotThere,
}

/// The devices that this node relays.
pub(crate) struct Relays {
    relaying: Relaying,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What devices say whose owner has not asked for it yet, by the number of each.
    waiting: HashMap<u64, Waiting>,
    relayed: usize,
}

struct Waiting {
    owner: NodeId,
    up: mpsc::Receiver<Bytes>,
}

/// The way to the owner of a relayed device, and the first that it said.
pub(super) struct Way {
    up: mpsc::Sender<Bytes>,
    down: Items,
    first: Bytes,
    place: Place,
}

/// A device among those that are relayed, until this is dropped.
struct Place {
    relays: Arc<Relays>,
    id: u64,
}

impl Relays {
    pub(super) fn new(relaying: Relaying, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { relaying, metrics, state: Mutex::default() })
    }

    pub(super) fn relaying(&self) -> Relaying {
        self.relaying
    }

    /// Has the owner of a device's shard open a session for it.
    pub(super) async fn begin(
        self: &Arc<Self>,
        forward: &Forward,
        owner: NodeId,
        (key, incarnation, address): (&TwinKey, u64, String),
    ) -> Result<Way, NotRelayed> {
        let (up, said) = mpsc::channel(RELAYED_ITEMS_MAX);
        let place = self.place(Waiting { owner, up: said }).ok_or(NotRelayed::Full)?;
        let relay = Relay { id: place.id, key: key.as_str().to_owned(), incarnation, address };
        let mut down = forward.relay(owner, &relay).await.map_err(|_| NotRelayed::NotThere)?;
        match down.next().await {
            Some(Ok(item)) => match Down::from_item(&item) {
                Ok(Down::Bytes(first)) => Ok(Way { up, down, first, place }),
                Ok(Down::NotOwner | Down::Close { .. }) => Err(NotRelayed::NotThere),
                Err(error) => {
                    tracing::warn!(%owner, %error, "an owner says what is no word of a relay");
                    Err(NotRelayed::NotThere)
                }
            },
            // It was asked, and did not understand.
            Some(Err(CallFault::Failed)) => Err(NotRelayed::Unknown),
            Some(Err(_)) | None => Err(NotRelayed::NotThere),
        }
    }

    /// An owner asks for what a device says: each is told once, and only to whom was asked for it.
    pub(crate) fn open_for_owner(&self, from: NodeId, payload: &[u8]) -> Served {
        let asked = decode::<Relayed>(payload).ok();
        let said = asked.and_then(|Relayed { id }| {
            let mut state = self.lock();
            let is_asked = state.waiting.get(&id).is_some_and(|waiting| waiting.owner == from);
            is_asked.then(|| state.waiting.remove(&id)).flatten()
        });
        match said {
            Some(Waiting { up, .. }) => ReceiverStream::new(up).map(Ok).boxed(),
            None => {
                // The device may be gone already.
                tracing::debug!(%from, "a node asks for a device that is not relayed to it");
                refused(CallFault::Failed)
            }
        }
    }

    fn place(self: &Arc<Self>, waiting: Waiting) -> Option<Place> {
        let mut state = self.lock();
        if state.relayed >= RELAYED_MAX {
            return None;
        }
        // By chance rather than in a row: a number of a run before this one must not be one of this.
        let id = rand::random();
        if state.waiting.contains_key(&id) {
            return None;
        }
        state.waiting.insert(id, waiting);
        state.relayed += 1;
        self.metrics.sessions_relayed.inc();
        Some(Place { relays: Arc::clone(self), id })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.relays.lock();
        state.waiting.remove(&self.id);
        state.relayed -= 1;
        self.relays.metrics.sessions_relayed.dec();
    }
}

#[cfg(test)]
mod tests {
    use pollux_proto::forward::encode;

    use super::*;

    const OWNER: NodeId = NodeId(2);

    fn waiting() -> (mpsc::Sender<Bytes>, Waiting) {
        let (said, up) = mpsc::channel(1);
        (said, Waiting { owner: OWNER, up })
    }

    #[tokio::test]
    async fn only_the_owner_that_was_asked_hears_the_device_and_only_once() {
        let relays = Relays::new(Relaying::On, Arc::new(Metrics::new()));
        let (said, waits) = waiting();
        let place = relays.place(waits).unwrap();
        said.try_send(Bytes::from_static(b"x")).unwrap();
        let ask = |from, id| relays.open_for_owner(from, &encode(&Relayed { id }).unwrap());
        let failed = Some(Err(CallFault::Failed));
        assert_eq!(ask(NodeId(3), place.id).next().await, failed, "another node");
        assert_eq!(ask(OWNER, place.id ^ 1).next().await, failed, "another device");
        for nonsense in [&b""[..], b"x", &[0xff; 64]] {
            assert_eq!(relays.open_for_owner(OWNER, nonsense).next().await, failed);
        }
        let mut heard = ask(OWNER, place.id);
        assert_eq!(heard.next().await, Some(Ok(Bytes::from_static(b"x"))));
        assert_eq!(ask(OWNER, place.id).next().await, failed, "once");
        drop(said);
        assert_eq!(heard.next().await, None);
    }

    #[test]
    fn there_are_only_so_many_and_who_goes_makes_room() {
        let metrics = Arc::new(Metrics::new());
        let relays = Relays::new(Relaying::On, Arc::clone(&metrics));
        let mut places: Vec<_> =
            (0..RELAYED_MAX).map(|_| relays.place(waiting().1).unwrap()).collect();
        assert!(relays.place(waiting().1).is_none());
        places.pop();
        assert!(relays.place(waiting().1).is_some());
        drop(places);
        assert_eq!(metrics.sessions_relayed.get(), 0);
        assert!(relays.lock().waiting.is_empty());
    }
}
