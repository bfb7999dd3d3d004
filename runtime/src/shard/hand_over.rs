//! Handing a shard to another node on purpose (safety rule 7): its devices connect there ahead, nothing new is
//! taken, what was taken is finished, and only then the other replica is asked to lead. If it does not take
//! it, the shard goes on here.

use std::sync::Arc;
use std::time::Duration;

use pollux_cluster::{Group, NodeId};
use tokio::sync::Semaphore;

use super::actor::ShardActor;
use super::messages::{Admission, Admit, Prepare};
use crate::limits::{DRAIN_LOOK_MS, DRAIN_MS_MAX, PREPARE_MS_MAX, PREPARE_WAIT_MS};

/// The way to hand a shard over.
pub(crate) struct HandOver {
    pub(super) actor: actix::Addr<ShardActor>,
    pub(super) group: Group,
    /// Turns of this node's shards to tell some of their devices.
    pub(super) preparing: Arc<Semaphore>,
}

impl HandOver {
    /// Hands the shard to a node, whose device endpoint is at `address`.
    ///
    /// # Errors
    /// Why it did not go there, for people.
    pub(crate) async fn run(&self, to: NodeId, address: Option<Arc<str>>) -> Result<(), String> {
        if let Some(address) = address {
            self.prepare(address).await;
        }
        tracing::debug!(group = %self.group.id(), %to, "draining");
        let result = match self.drain().await? {
            Drained::Finished => {
                tracing::debug!(group = %self.group.id(), %to, "drained");
                self.group.hand_over(Some(to)).await.map(drop).map_err(|error| error.to_string())
            }
            // What is on its way would be lost with the epoch, and its callers told so.
            Drained::Unfinished => {
                Err("what it was asked before is not finished in time".to_owned())
            }
        };
        tracing::debug!(group = %self.group.id(), %to, ?result, "handed over");
        if result.is_err() {
            // Where the epoch is over all the same, the shard has closed and this changes nothing.
            self.actor.send(Admit(Admission::Open)).await.map_err(ended)?;
        }
        result
    }

    /// Lets devices connect to the next owner while this one still serves them.
    async fn prepare(&self, address: Arc<str>) {
        let told = self.actor.send(Prepare { address, preparing: Arc::clone(&self.preparing) });
        let told = tokio::time::timeout(Duration::from_millis(PREPARE_MS_MAX), told).await;
        // Those that were not told in time connect when the move has come.
        if !matches!(told, Ok(Ok(0))) {
            tokio::time::sleep(Duration::from_millis(PREPARE_WAIT_MS)).await;
        }
    }

    /// Takes nothing new, and waits until what was taken is finished.
    async fn drain(&self) -> Result<Drained, String> {
        let finished = async {
            let mut before = false;
            loop {
                let finished = self.actor.send(Admit(Admission::Held)).await.map_err(ended)?;
                // Once is not enough: what was taken just before may still be in a twin's mailbox.
                if before && finished {
                    return Ok(Drained::Finished);
                }
                before = finished;
                tokio::time::sleep(Duration::from_millis(DRAIN_LOOK_MS)).await;
            }
        };
        let patience = Duration::from_millis(DRAIN_MS_MAX);
        tokio::time::timeout(patience, finished).await.unwrap_or(Ok(Drained::Unfinished))
    }
}

/// Whether a shard has finished what it was asked.
enum Drained {
    Finished,
    Unfinished,
}

fn ended(_: actix::MailboxError) -> String {
    "the shard has ended".to_owned()
}
