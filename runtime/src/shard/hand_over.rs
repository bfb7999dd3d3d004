//! Handing a shard to another node on purpose (safety rule 7): nothing new is taken, what was taken is
//! finished, and only then another replica is asked to lead. If none takes it, the shard goes on here.

use std::time::Duration;

use pollux_cluster::{Group, HandOverError, NodeId};

use super::actor::ShardActor;
use super::messages::{Admission, Admit};
use crate::limits::{DRAIN_LOOK_MS, DRAIN_MS_MAX};

/// The way to hand a shard over.
pub(crate) struct HandOver {
    pub(super) actor: actix::Addr<ShardActor>,
    pub(super) group: Group,
}

impl HandOver {
    /// Hands the shard to one of these nodes, the first that can take it.
    ///
    /// # Errors
    /// Why it did not go there, for people.
    pub(crate) async fn run(&self, to: &[NodeId]) -> Result<(), String> {
        let ended = |_| "the shard has ended".to_owned();
        for _ in 0..DRAIN_MS_MAX / DRAIN_LOOK_MS {
            let drained = self.actor.send(Admit(Admission::Held)).await.map_err(ended)?;
            if drained {
                break;
            }
            tokio::time::sleep(Duration::from_millis(DRAIN_LOOK_MS)).await;
        }
        let mut result = Err("there is nobody to hand it to".to_owned());
        for node in to {
            match self.group.hand_over(Some(*node)).await {
                Ok(_) => return Ok(()),
                Err(error @ HandOverError::NoCandidate(_)) => result = Err(error.to_string()),
                Err(error) => {
                    result = Err(error.to_string());
                    break;
                }
            }
        }
        // Where the epoch is over all the same, the shard has closed and this changes nothing.
        self.actor.send(Admit(Admission::Open)).await.map_err(ended)?;
        result
    }
}
