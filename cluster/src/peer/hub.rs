//! All connections of a node with its peers. Owns which one is in use for each peer; leaves how it came
//! to be to `dial` and `accept`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use pollux_proto::peer::NodeFacts;
use quinn::Endpoint;
use tokio::sync::{Notify, Semaphore};
use tokio::task::{AbortHandle, JoinSet};

use super::book::{Book, Refusal};
use super::link::{CloseCode, Lanes, Link};
use super::rate::Rate;
use super::site::{Counts, Site};
use crate::clock::Clock;
use crate::ids::NodeId;
use crate::limits::{PEER_DUPLICATE_MS, PEER_GREETINGS_MAX, PEER_JOINS_MAX, PEER_JOINS_PER_S};

/// What all tasks of the network share.
pub(super) struct Hub {
    pub(super) endpoint: Endpoint,
    pub(super) own: NodeFacts,
    pub(super) site: Arc<Site>,
    pub(super) clock: Clock,
    pub(super) client: RwLock<quinn::ClientConfig>,
    /// Handshakes and greetings that peers have begun with this node.
    pub(super) greetings: Arc<Semaphore>,
    /// Joining nodes at the desk.
    pub(super) joins: Arc<Semaphore>,
    pub(super) join_rate: Mutex<Rate>,
    book: Mutex<Book>,
    links: RwLock<HashMap<NodeId, Arc<Link>>>,
    dialling: Mutex<BTreeMap<NodeId, Dialling>>,
    tasks: Mutex<JoinSet<()>>,
    /// Peers that do not take this node for what it says it is, and why.
    turned_away: Mutex<BTreeMap<NodeId, String>>,
}

struct Dialling {
    task: AbortHandle,
    /// Told when it should try at once.
    again: Arc<Notify>,
}

impl Hub {
    pub(super) fn new(endpoint: Endpoint, own: NodeFacts, client: quinn::ClientConfig) -> Self {
        Self {
            endpoint,
            own,
            site: Arc::default(),
            clock: Clock::start(),
            client: RwLock::new(client),
            greetings: Arc::new(Semaphore::new(PEER_GREETINGS_MAX)),
            joins: Arc::new(Semaphore::new(PEER_JOINS_MAX)),
            join_rate: Mutex::new(Rate::new(PEER_JOINS_PER_S)),
            book: Mutex::new(Book::new(own)),
            links: RwLock::default(),
            dialling: Mutex::default(),
            tasks: Mutex::default(),
            turned_away: Mutex::default(),
        }
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A peer does not take this node for what it says it is, or takes it.
    pub(super) fn turned_away(&self, by: NodeId, why: Option<String>) {
        let mut turned_away = self.turned_away.lock().unwrap_or_else(PoisonError::into_inner);
        match why {
            Some(why) => drop(turned_away.insert(by, why)),
            None => drop(turned_away.remove(&by)),
        }
    }

    /// What such a peer says.
    pub(super) fn why_turned_away(&self) -> Option<String> {
        let turned_away = self.turned_away.lock().unwrap_or_else(PoisonError::into_inner);
        turned_away.values().next().cloned()
    }

    /// The connection with a peer, if there is one that works as far as is known.
    pub(super) fn link(&self, node: NodeId) -> Option<Arc<Link>> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        links.get(&node).filter(|link| link.is_open()).cloned()
    }

    /// Runs a task until it ends or the network is closed.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task)
    }

    /// Whether a node may come in. If another process under its id still answers, it may not, whatever
    /// it says of itself.
    pub(super) async fn admit(&self, named: (u128, u64), said: &NodeFacts) -> Result<(), Refusal> {
        let other = self.link(NodeId(said.node));
        if let Some(other) = other.filter(|other| other.remote.instance != said.instance)
            && named == (other.remote.cluster, other.remote.node)
            && other.answers().await
        {
            let message = format!(
                "another process is node {} and still answers; a disk must not be copied",
                said.node
            );
            let reason = pollux_proto::peer::PeerRefusal::SecondNode;
            return Err(Refusal { reason, message });
        }
        self.book().admit(named, said)
    }

    /// Takes a connection into use, unless another one is to be kept. Both sides may have dialled at
    /// once: then both keep the one that the node with the lower id dialled.
    pub(super) fn adopt(self: &Arc<Self>, link: Arc<Link>, lanes: Lanes) {
        {
            let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(old) = links.get(&link.peer()).filter(|old| old.is_open()) {
                let crossed = old.remote.instance == link.remote.instance
                    && link.since.saturating_sub(old.since)
                        < Duration::from_millis(PEER_DUPLICATE_MS);
                if crossed && old.dialled_by < link.dialled_by {
                    return link.close(CloseCode::Duplicate, b"the other connection is kept");
                }
                old.close(CloseCode::Replaced, b"a newer connection takes its place");
            }
            links.insert(link.peer(), Arc::clone(&link));
        }
        Counts::add(&self.site.counts.connections, 1);
        tracing::info!(
            peer = %link.peer(), address = %link.connection.remote_address(),
            dialled_by = %link.dialled_by, "connected with a peer"
        );
        let hub = Arc::clone(self);
        self.spawn(async move {
            Arc::clone(&link).run(lanes).await;
            let mut links = hub.links.write().unwrap_or_else(PoisonError::into_inner);
            if links.get(&link.peer()).is_some_and(|used| Arc::ptr_eq(used, &link)) {
                links.remove(&link.peer());
                let reason = link.connection.close_reason().map(|reason| reason.to_string());
                tracing::info!(peer = %link.peer(), ?reason, "lost the connection with a peer");
            }
        });
    }

    /// Begins and ends dialling as the book says, and drops connections with removed nodes.
    pub(super) fn follow_book(self: &Arc<Self>) {
        let wanted = self.book().nodes();
        let mut dialling = self.dialling.lock().unwrap_or_else(PoisonError::into_inner);
        dialling.retain(|node, dialling| {
            let keep = wanted.contains(node);
            if !keep {
                dialling.task.abort();
            }
            keep
        });
        for node in wanted {
            if let Some(dialling) = dialling.get(&node) {
                dialling.again.notify_one();
                continue;
            }
            let again = Arc::new(Notify::new());
            let task = super::dial::keep_dialling(Arc::clone(self), node, Arc::clone(&again));
            dialling.insert(node, Dialling { task: self.spawn(task), again });
        }
        drop(dialling);
        for link in self.links() {
            if self.book().is_removed(link.peer()) {
                link.close(CloseCode::Refused, b"the node was removed");
            }
        }
    }

    fn links(&self) -> Vec<Arc<Link>> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        links.values().cloned().collect()
    }

    /// Ends everything: peers are told.
    pub(super) async fn close(&self) {
        self.endpoint.close((CloseCode::Stopping as u32).into(), b"the node stops");
        let mut tasks = {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        };
        tasks.shutdown().await;
        for link in self.links() {
            link.end();
        }
        self.endpoint.wait_idle().await;
    }
}
