//! What the filters of subscriptions are asked of is kept while nobody consumes, too: a change that no replica
//! kept the twin around could not be told as one.

use pollux_twin::Rejection;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::super::desk::Desk;
use super::super::limits::{SUBSCRIPTIONS_KEPT_EVERY, SUBSCRIPTIONS_RETRY};
use super::record;

/// Sees to it until the node stops.
pub(in crate::service) async fn keep(desk: Desk, stopping: CancellationToken) {
    let mut tick = interval(SUBSCRIPTIONS_KEPT_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = tick.tick() => {}
        }
        let told = async {
            while let Err(rejection) = round(&desk).await {
                tracing::debug!(?rejection, "subscriptions are not known yet");
                sleep(SUBSCRIPTIONS_RETRY).await;
            }
        };
        tokio::select! {
            () = stopping.cancelled() => return,
            () = told => {}
        }
    }
}

async fn round(desk: &Desk) -> Result<(), Rejection> {
    for record in desk.records(&record::every()).await? {
        if !record.filter.is_empty() {
            desk.router.keep_states(&record.scope()?).await;
        }
    }
    Ok(())
}
