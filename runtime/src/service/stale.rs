//! Answers from the applied tables: what they stand for, and waiting until they are as fresh as was
//! asked (safety rule 25).

use std::time::Duration;

use pollux_cluster::access::Action;
use pollux_proto::convert::Freshness;
use pollux_proto::position::Position;
use pollux_twin::{Rejection, TwinKey, View};

use super::desk::{Desk, not_shown};
use super::limits::{STALE_PERIOD, STALE_WAIT_MAX};
use crate::access::Caller;
use crate::router::{Router, Scope};

/// What an answer stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stand {
    /// Everything up to here is shown, and perhaps something newer.
    pub(super) position: Position,
    /// How long ago it was all that had been acknowledged, at most; 0 at the owner.
    pub(super) age_ms: u64,
}

impl Stand {
    async fn of(router: &Router, scope: &Scope) -> Self {
        let (position, age_ms) = router.stand(scope).await;
        Self { position, age_ms }
    }

    fn meets(&self, wanted: &Freshness) -> Result<bool, Rejection> {
        let young = wanted.max_age_ms.is_none_or(|max| self.age_ms <= max);
        let Some(least) = &wanted.min_position else { return Ok(young) };
        if least.lineage != self.position.lineage {
            let reason = "min_position: of another life of this cluster; read without it";
            return Err(Rejection::Invalid { reason: reason.into() });
        }
        let reached = |(shard, here)| least.shards.get(shard).is_none_or(|least| least <= here);
        Ok(young && self.position.shards.iter().all(reached))
    }
}

impl Desk {
    /// Waits a little until the tables of a scope are as fresh as wanted.
    pub(super) async fn stand(
        &self,
        scope: &Scope,
        wanted: &Freshness,
        patience: Option<Duration>,
    ) -> Result<Stand, Rejection> {
        let patience = patience.map_or(STALE_WAIT_MAX, |patience| patience.min(STALE_WAIT_MAX));
        let end = self.clock.elapsed() + patience;
        let mut late = Rejection::NotOwner;
        loop {
            let left = end.saturating_sub(self.clock.elapsed());
            match tokio::time::timeout(left, Stand::of(&self.router, scope)).await {
                Ok(stand) if stand.meets(wanted)? => return Ok(stand),
                Ok(_) => late = Rejection::Behind,
                Err(_) => return Err(late),
            }
            // What is here is told at once, however little time is left.
            if left.is_zero() {
                return Err(late);
            }
            tokio::time::sleep(STALE_PERIOD).await;
        }
    }

    /// The twin as a replica's table has it, which may be old.
    pub(super) async fn stale(
        &self,
        caller: &Caller,
        key: TwinKey,
        wanted: &Freshness,
        patience: Option<Duration>,
    ) -> Result<(View, Stand), Rejection> {
        let scope = Scope::One(key);
        let narrowed = self.doorman.narrow(caller, Action::TwinRead, &scope, "")?;
        let stand = self.stand(&scope, wanted, patience).await?;
        let router = self.router_for(caller);
        if let (Scope::One(key), false) = (&scope, narrowed.bounds.is_empty()) {
            let view = router.matching(key, &narrowed, &stand.position).await?;
            return view.map(|view| (view, stand)).ok_or_else(|| not_shown(Action::TwinRead, key));
        }
        let mut page = router.list(&scope, None, 1, &stand.position.shards).await?;
        let view = page.items.pop().map(|(_, view)| view).ok_or(Rejection::NotFound)?;
        Ok((view, stand))
    }
}

#[cfg(test)]
mod tests {
    use pollux_proto::position::Place;
    use pollux_twin::ShardId;

    use super::*;

    fn position(lineage: u64, shards: &[(u16, u64)]) -> Position {
        let place = |(shard, index): &(u16, u64)| {
            (ShardId(*shard), Place { index: *index, ordinal: u32::MAX })
        };
        Position { lineage, shards: shards.iter().map(place).collect() }
    }

    #[test]
    fn only_what_is_fresh_enough_is_shown() {
        let stand = Stand { position: position(1, &[(0, 10), (1, 20)]), age_ms: 50 };
        let meets = |least: Option<Position>, max_age_ms| {
            stand.meets(&Freshness { min_position: least, max_age_ms })
        };
        assert_eq!(meets(None, None), Ok(true));
        assert_eq!(meets(None, Some(50)), Ok(true));
        assert_eq!(meets(None, Some(49)), Ok(false));
        assert_eq!(meets(Some(position(1, &[(0, 10)])), None), Ok(true));
        assert_eq!(meets(Some(position(1, &[(0, 11)])), None), Ok(false));
        assert_eq!(meets(Some(position(1, &[(7, 99), (1, 20)])), None), Ok(true), "no such shard");
        assert!(meets(Some(position(2, &[])), None).is_err(), "another lineage");
    }
}
