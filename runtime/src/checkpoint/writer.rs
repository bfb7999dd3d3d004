//! When checkpoints are written, and the writing: one shard after the other on a thread of its own,
//! so that neither twins nor log wait for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pollux_cluster::{Group, Position};
use pollux_twin::{ShardId, TwinKey};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::header::Header;
use super::store::{Store, StoreFault};
use crate::clock::Clock;
use crate::limits::{CHECKPOINT_PERIOD, CHECKPOINT_ROOM_BYTES, CUT_IMAGES};
use crate::metrics::Metrics;
use crate::shard::Replica;
use crate::space::Space;

/// Parts of the interval over which shards are spread.
const SPREAD: u32 = 16;

/// When to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CheckpointOptions {
    /// A shard that changed is written at least this often.
    pub(crate) interval: Duration,
    /// A shard whose log grew by this much is written at once.
    pub(crate) log_bytes: u64,
}

/// A checkpoint that was not written; the log keeps what it would have held.
#[derive(Debug, Error)]
pub(crate) enum CheckpointFault {
    #[error(transparent)]
    Store(#[from] StoreFault),
    #[error("let the log go behind a checkpoint: {0}")]
    Log(#[from] pollux_cluster::Fault),
    #[error("write checkpoint: its thread ended")]
    Thread,
    #[error(
        "write checkpoint: {free} bytes are free on the disk, and it needs {needed}; make room"
    )]
    NoRoom { free: u64, needed: u64 },
}

/// Images of a shard that were cut and are not yet written.
type Unwritten = BTreeMap<TwinKey, Arc<[u8]>>;

/// A shard as the checkpointer sees it.
pub(crate) struct Written {
    pub(crate) replica: Arc<Replica>,
    pub(crate) group: Group,
    unwritten: Arc<Mutex<Unwritten>>,
}

impl Written {
    pub(crate) fn new(replica: Arc<Replica>, group: Group) -> Self {
        Self { replica, group, unwritten: Arc::default() }
    }
}

/// Writes the checkpoints of a node's groups.
pub(crate) struct Checkpointer {
    pub(crate) store: Store,
    pub(crate) shards: Vec<Written>,
    /// Shards that are there from now on.
    pub(crate) added: mpsc::Receiver<Written>,
    pub(crate) options: CheckpointOptions,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) space: Space,
}

impl Checkpointer {
    /// Writes what is due until the node stops, then everything once more.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut written: Vec<Duration> = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(added) = self.added.recv() => {
                    // Spread over the interval, so that shards do not all come due at once.
                    let share = self.options.interval * (u32::from(added.replica.shard().0) % SPREAD);
                    written.push(self.clock.elapsed() + share / SPREAD);
                    self.shards.push(added);
                    continue;
                }
                () = tokio::time::sleep(CHECKPOINT_PERIOD) => {}
            }
            for (at, last) in written.iter_mut().enumerate() {
                let now = self.clock.elapsed();
                let grown = self.shards[at].replica.log_bytes() >= self.options.log_bytes;
                if !grown && now < *last + self.options.interval {
                    continue;
                }
                *last = now;
                self.write_or_log(at).await;
            }
        }
        for at in 0..self.shards.len() {
            self.write_or_log(at).await;
        }
    }

    async fn write_or_log(&self, at: usize) {
        if let Err(fault) = self.write(at).await {
            let shard = self.shards[at].replica.shard();
            tracing::error!(%fault, %shard, "checkpoint failed; the log is kept");
        }
    }

    async fn write(&self, at: usize) -> Result<(), CheckpointFault> {
        let Written { replica, group, unwritten } = &self.shards[at];
        let began = self.clock.elapsed();
        let written = {
            let (store, space) = (self.store.clone(), self.space.clone());
            let (replica, unwritten) = (Arc::clone(replica), Arc::clone(unwritten));
            let write = move || {
                let mut unwritten = unwritten.lock().unwrap_or_else(PoisonError::into_inner);
                write_shard(&store, &space, &replica, &mut unwritten)
            };
            tokio::task::spawn_blocking(write).await.map_err(|_| CheckpointFault::Thread)??
        };
        let Some((position, twins)) = written else { return Ok(()) };
        replica.set_checkpointed(position);
        group.checkpointed(position).await?;
        self.metrics.checkpoint_seconds.observe(self.clock.elapsed().saturating_sub(began));
        self.metrics.checkpoints_total.inc();
        self.metrics.checkpoint_twins_total.inc_by(twins);
        tracing::debug!(shard = %replica.shard(), index = position.index, twins, "checkpoint");
        Ok(())
    }
}

/// Writes one shard's changes and makes them durable: its position, and how many twins.
///
/// `unwritten` holds images of a cut that could not be written: the table counts them as written,
/// so they go with the next one.
fn write_shard(
    store: &Store,
    space: &Space,
    replica: &Replica,
    unwritten: &mut Unwritten,
) -> Result<Option<(Position, u64)>, CheckpointFault> {
    let Some(cut) = replica.begin_cut() else { return Ok(None) };
    loop {
        let images = replica.take_cut(CUT_IMAGES);
        if images.is_empty() {
            break;
        }
        unwritten.extend(images);
    }
    let header = Header::new(cut.position, &cut.membership, &replica.end_cut());
    check_room(space, unwritten)?;
    let tree = store.tree(&tree_name(replica.shard()))?;
    let values = unwritten.iter().map(|(key, image)| (key.as_str(), Some(image)));
    tree.write(&header.encode(), values)?;
    store.sync()?;
    let twins = unwritten.len() as u64;
    *unwritten = Unwritten::new();
    Ok(Some((cut.position, twins)))
}

/// sled must never meet a full disk: it would refuse all that follows, too.
fn check_room(space: &Space, unwritten: &Unwritten) -> Result<(), CheckpointFault> {
    let bytes = |(key, image): (&TwinKey, &Arc<[u8]>)| (key.as_str().len() + image.len()) as u64;
    let needed = unwritten.iter().map(bytes).sum::<u64>() * 2 + CHECKPOINT_ROOM_BYTES;
    match space.free_bytes() {
        Some(free) if free < needed => Err(CheckpointFault::NoRoom { free, needed }),
        _ => Ok(()),
    }
}

/// The name of a shard's tree.
pub(super) fn tree_name(shard: ShardId) -> String {
    format!("shard-{shard}")
}
