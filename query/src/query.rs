//! A query: which twins, what of them, in which order, how many; or how many of each kind there are.

use std::cmp::Ordering;

use pollux_twin::Value;
use pollux_twin::index::Lookup;

use crate::collector::Row;
use crate::error::{ExpressionError, QueryError};
use crate::filter::{Expression, Filter};
use crate::limits::{EXPRESSIONS_MAX, ROWS_MAX};
use crate::order::compare_with;

/// A query as it is written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Text {
    /// Which twins; empty: all.
    pub filter: String,
    /// An expression for each column.
    pub select: Vec<String>,
    /// What rows are sorted by, first things first; then by their names.
    pub order_by: Vec<OrderBy>,
    /// How many rows.
    pub limit: usize,
    /// Only rows behind this one.
    pub after: Option<After>,
    /// Count twins instead of showing them.
    pub count: bool,
    /// Count those apart that differ in these.
    pub group_by: Vec<String>,
}

/// What rows are sorted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderBy {
    /// An expression.
    pub by: String,
    /// Greatest first.
    pub descending: bool,
}

/// A row that was the last of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct After {
    /// What it was sorted by.
    pub order: Vec<Option<Value>>,
    /// Its twin's key.
    pub key: String,
}

/// A query that can be carried out.
#[derive(Clone, Debug)]
pub struct Query {
    pub(crate) filter: Option<Filter>,
    pub(crate) shape: Shape,
}

#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Rows(Rows),
    Groups(Vec<Expression>),
}

#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) select: Vec<Expression>,
    pub(crate) order_by: Vec<(Expression, bool)>,
    pub(crate) limit: usize,
    pub(crate) after: Option<Row>,
}

impl Query {
    /// Compiles a query.
    ///
    /// # Errors
    /// An expression is wrong, or the parts do not fit together.
    pub fn parse(text: &Text) -> Result<Self, QueryError> {
        let unfit = |why: &str| Err(QueryError::Unfit(why.to_owned()));
        let filter = match text.filter.trim() {
            "" => None,
            filter => Some(in_part("filter", Filter::parse(filter))?),
        };
        if text.count || !text.group_by.is_empty() {
            if !text.select.is_empty() || !text.order_by.is_empty() || text.after.is_some() {
                return unfit("who counts gets no rows: leave select, order_by and cursor out");
            }
            let shape = Shape::Groups(expressions("group_by", &text.group_by)?);
            return Ok(Self { filter, shape });
        }
        if text.limit == 0 || text.limit > ROWS_MAX {
            return Err(QueryError::Unfit(format!("limit {}: 1 to {ROWS_MAX}", text.limit)));
        }
        let select = expressions("select", &text.select)?;
        let by: Vec<_> = text.order_by.iter().map(|order| order.by.clone()).collect();
        let descending = text.order_by.iter().map(|order| order.descending);
        let order_by: Vec<_> = expressions("order_by", &by)?.into_iter().zip(descending).collect();
        if text.after.as_ref().is_some_and(|after| after.order.len() != order_by.len()) {
            return unfit("the cursor is of another query: use it with the query that gave it");
        }
        let after = text.after.clone();
        let after = after.map(|After { order, key }| Row { key, order, columns: Vec::new() });
        Ok(Self { filter, shape: Shape::Rows(Rows { select, order_by, limit: text.limit, after }) })
    }

    /// What indexes can be asked for it; see [`Filter::lookups`].
    pub fn lookups(&self) -> Vec<Lookup> {
        self.filter.as_ref().map(Filter::lookups).unwrap_or_default()
    }

    /// Which of two rows comes first.
    pub fn compare(&self, a: &Row, b: &Row) -> Ordering {
        match &self.shape {
            Shape::Rows(rows) => rows.compare(a, b),
            Shape::Groups(_) => Ordering::Equal,
        }
    }

    /// How many rows are wanted; none where twins are counted.
    pub const fn limit(&self) -> usize {
        match &self.shape {
            Shape::Rows(rows) => rows.limit,
            Shape::Groups(_) => 0,
        }
    }
}

impl Rows {
    pub(crate) fn compare(&self, a: &Row, b: &Row) -> Ordering {
        let orders = a.order.iter().zip(&b.order).zip(&self.order_by);
        let by_order = orders
            .map(|((a, b), (_, descending))| compare_with(*descending, a.as_ref(), b.as_ref()))
            .find(|ordering| ordering.is_ne());
        by_order.unwrap_or_else(|| a.key.cmp(&b.key))
    }
}

fn expressions(part: &'static str, texts: &[String]) -> Result<Vec<Expression>, QueryError> {
    if texts.len() > EXPRESSIONS_MAX {
        let len = texts.len();
        return Err(QueryError::Unfit(format!(
            "{part}: {len} expressions, at most {EXPRESSIONS_MAX}"
        )));
    }
    texts.iter().map(|text| in_part(part, Expression::parse(text))).collect()
}

fn in_part<T>(part: &'static str, result: Result<T, ExpressionError>) -> Result<T, QueryError> {
    result.map_err(|error| QueryError::Expression { part, error })
}
