//! What a shard's group drives on this node: entries into the replica, states out of it and into it.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use pollux_cluster::{
    Fault, Position, Recovered, Sinks, SnapshotSink, SnapshotSource, StateMachine,
};
use pollux_twin::ShardId;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::outgoing::Outgoing;
use super::replica::Replica;
use crate::checkpoint::{Incoming, IncomingFault, Keep};
use crate::metrics::Metrics;

#[cfg(test)]
mod tests;

/// What the shard's group applies its entries into.
pub(crate) struct ReplicaMachine {
    replica: Arc<Replica>,
    keep: Arc<Keep>,
    metrics: Arc<Metrics>,
}

impl ReplicaMachine {
    pub(crate) const fn new(replica: Arc<Replica>, keep: Arc<Keep>, metrics: Arc<Metrics>) -> Self {
        Self { replica, keep, metrics }
    }
}

/// A state that comes in, chunk by chunk onto the disk.
struct IncomingSink {
    shard: ShardId,
    /// There until it is dropped, which waits for the disk as well.
    incoming: Option<Incoming>,
    metrics: Arc<Metrics>,
}

impl SnapshotSink for IncomingSink {
    fn push(&mut self, chunk: Bytes) -> Result<(), Fault> {
        let Some(incoming) = &mut self.incoming else { return Err(Fault::Closed("the state")) };
        self.metrics.snapshot_bytes_total.of("received").inc_by(chunk.len() as u64);
        blocking(|| incoming.push(&chunk)).map_err(refused)
    }

    fn end(&mut self, position: Position) -> Result<(), Fault> {
        let Some(incoming) = &mut self.incoming else { return Err(Fault::Closed("the state")) };
        blocking(|| incoming.end(self.shard, position)).map_err(refused)
    }
}

impl Drop for IncomingSink {
    fn drop(&mut self) {
        if let Some(incoming) = self.incoming.take() {
            blocking(|| drop(incoming));
        }
    }
}

/// A state that goes out, counted.
struct Counted {
    outgoing: Outgoing,
    metrics: Arc<Metrics>,
}

impl SnapshotSource for Counted {
    fn next_chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        let chunk = self.outgoing.next_chunk()?;
        let bytes = chunk.as_ref().map_or(0, Bytes::len);
        self.metrics.snapshot_bytes_total.of("sent").inc_by(bytes as u64);
        Ok(chunk)
    }
}

impl StateMachine for ReplicaMachine {
    fn recovered(&mut self) -> Result<Recovered, Fault> {
        let (applied, membership) = self.replica.place();
        Ok(Recovered { applied, membership })
    }

    fn apply(&mut self, position: Position, entry: &[u8]) -> Bytes {
        self.replica.apply(position, entry)
    }

    fn advance(&mut self, position: Position, membership: Option<Bytes>) {
        self.replica.advance(position, membership);
    }

    fn snapshot(&mut self) -> Result<Box<dyn SnapshotSource>, Fault> {
        let outgoing = Outgoing::begin(Arc::clone(&self.replica))?;
        Ok(Box::new(Counted { outgoing, metrics: Arc::clone(&self.metrics) }))
    }

    fn sinks(&self) -> Sinks {
        let (shard, keep) = (self.replica.shard(), Arc::clone(&self.keep));
        let metrics = Arc::clone(&self.metrics);
        Arc::new(move || {
            let incoming = blocking(|| Incoming::begin(Arc::clone(&keep))).map_err(refused)?;
            let (incoming, metrics) = (Some(incoming), Arc::clone(&metrics));
            Ok(Box::new(IncomingSink { shard, incoming, metrics }))
        })
    }

    fn install(
        &mut self,
        position: Position,
        membership: Bytes,
        sink: Box<dyn SnapshotSink>,
    ) -> Result<(), Fault> {
        let sink: Box<dyn Any> = sink;
        let incoming =
            sink.downcast::<IncomingSink>().ok().and_then(|mut sink| sink.incoming.take());
        let incoming = incoming.ok_or_else(|| {
            Fault::StateMachine("a state came in another way than it is taken".into())
        })?;
        blocking(|| incoming.finish(&self.replica, position, membership)).map_err(refused)
    }
}

fn refused(fault: IncomingFault) -> Fault {
    Fault::StateMachine(format!("take in a state from another replica: {fault}"))
}

/// Runs what waits for the disk where other tasks of this thread need not wait with it.
fn blocking<T>(run: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(run),
        _ => run(),
    }
}
