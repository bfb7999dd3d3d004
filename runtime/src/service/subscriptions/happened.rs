//! What positions are worth: one that is ahead of what has happened in a shard is taken from nobody, as what comes until
//! then would never be told; and where such a place is remembered, it is given up.

use std::cmp::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use pollux_proto::position::{Place, Position};
use pollux_twin::{Rejection, ShardId};

use super::super::desk::Desk;
use super::super::limits::{SHARING_RETRY_MS, SUBSCRIPTION_TRIES};
use super::{Kept, Record, give_way};
use crate::access::Caller;
use crate::limits::{BARRIER_MS_MAX, OWNER_WAIT_MS_MAX};

impl Desk {
    /// Refuses a position that names a place where nothing has happened yet, as the shard's owner knows it, or of which
    /// nobody can say now whether it does.
    pub(super) async fn must_have_happened(
        &self,
        record: &Record,
        position: &Position,
    ) -> Result<(), Rejection> {
        match position.lineage.cmp(&self.router.lineage()) {
            // It is worth nothing any more.
            Ordering::Less => Ok(()),
            Ordering::Greater => Err(ahead()),
            Ordering::Equal => {
                let patience = Duration::from_millis(OWNER_WAIT_MS_MAX);
                all_have(&self.have_come_to(record.news(position), patience).await)
            }
        }
    }

    /// Reads a subscription for who consumes it. Places where nothing has happened, which were taken before that was asked,
    /// are given up: all is told anew instead of nothing.
    pub(super) async fn where_it_stands(
        &self,
        caller: &Caller,
        tenant: &str,
        name: &str,
    ) -> Result<Record, Rejection> {
        // A shard of which nobody says anything now holds up nobody who consumes the others.
        let patience = Duration::from_millis(BARRIER_MS_MAX);
        for tries in 0..SUBSCRIPTION_TRIES {
            give_way(tries).await;
            let Kept { mut record, version } = self.subscription(caller, tenant, name).await?;
            let places = record.places(self.router.lineage());
            let all = self.router.shards_of(&record.scope()?);
            let known = all.filter_map(|shard| Some((shard, *places.get(&shard)?)));
            let have = self.have_come_to(known.collect(), patience).await;
            let never = have.into_iter().filter(|(_, has)| *has == Some(false));
            let never: Vec<_> = never.map(|(shard, _)| shard).collect();
            if never.is_empty() {
                return Ok(record);
            }
            tracing::warn!(tenant, name, shards = ?never, "a subscription is ahead of what has happened");
            record.give_up(never);
            match self.write_record(&record, version).await {
                Err(Rejection::VersionMismatch { .. }) => {}
                written => return written.map(|_| record),
            }
        }
        Err(Rejection::Overloaded { retry_after_ms: SHARING_RETRY_MS })
    }

    /// Of each shard, whether it has come to a place; none where nobody says so for as long as that.
    async fn have_come_to(
        &self,
        places: Vec<(ShardId, Place)>,
        patience: Duration,
    ) -> Vec<(ShardId, Option<bool>)> {
        let asked = places.into_iter().map(|(shard, place)| async move {
            (shard, self.router.has_come_to(shard, place, patience).await)
        });
        join_all(asked).await
    }
}

fn all_have(come: &[(ShardId, Option<bool>)]) -> Result<(), Rejection> {
    let is_said = |said| come.iter().any(|(_, has)| *has == said);
    if is_said(Some(false)) {
        return Err(ahead());
    }
    if is_said(None) { Err(Rejection::NotOwner) } else { Ok(()) }
}

fn ahead() -> Rejection {
    let reason =
        "position: ahead of what has happened; give one that came with an event, unchanged";
    Rejection::Invalid { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_taken_only_if_all_of_it_has_happened() {
        let judged = |said: &[Option<bool>]| {
            let come: Vec<_> = said.iter().map(|has| (ShardId(0), *has)).collect();
            all_have(&come)
        };
        assert_eq!(judged(&[]), Ok(()), "nothing of it is news");
        assert_eq!(judged(&[Some(true), Some(true)]), Ok(()));
        assert_eq!(judged(&[Some(true), None]), Err(Rejection::NotOwner), "it may be, later");
        assert_eq!(judged(&[None, Some(false), Some(true)]), Err(ahead()));
    }
}
