//! What a shard's group drives on this node: entries into the replica, states out of it and into it.

use std::sync::Arc;

use bytes::Bytes;
use pollux_cluster::{Fault, Position, Recovered, SnapshotSource, StateMachine};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::outgoing::Outgoing;
use super::replica::Replica;
use crate::checkpoint::{Incoming, IncomingFault, Keep};

#[cfg(test)]
mod tests;

/// What the shard's group applies its entries into.
pub(crate) struct ReplicaMachine {
    replica: Arc<Replica>,
    keep: Arc<Keep>,
}

impl ReplicaMachine {
    pub(crate) const fn new(replica: Arc<Replica>, keep: Arc<Keep>) -> Self {
        Self { replica, keep }
    }

    fn take_in(
        &self,
        position: Position,
        membership: Bytes,
        mut source: Box<dyn SnapshotSource>,
    ) -> Result<(), Fault> {
        let mut incoming = Incoming::begin(Arc::clone(&self.keep)).map_err(refused)?;
        while let Some(chunk) = source.next_chunk()? {
            incoming.push(&chunk).map_err(refused)?;
        }
        incoming.finish(&self.replica, position, membership).map_err(refused)
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
        Ok(Box::new(Outgoing::begin(Arc::clone(&self.replica))?))
    }

    fn install(
        &mut self,
        position: Position,
        membership: Bytes,
        source: Box<dyn SnapshotSource>,
    ) -> Result<(), Fault> {
        blocking(|| self.take_in(position, membership, source))
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
