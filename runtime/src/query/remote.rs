//! A query of shards that another node owns: both ends of it, and how what is found becomes items.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use pollux_cluster::access::Action;
use pollux_cluster::{CallFault, NodeId};
use pollux_proto::forward::{decode, encode};
use pollux_proto::limits::QUERIED_ITEMS_MAX;
use pollux_proto::query::{self as wire, Ask, Done};
use pollux_query::{After, Group, OrderBy, Part, Row, Text};
use pollux_twin::{Rejection, ShardId, TenantId, Time, Value};

use super::scan::Found;
use super::{Question, Way};
use crate::access::{Guard, Narrowed};
use crate::cluster::{Forward, Served, refused};
use crate::limits::{QUERY_ITEM_BYTES, QUERY_MS_MAX};
use crate::router::Router;

/// Has another node look at shards that it owns.
pub(super) async fn ask(
    forward: &Forward,
    to: NodeId,
    shards: &[ShardId],
    question: &Question,
) -> Result<Found, Rejection> {
    let Question { tenant, text, now, .. } = question;
    let order_by = text.order_by.iter().map(|order| (order.by.clone(), order.descending));
    let asked = Ask {
        shards: shards.iter().map(|shard| shard.0).collect(),
        tenant: tenant.as_str().to_owned(),
        filter: text.filter.clone(),
        select: text.select.clone(),
        order_by: order_by.collect(),
        limit: u32::try_from(text.limit).unwrap_or(u32::MAX),
        after: text.after.as_ref().map(|after| (after.order.clone(), after.key.clone())),
        count: text.count,
        group_by: text.group_by.clone(),
        now_ms: now.ms,
    };
    let answer = async {
        let items = match question.explain {
            false => forward.query(to, &asked).await,
            true => forward.explain(to, &asked).await,
        };
        let mut items = items.map_err(|_| Rejection::NotOwner)?;
        let (mut part, mut ways) = (Part::default(), Vec::new());
        while let Some(item) = items.next().await {
            let bytes = item.map_err(|_| Rejection::NotOwner)?;
            match decode::<wire::Found>(&bytes).map_err(|_| Rejection::NotOwner)? {
                wire::Found::Rows(rows) => part.rows.extend(rows.into_iter().map(row)),
                wire::Found::Groups(groups) => part.groups.extend(groups.into_iter().map(group)),
                wire::Found::Ways(told) => {
                    ways.extend(told.into_iter().map(|way| way_at(to, way)));
                }
                wire::Found::Refused(reason) => return Err(Rejection::Invalid { reason }),
                wire::Found::Done(Done { places, scanned, matched, behind }) => {
                    let part = Part { scanned, matched, behind, ..part };
                    let place = |(shard, index)| (ShardId(shard), index);
                    let places = places.into_iter().map(place).collect();
                    return Ok(Found { part, places, ways });
                }
            }
        }
        Err(Rejection::NotOwner)
    };
    in_time(answer).await
}

/// What a node tells unless it takes too long. One that is lost is noticed long before: who is late has too much to look
/// at, and would have at the next attempt.
async fn in_time(
    answer: impl Future<Output = Result<Found, Rejection>>,
) -> Result<Found, Rejection> {
    let patience = Duration::from_millis(QUERY_MS_MAX);
    let late = Rejection::TookTooLong { max_ms: QUERY_MS_MAX };
    tokio::time::timeout(patience, answer).await.unwrap_or(Err(late))
}

/// What another node asks of shards that are owned here.
pub(crate) fn serve(
    router: Option<&Router>,
    payload: &[u8],
    explain: bool,
    guard: &Guard,
) -> Served {
    let answered = router.cloned().ok_or(CallFault::Unreachable);
    let asked = decode::<Ask>(payload).map_err(|_| CallFault::Failed).and_then(|asked| {
        let beginning = format!("{}/", asked.tenant);
        let narrowed = guard.filtered(Action::TwinQuery, &beginning, &asked.filter);
        narrowed.map(|narrowed| (asked, narrowed)).map_err(|_| CallFault::Failed)
    });
    let items = async move {
        let (router, (asked, narrowed)) = (answered?, asked?);
        let shards: Vec<_> = asked.shards.iter().copied().map(ShardId).collect();
        let found = match read(asked, narrowed, explain) {
            Ok(question) => router.query_here(&shards, &question).await,
            Err(rejection) => Err(rejection),
        };
        match found {
            Ok(found) => items(found),
            Err(Rejection::Invalid { reason }) => Ok(vec![wire::Found::Refused(reason)]),
            Err(_) => Err(CallFault::Unreachable),
        }
    };
    let written = |items: Result<Vec<wire::Found>, CallFault>| match items {
        Ok(items) => stream::iter(items).map(|item| write(&item)).boxed(),
        Err(fault) => refused(fault),
    };
    stream::once(items).flat_map(written).boxed()
}

