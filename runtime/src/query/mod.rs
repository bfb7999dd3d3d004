//! Queries over the twins of a tenant, wherever their shards are: who is asked, the looking itself, and
//! how much of it may be under way. What an expression means and what is kept of what is found is query/'s.

mod ask;
mod remote;
mod scan;

use std::sync::Arc;
use std::time::Duration;

use pollux_cluster::NodeId;
use pollux_proto::convert::Cursor;
use pollux_proto::limits::{QUERY_TEXT_BYTES_MAX, QUERY_TEXTS_MAX};
use pollux_proto::position::Position;
use pollux_proto::{convert, v1};
use pollux_query::{
    After, EXPRESSION_BYTES_MAX, EXPRESSIONS_MAX, Filter, OrderBy, Part, Query, QueryError, Text,
};
use pollux_twin::index::Lookup;
use pollux_twin::{Rejection, ShardId, TenantId, Time};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use self::remote::serve;
use crate::access::Narrowed;
use crate::limits::{QUERIES_MAX, QUERIES_WAITING_MAX, QUERY_RETRY_MS, QUERY_WAIT_MS_MAX};

// Whatever can be asked here can be asked of another node.
const _: () =
    assert!(EXPRESSION_BYTES_MAX <= QUERY_TEXT_BYTES_MAX, "each expression fits the wire");
const _: () = assert!(EXPRESSIONS_MAX <= QUERY_TEXTS_MAX, "all expressions fit the wire");

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) tenant: TenantId,
    pub(crate) text: Text,
    pub(crate) query: Arc<Query>,
    /// What of it policies ask for; twins for which that does not hold are not there.
    pub(crate) bounds: Option<Arc<Filter>>,
    /// The expressions' `now`.
    pub(crate) now: Time,
    /// Whether it is to be told how each shard was looked at.
    pub(crate) explain: bool,
}

/// How a shard was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) shard: ShardId,
    /// Where.
    pub(crate) node: NodeId,
    /// The path of the index that was asked; none: all twins were looked at.
    pub(crate) index: Option<String>,
    /// Twins of all tenants that live on the shard.
    pub(crate) twins: u64,
    /// Those of the tenant that were looked at.
    pub(crate) scanned: u64,
    /// Those for which the filter holds.
    pub(crate) matched: u64,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) part: Part,
    pub(crate) position: Position,
    /// If it was to be told.
    pub(crate) ways: Vec<Way>,
}

impl Question {
    /// Reads a request; `filter` gives its filter for the tenant, without what only this node knows.
    pub(crate) fn read(
        request: &v1::QueryRequest,
        filter: impl FnOnce(&str) -> Result<String, Rejection>,
        now: Time,
    ) -> Result<Self, Rejection> {
        let convert::Query { tenant, limit, after } = convert::query(request)?;
        let order =
            |order: &v1::QueryOrder| OrderBy { by: order.by.clone(), descending: order.descending };
        let text = Text {
            filter: filter(tenant.as_str())?,
            select: request.select.clone(),
            order_by: request.order_by.iter().map(order).collect(),
            limit,
            after: after.map(|Cursor { order, key }| After { order, key }),
            count: request.count,
            group_by: request.group_by.clone(),
        };
        Self::of(tenant, text, now, request.explain)
    }

    /// The same for whoever may see a part only.
    pub(crate) fn narrowed(self, to: Narrowed) -> Result<Self, Rejection> {
        let Self { tenant, text, now, explain, .. } = self;
        let bounds = bounds(&to.bounds)?;
        let question = Self::of(tenant, Text { filter: to.filter, ..text }, now, explain)?;
        Ok(Self { bounds, ..question })
    }

    fn of(tenant: TenantId, text: Text, now: Time, explain: bool) -> Result<Self, Rejection> {
        let query = Arc::new(Query::parse(&text).map_err(refused)?);
        Ok(Self { tenant, text, query, bounds: None, now, explain })
    }

    /// What indexes can be asked. Where policies say which twins there are, their filters alone say how many are looked at:
    /// how long that takes tells nothing of others.
    fn lookups(&self) -> Vec<Lookup> {
        match &self.bounds {
            Some(bounds) => bounds.lookups(),
            None => self.query.lookups(),
        }
    }
}

fn bounds(text: &str) -> Result<Option<Arc<Filter>>, Rejection> {
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = Filter::parse(text);
    parsed
        .map(Arc::new)
        .map(Some)
        .map_err(|error| Rejection::Invalid { reason: format!("filter: {error}") })
}

impl Answer {
    /// The cursor with which the next page begins; empty if there is none.
    pub(crate) fn next_cursor(&self, request: &v1::QueryRequest) -> String {
        let rows = &self.part.rows;
        let shown = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        match rows.last() {
            Some(last) if self.part.behind > shown => {
                Cursor { order: last.order.clone(), key: last.key.clone() }.write(request)
            }
            _ => String::new(),
        }
    }
}

fn refused(error: QueryError) -> Rejection {
    Rejection::Invalid { reason: error.to_string() }
}

/// How many queries look at once on this node, and how many wait for that.
#[derive(Clone)]
pub(crate) struct Turns {
    looking: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Turns {
    pub(crate) fn new() -> Self {
        let looking = Arc::new(Semaphore::new(QUERIES_MAX));
        Self { looking, waiting: Arc::new(Semaphore::new(QUERIES_WAITING_MAX)) }
    }

    /// Waits for a turn, not for long.
    async fn next(&self) -> Result<OwnedSemaphorePermit, Rejection> {
        let overloaded = Rejection::Overloaded { retry_after_ms: QUERY_RETRY_MS };
        let Ok(_waits) = self.waiting.try_acquire() else { return Err(overloaded) };
        let patience = Duration::from_millis(QUERY_WAIT_MS_MAX);
        let turn = Arc::clone(&self.looking).acquire_owned();
        match tokio::time::timeout(patience, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(overloaded),
        }
    }
}
