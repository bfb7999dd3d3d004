//! What comes of the shards that a consumer of a shared subscription holds: a watch for each, all into one line.

use std::collections::{BTreeMap, BTreeSet};

use pollux_proto::convert;
use pollux_twin::{Rejection, ShardId};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::super::desk::{Desk, Room};
use super::super::limits::CONSUMED_AHEAD;
use super::record::Record;
use crate::access::Caller;
use crate::router::{Scope, WatchItem};

/// What came of a part.
type Came = (ShardId, u64, Option<Result<WatchItem, Rejection>>);

/// See the module.
pub(super) struct Parts {
    desk: Desk,
    caller: Caller,
    room: Room,
    /// The watches, each with the number that tells it from one before of the same shard.
    open: BTreeMap<ShardId, (u64, AbortHandle)>,
    opened: u64,
    line: (mpsc::Sender<Came>, mpsc::Receiver<Came>),
}

impl Parts {
    pub(super) fn new(desk: &Desk, caller: &Caller) -> Result<Self, Rejection> {
        Ok(Self {
            desk: desk.clone(),
            caller: caller.clone(),
            room: desk.room_to_watch()?,
            open: BTreeMap::new(),
            opened: 0,
            line: mpsc::channel(CONSUMED_AHEAD),
        })
    }

    /// From now on these shards are watched, those that are new after what their watch says.
    pub(super) fn watch<'a>(
        &mut self,
        wanted: &BTreeSet<ShardId>,
        record: &'a Record,
        asked: impl Fn(ShardId) -> Result<convert::Watch, Rejection> + 'a,
    ) -> Result<(), Rejection> {
        self.open.retain(|shard, (_, watch)| {
            let stays = wanted.contains(shard);
            if !stays {
                watch.abort();
            }
            stays
        });
        for shard in wanted {
            if !self.open.contains_key(shard) {
                let asked = asked(*shard)?;
                let (tenant, prefix) = (record.tenant.clone(), record.prefix.clone());
                self.begin(*shard, asked, Scope::Part { tenant, prefix, shard: *shard });
            }
        }
        Ok(())
    }

    /// The number of the watch that a shard has now.
    pub(super) fn number(&self, shard: ShardId) -> Option<u64> {
        self.open.get(&shard).map(|(number, _)| *number)
    }

    /// A shard is watched no more, until it is wanted again.
    pub(super) fn close(&mut self, shard: ShardId) {
        if let Some((_, watch)) = self.open.remove(&shard) {
            watch.abort();
        }
    }

    fn begin(&mut self, shard: ShardId, asked: convert::Watch, scope: Scope) {
        self.opened += 1;
        let (number, sender) = (self.opened, self.line.0.clone());
        let (desk, caller, room) = (self.desk.clone(), self.caller.clone(), self.room.clone());
        let told = async move {
            let mut watching = match desk.watch_scope(&caller, &asked, scope, room).await {
                Ok(watching) => watching,
                Err(rejection) => {
                    let _ = sender.send((shard, number, Some(Err(rejection)))).await;
                    return;
                }
            };
            loop {
                let item = watching.next().await;
                let is_over = !matches!(item, Some(Ok(_)));
                if sender.send((shard, number, item)).await.is_err() || is_over {
                    return;
                }
            }
        };
        self.open.insert(shard, (number, tokio::spawn(told).abort_handle()));
    }

    /// The next item, and of which shard it is. May be dropped at any time.
    pub(super) async fn next(&mut self) -> (ShardId, Result<WatchItem, Rejection>) {
        loop {
            let Some((shard, number, item)) = self.line.1.recv().await else {
                unreachable!("one sender is kept here");
            };
            // What is left of a watch that was ended is another's to tell.
            if self.open.get(&shard).is_some_and(|(open, _)| *open == number) {
                return (shard, item.unwrap_or(Err(Rejection::NotOwner)));
            }
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.open.values().for_each(|(_, watch)| watch.abort());
    }
}