fn read(asked: Ask, narrowed: Narrowed, explain: bool) -> Result<Question, Rejection> {
    let invalid = |error: &dyn std::fmt::Display| Rejection::Invalid { reason: error.to_string() };
    let tenant = TenantId::parse(&asked.tenant).map_err(|error| invalid(&error))?;
    let order_by = asked.order_by.into_iter();
    let text = Text {
        filter: asked.filter,
        select: asked.select,
        order_by: order_by.map(|(by, descending)| OrderBy { by, descending }).collect(),
        limit: usize::try_from(asked.limit).unwrap_or(usize::MAX),
        after: asked.after.map(|(order, key)| After { order, key }),
        count: asked.count,
        group_by: asked.group_by,
    };
    Question::of(tenant, text, Time::from_ms(asked.now_ms), explain)?.narrowed(narrowed)
}

/// What was found, in pieces that are not too large.
fn items(found: Found) -> Result<Vec<wire::Found>, CallFault> {
    let Found { part, places, ways } = found;
    let rows = part.rows.into_iter().map(|Row { key, order, columns }| {
        let bytes = key.len() + weight(&order) + weight(&columns);
        (wire::Row { key, order, columns }, bytes)
    });
    let groups = part.groups.into_iter().map(|Group { by, count }| {
        let bytes = weight(&by) + 8;
        (wire::Group { by, count }, bytes)
    });
    let mut items: Vec<_> = pieces(rows).map(wire::Found::Rows).collect();
    items.extend(pieces(groups).map(wire::Found::Groups));
    let ways = ways.into_iter().map(|way| {
        let bytes = way.index.as_ref().map_or(0, String::len) + 64;
        (told(way), bytes)
    });
    items.extend(pieces(ways).map(wire::Found::Ways));
    items.push(wire::Found::Done(Done {
        places: places.into_iter().map(|(shard, index)| (shard.0, index)).collect(),
        scanned: part.scanned,
        matched: part.matched,
        behind: part.behind,
    }));
    Ok(items)
}

/// About what values take up on the wire.
fn weight(values: &[Option<Value>]) -> usize {
    values.iter().map(|value| 8 + value.as_ref().map_or(0, Value::json_len)).sum()
}

fn pieces<T>(weighed: impl Iterator<Item = (T, usize)>) -> impl Iterator<Item = Vec<T>> {
    let mut weighed = weighed.peekable();
    std::iter::from_fn(move || {
        let (first, mut bytes) = weighed.next()?;
        let mut piece = vec![first];
        while let Some((_, weight)) = weighed.peek()
            && bytes + weight <= QUERY_ITEM_BYTES
            && piece.len() < QUERIED_ITEMS_MAX
        {
            bytes += weight;
            piece.extend(weighed.next().map(|(next, _)| next));
        }
        Some(piece)
    })
}

fn write(item: &wire::Found) -> Result<Bytes, CallFault> {
    encode(item).map_err(|error| {
        tracing::error!(%error, "what was found for another node was not written");
        CallFault::Failed
    })
}

fn row(row: wire::Row) -> Row {
    let wire::Row { key, order, columns } = row;
    Row { key, order, columns }
}

fn told(way: Way) -> wire::Way {
    let Way { shard, node: _, index, twins, scanned, matched } = way;
    wire::Way { shard: shard.0, index, twins, scanned, matched }
}

fn way_at(node: NodeId, way: wire::Way) -> Way {
    let wire::Way { shard, index, twins, scanned, matched } = way;
    Way { shard: ShardId(shard), node, index, twins, scanned, matched }
}

fn group(group: wire::Group) -> Group {
    Group { by: group.by, count: group.count }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_node_that_takes_too_long_is_not_asked_again() {
        let late = in_time(pending()).await.err().expect("it ends");
        assert_eq!(late, Rejection::TookTooLong { max_ms: QUERY_MS_MAX });
        let said = pollux_proto::status::message(&late);
        assert!(said.contains("fewer twins") && said.contains("index"), "{said}");
        // One that is lost is.
        let lost = in_time(ready(Err(Rejection::NotOwner))).await.err();
        assert_eq!(lost, Some(Rejection::NotOwner));
    }
}
