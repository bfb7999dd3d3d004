//! When checkpoints are written, and the writing: one shard after the other on a thread of its own,
//! so that neither twins nor log wait for it.

use std::sync::Arc;
use std::time::Duration;

use pollux_cluster::Group;
use pollux_twin::ShardId;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::keep::Keep;
use super::store::StoreFault;
use crate::clock::Clock;
use crate::limits::{CHECKPOINT_PERIOD, CHECKPOINT_SPREAD};
use crate::metrics::Metrics;
use crate::shard::Replica;

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
}

/// A shard as the checkpointer sees it.
#[derive(Clone)]
pub(crate) struct Written {
    pub(crate) replica: Arc<Replica>,
    pub(crate) group: Group,
    pub(crate) keep: Arc<Keep>,
}

/// Which shards have checkpoints to be written.
pub(crate) enum Roll {
    /// This one, from now on.
    Added(Box<Written>),
    /// This one no longer; once told, nobody writes it any more.
    Left(ShardId, oneshot::Sender<()>),
}

/// Writes the checkpoints of a node's groups.
pub(crate) struct Checkpointer {
    pub(crate) shards: Vec<Written>,
    pub(crate) roll: mpsc::Receiver<Roll>,
    pub(crate) options: CheckpointOptions,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
}

impl Checkpointer {
    /// Writes what is due until the node stops, then everything once more.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut written: Vec<Duration> = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(roll) = self.roll.recv() => {
                    self.take(roll, &mut written);
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

    fn take(&mut self, roll: Roll, written: &mut Vec<Duration>) {
        match roll {
            Roll::Added(added) => {
                // Spread over the interval, so that shards do not all come due at once.
                let share = self.options.interval
                    * (u32::from(added.replica.shard().0) % CHECKPOINT_SPREAD);
                written.push(self.clock.elapsed() + share / CHECKPOINT_SPREAD);
                self.shards.push(*added);
            }
            Roll::Left(shard, done) => {
                let at = self.shards.iter().position(|written| written.replica.shard() == shard);
                if let Some(at) = at {
                    self.shards.remove(at);
                    written.remove(at);
                }
                // Whoever does not wait any more has given up.
                let _ = done.send(());
            }
        }
    }

    async fn write_or_log(&self, at: usize) {
        if let Err(fault) = self.write(at).await {
            let shard = self.shards[at].replica.shard();
            tracing::error!(%fault, %shard, "checkpoint failed; the log is kept");
        }
    }

    async fn write(&self, at: usize) -> Result<(), CheckpointFault> {
        let Written { replica, group, keep } = &self.shards[at];
        let began = self.clock.elapsed();
        let written = {
            let (replica, keep) = (Arc::clone(replica), Arc::clone(keep));
            tokio::task::spawn_blocking(move || keep.write(&replica))
                .await
                .map_err(|_| CheckpointFault::Thread)??
        };
        let Some((position, twins)) = written else { return Ok(()) };
        group.checkpointed(position).await?;
        self.metrics.checkpoint_seconds.observe(self.clock.elapsed().saturating_sub(began));
        self.metrics.checkpoints_total.inc();
        self.metrics.checkpoint_twins_total.inc_by(twins);
        tracing::debug!(shard = %replica.shard(), index = position.index, twins, "checkpoint");
        Ok(())
    }
}

/// The name of a shard's tree.
pub(crate) fn tree_name(shard: ShardId) -> String {
    format!("shard-{shard}")
}

/// The shard whose tree has this name; `None` for that of another group.
pub(crate) fn shard_of_tree(name: &str) -> Option<ShardId> {
    name.strip_prefix("shard-")?.parse().ok().map(ShardId)
}
