//! A session's way to its twin, on this node or on another.

use std::sync::Arc;
use std::time::Duration;

use pollux_cluster::{Epoch as LeaderEpoch, NodeId};
use pollux_twin::input::{ConnectionId, FromDevice};
use pollux_twin::registration::Shown;
use pollux_twin::{ShardId, TwinKey};

use super::{Inner, Router};
use crate::clock::Clock;
use crate::cluster::Owner;
use crate::limits::MOVED_WAIT_MS_MAX;
use crate::session::{Outbox, Valve};
use crate::shard::{FromSession, Gone, TwinAddress};

/// A device, its certificate checked, that wants its session.
#[derive(Clone, Debug)]
pub(crate) struct Attach {
    pub(crate) key: TwinKey,
    pub(crate) connection: ConnectionId,
    pub(crate) incarnation: u64,
    /// What it proves itself by.
    pub(crate) shown: Shown,
    pub(crate) outbox: Arc<Outbox>,
}

/// Where a device's session can be.
pub(crate) enum Door {
    /// Here.
    Here(Attached),
    /// On another node.
    There(Elsewhere),
}

/// Another node that owns a shard.
pub(crate) struct Elsewhere {
    pub(crate) node: NodeId,
    /// `host:port` of its device endpoint.
    pub(crate) address: String,
    /// The epoch in which it owns the shard.
    pub(crate) epoch: LeaderEpoch,
}

/// A session's way to its twin.
pub(crate) struct Attached {
    pub(super) connection: ConnectionId,
    pub(super) twin: TwinAddress,
    pub(super) valve: Arc<Valve>,
    pub(super) shard: ShardId,
    pub(super) router: Router,
}

/// The twin's mailbox has no room, or the twin is gone: nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Attached {
    pub(crate) fn valve(&self) -> &Valve {
        &self.valve
    }

    pub(crate) fn clock(&self) -> Clock {
        self.router.inner.clock
    }

    /// Where the device goes on if another node owns its shard by now. While the shard is being handed
    /// over its next owner is waited for, for a moment: the word of it comes after the old one's end.
    pub(crate) async fn moved(&self) -> Option<(String, LeaderEpoch)> {
        let Inner { owners, shards, clock, .. } = &*self.router.inner;
        let end = clock.elapsed() + Duration::from_millis(MOVED_WAIT_MS_MAX);
        loop {
            match owners.owner(self.shard) {
                Owner::There(node) => return owners.door(node, self.shard),
                Owner::Here(_) => return None,
                Owner::Unknown => {}
            }
            let moving = shards.held(self.shard).is_some_and(|shard| shard.is_handed_over());
            if !moving || clock.elapsed() >= end {
                return None;
            }
            owners.changed(self.shard).await;
        }
    }

    /// Addresses of the other nodes that may own the device's shard next.
    pub(crate) fn next_owners(&self) -> Vec<String> {
        self.router.inner.owners.next(self.shard)
    }

    /// Hands a message to the twin's mailbox.
    pub(crate) fn tell(&self, message: FromDevice) -> Result<(), NoRoom> {
        self.twin.try_send(FromSession { connection: self.connection, message }).map_err(|_| NoRoom)
    }

    /// Says that the connection is gone, waiting for room in the mailbox.
    pub(crate) async fn detach(self) {
        // A twin that is gone has forgotten the connection already.
        let _ = self.twin.send(Gone { connection: self.connection }).await;
    }
}
