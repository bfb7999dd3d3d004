//! The twins of a shard for which a watch's filter holds, a page at a time, found by an index if there is one that
//! leaves few: what a picture is made of. Both ends
//! of asking another node for one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pollux_cluster::access::Action;
use pollux_cluster::{CallFault, NodeId};
use pollux_proto::feed::{SiftTwins, SiftedTwins};
use pollux_proto::forward::{decode, encode};
use pollux_twin::{Rejection, ShardId, TwinKey, View};
use tokio::task::spawn_blocking;

use super::Sieve;
use crate::access::Guard;
use crate::cluster::Forward;
use crate::limits::{
    LIST_MS_MAX, PAGE_MAX, SIFTED_BYTES_PER_PAGE, SIFTED_LOOKS_PER_PAGE, SIFTED_SCAN,
};
use crate::router::Router;
use crate::shard::Replica;

/// Some twins, in the order of their keys.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<(TwinKey, View)>,
    /// Where to go on; none at the end.
    pub(crate) next: Option<TwinKey>,
}

/// The next of a replica's twins for which the filter holds; perhaps none, and more to come.
pub(crate) async fn page(
    replica: Arc<Replica>,
    sieve: Arc<Sieve>,
    after: Option<TwinKey>,
) -> Result<Page, Rejection> {
    let looked = spawn_blocking(move || look(&replica, &sieve, after));
    looked.await.map_err(|_| Rejection::NotOwner)
}

fn look(replica: &Replica, sieve: &Sieve, mut after: Option<TwinKey>) -> Page {
    let opened = replica.opened();
    let (mut items, mut looked, mut bytes) = (Vec::new(), 0, 0);
    // Who comes to be one of them later is told as a change.
    let mut few = replica.keys_of(|table| sieve.few(table)).map(|mut keys| {
        keys.retain(|key| {
            key.as_str().starts_with(sieve.beginning()) && after.as_ref().is_none_or(|at| key > at)
        });
        // Here, and not where the table is held.
        keys.sort_unstable();
        keys.into_iter()
    });
    while items.len() + SIFTED_SCAN <= PAGE_MAX
        && looked < SIFTED_LOOKS_PER_PAGE
        && bytes < SIFTED_BYTES_PER_PAGE
    {
        let (images, taken) = match &mut few {
            Some(keys) => {
                let keys: Vec<_> = keys.take(SIFTED_SCAN).collect();
                let taken = keys.len();
                // Some may be gone since: that is not the end.
                after = keys.last().cloned().or(after);
                (replica.images(keys), taken)
            }
            None => {
                let images = replica.scan(sieve.beginning(), after.as_ref(), SIFTED_SCAN);
                after = images.last().map(|(key, _)| key.clone()).or(after);
                let taken = images.len();
                (images, taken)
            }
        };
        let last = taken < SIFTED_SCAN;
        looked += taken;
        for (key, image) in images {
            if let Some(view) = sieve.picture(&key, &image, opened) {
                bytes += image.len();
                items.push((key, view));
            }
        }
        if last {
            return Page { items, next: None };
        }
    }
    Page { items, next: after }
}

/// The same of a shard whose replica is on another node.
pub(crate) async fn there(
    forward: &Forward,
    to: NodeId,
    (shard, least): (ShardId, u64),
    sieve: &Sieve,
    after: Option<&TwinKey>,
) -> Result<Page, Rejection> {
    let ask = SiftTwins {
        shard: shard.0,
        least,
        beginning: sieve.beginning().to_owned(),
        filter: sieve.filter().to_owned(),
        after: after.map(|key| key.as_str().to_owned()),
    };
    let patience = Duration::from_millis(LIST_MS_MAX);
    let answer = forward.sift_twins(to, &ask, patience).await;
    let page: SiftedTwins = answer
        .and_then(|bytes| decode(&bytes).map_err(|_| CallFault::Failed))
        .map_err(|_| Rejection::NotOwner)?;
    let parsed = |key: String| TwinKey::parse(&key).map_err(|_| Rejection::NotOwner);
    let items = page.items.into_iter().map(|(key, view)| Ok((parsed(key)?, view)));
    Ok(Page {
        items: items.collect::<Result<_, Rejection>>()?,
        next: page.next.map(parsed).transpose()?,
    })
}

/// What another node asks of a shard that is held here.
pub(crate) async fn serve(
    router: &Router,
    payload: &[u8],
    guard: &Guard,
) -> Result<Bytes, CallFault> {
    let asked: SiftTwins = decode(payload).map_err(|_| CallFault::Failed)?;
    // What a watch begins with, one twin that is read where its tags or groups say who may, or whom a job selects.
    let all = [Action::TwinWatch, Action::TwinRead, Action::TwinQuery];
    let narrowed = guard.filtered_for(&all, &asked.beginning, &asked.filter);
    let narrowed = narrowed.map_err(|_| CallFault::Failed)?;
    let sieve = Sieve::of(asked.beginning, &narrowed).map_err(|_| CallFault::Failed)?;
    let sieve = Arc::new(sieve.ok_or(CallFault::Failed)?);
    let after = asked.after.as_deref().map(TwinKey::parse).transpose();
    let after = after.map_err(|_| CallFault::Failed)?;
    let shown = router.shown(ShardId(asked.shard), asked.least).ok_or(CallFault::Unreachable)?;
    let page = page(shown.replica(), sieve, after).await.map_err(|_| CallFault::Failed)?;
    let text = |key: TwinKey| key.as_str().to_owned();
    let items = page.items.into_iter().map(|(key, view)| (text(key), view)).collect();
    encode(&SiftedTwins { items, next: page.next.map(text) }).map_err(|error| {
        tracing::error!(%error, "twins for another node were not written");
        CallFault::Failed
    })
}
