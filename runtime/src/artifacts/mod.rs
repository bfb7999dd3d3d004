//! The bytes of artifacts on this node, and their way to and from others.
//!
//! What artifacts there are the meta group agrees on (`fleet/artifact.rs` of cluster/); here are their bytes, each file
//! named by its SHA-256. `store` is the folder, `writer` one file that comes, `reader` one that is read, here or at
//! another node. `spread` has a majority hold what was brought, `fetch` takes from other nodes what is missing here,
//! `keeper` has that done and what nobody names removed, and `peer` is what nodes say to each other about it.

mod digest;
mod fault;
mod fetch;
mod keeper;
pub(crate) mod limits;
mod peer;
mod reader;
mod spread;
mod store;
mod writer;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pollux_cluster::NodeId;
use pollux_cluster::meta::MetaPicture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

pub(crate) use digest::verify;
pub(crate) use fault::ArtifactFault;
pub(crate) use reader::Bytestream;
pub(crate) use writer::Sealed;

use self::fetch::{Fetching, Pace};
use self::limits::{DOWNLOADS_MAX, READS_MAX, UPLOADS_MAX};
use self::store::Store;
use crate::clock::Clock;
use crate::cluster::{Decider, Forward};
use crate::config::ArtifactsConfig;
use crate::fault::Fault;
use crate::node::internal;
use crate::space::Space;

/// A SHA-256.
pub(crate) type Digest = [u8; 32];

/// The bytes of artifacts. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Depot {
    inner: Arc<Inner>,
}

struct Inner {
    node: NodeId,
    store: Store,
    space: Space,
    config: ArtifactsConfig,
    forward: Forward,
    decider: Decider,
    clock: Clock,
    pace: Pace,
    fetching: Mutex<HashMap<Digest, Fetching>>,
    uploads: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    stop: CancellationToken,
}

/// What a depot is made of, beside its folder.
pub(crate) struct Parts {
    pub(crate) node: NodeId,
    pub(crate) space: Space,
    pub(crate) config: ArtifactsConfig,
    pub(crate) forward: Forward,
    pub(crate) decider: Decider,
    pub(crate) clock: Clock,
    pub(crate) stop: CancellationToken,
}

impl Depot {
    /// Opens the folder below a data directory.
    pub(crate) fn open(data_dir: &std::path::Path, parts: Parts) -> Result<Self, Fault> {
        let store = Store::open(&data_dir.join("artifacts"))
            .map_err(|error| internal("the folder of artifacts", &error))?;
        let Parts { node, space, config, forward, decider, clock, stop } = parts;
        let inner = Inner {
            node,
            store,
            space,
            pace: Pace::new(config.fetch_bytes_per_s, clock),
            config,
            forward,
            decider,
            clock,
            fetching: Mutex::default(),
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
            downloads: Arc::new(Semaphore::new(DOWNLOADS_MAX)),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            stop,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The most bytes that an artifact may have.
    pub(crate) fn size_max(&self) -> u64 {
        self.inner.config.size_bytes_max
    }

    /// A turn to bring one, if not too many do.
    pub(crate) fn upload_turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.inner.uploads).try_acquire_owned().ok()
    }

    /// A turn of a service to read one, if not too many do.
    pub(crate) fn read_turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.inner.reads).try_acquire_owned().ok()
    }

    /// A turn of a device to come for one, if not too many do.
    pub(crate) fn download_turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.inner.downloads).try_acquire_owned().ok()
    }

    /// Whether the disk has room for so many bytes more.
    pub(crate) fn has_room(&self, bytes: u64) -> Result<(), ArtifactFault> {
        let Some(free) = self.inner.space.free_bytes() else { return Ok(()) };
        let kept = self.inner.config.free_bytes_kept;
        if free >= bytes.saturating_add(kept) { Ok(()) } else { Err(ArtifactFault::NoSpace) }
    }

    /// What the cluster agrees on, as this node knows it.
    pub(crate) fn picture(&self) -> watch::Receiver<MetaPicture> {
        self.inner.decider.picture()
    }

    /// Waits until this node knows which artifacts there are, as the cluster agrees on it now; false where it cannot.
    pub(crate) async fn learns_newest(&self) -> bool {
        self.inner.decider.catches_up().await
    }

    fn fetching(&self) -> MutexGuard<'_, HashMap<Digest, Fetching>> {
        self.inner.fetching.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The other nodes, from a different one on each time.
    fn others(&self) -> Vec<NodeId> {
        let picture = self.inner.decider.picture();
        let meta = Arc::clone(&picture.borrow().meta);
        let others = meta.members().map(|(id, _)| NodeId(id)).filter(|id| *id != self.inner.node);
        let mut others: Vec<_> = others.collect();
        if !others.is_empty() {
            let begin = rand::random::<u32>() as usize % others.len();
            others.rotate_left(begin);
        }
        others
    }
}
