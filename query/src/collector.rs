//! What a query finds: collected twin by twin on each shard, then put together.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use pollux_twin::Value;

use crate::error::{QueryError, TooCostly};
use crate::filter::{Expression, Filter};
use crate::limits::{GROUPS_MAX, ROWS_BYTES_MAX};
use crate::order::compare_with;
use crate::query::{Query, Rows, Shape};
use crate::subject::Subject;

/// A twin that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Tenant and device, as a twin's key writes them.
    pub key: String,
    /// What it is sorted by.
    pub order: Vec<Option<Value>>,
    /// What was selected; nothing where the twin has none.
    pub columns: Vec<Option<Value>>,
}

/// Twins that are alike in what they are grouped by.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What they are alike in.
    pub by: Vec<Option<Value>>,
    /// How many there are.
    pub count: u64,
}

/// What was found on some shards.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// The first ones, sorted; at most the query's limit.
    pub rows: Vec<Row>,
    /// If twins are counted.
    pub groups: Vec<Group>,
    /// Living twins that were looked at.
    pub scanned: u64,
    /// Those of them for which the filter holds.
    pub matched: u64,
    /// Those of them that stand behind the cursor.
    pub behind: u64,
}

/// Collects what a query finds.
pub struct Collector {
    query: Arc<Query>,
    bounds: Option<Arc<Filter>>,
    rows: Vec<Row>,
    bytes: usize,
    groups: BTreeMap<GroupKey, u64>,
    scanned: u64,
    matched: u64,
    behind: u64,
}

#[derive(PartialEq)]
struct GroupKey(Vec<Option<Value>>);

impl Eq for GroupKey {}

impl PartialOrd for GroupKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for GroupKey {
    fn cmp(&self, other: &Self) -> Ordering {
        let pairs = self.0.iter().zip(&other.0);
        let mut orderings = pairs.map(|(a, b)| compare_with(false, a.as_ref(), b.as_ref()));
        orderings.find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl Collector {
    /// One that has seen nothing.
    pub const fn new(query: Arc<Query>) -> Self {
        Self {
            query,
            bounds: None,
            rows: Vec::new(),
            bytes: 0,
            groups: BTreeMap::new(),
            scanned: 0,
            matched: 0,
            behind: 0,
        }
    }

    /// The same for somebody who may see those twins alone for which a filter certainly holds: others are not there, and
    /// not counted.
    #[must_use]
    pub fn within(self, bounds: Option<Arc<Filter>>) -> Self {
        Self { bounds, ..self }
    }

    /// Looks at a twin.
    ///
    /// # Errors
    /// An expression takes too long on it, or there is too much to be told.
    pub fn take(&mut self, key: &str, subject: &Subject<'_>) -> Result<(), QueryError> {
        let within = self.bounds.as_ref().is_none_or(|all| all.matches(subject) == Ok(true));
        if !subject.is_alive() || !within {
            return Ok(());
        }
        self.scanned += 1;
        let query = Arc::clone(&self.query);
        if let Some(filter) = &query.filter
            && !filter.matches(subject)?
        {
            return Ok(());
        }
        self.matched += 1;
        match &query.shape {
            Shape::Rows(rows) => self.row(rows, key, subject),
            Shape::Groups(by) => self.count(GroupKey(values(by.iter(), subject)?), 1),
        }
    }

    fn row(&mut self, rows: &Rows, key: &str, subject: &Subject<'_>) -> Result<(), QueryError> {
        let order = values(rows.order_by.iter().map(|(by, _)| by), subject)?;
        let mut row = Row { key: key.to_owned(), order, columns: Vec::new() };
        if rows.after.as_ref().is_some_and(|after| rows.compare(&row, after).is_le()) {
            return Ok(());
        }
        self.behind += 1;
        let place = self.rows.partition_point(|other| rows.compare(other, &row).is_lt());
        if place >= rows.limit {
            return Ok(());
        }
        row.columns = values(rows.select.iter(), subject)?;
        self.bytes += row.bytes();
        self.rows.insert(place, row);
        if self.rows.len() > rows.limit {
            self.bytes -= self.rows.pop().map_or(0, |row| row.bytes());
        }
        self.check_bytes()
    }

    fn count(&mut self, by: GroupKey, count: u64) -> Result<(), QueryError> {
        *self.groups.entry(by).or_default() += count;
        if self.groups.len() > GROUPS_MAX {
            return Err(QueryError::TooMuch(format!(
                "more than {GROUPS_MAX} groups; group by what fewer twins differ in"
            )));
        }
        Ok(())
    }

    fn check_bytes(&self) -> Result<(), QueryError> {
        if self.bytes > ROWS_BYTES_MAX {
            return Err(QueryError::TooMuch(format!(
                "rows of more than {ROWS_BYTES_MAX} bytes; select less, or set a lower limit"
            )));
        }
        Ok(())
    }

    /// Living twins that were looked at so far, and those of them for which the filter holds.
    pub const fn so_far(&self) -> (u64, u64) {
        (self.scanned, self.matched)
    }

    /// Adds what was found elsewhere.
    ///
    /// # Errors
    /// Together it is too much to be told.
    pub fn add(&mut self, part: Part) -> Result<(), QueryError> {
        self.scanned += part.scanned;
        self.matched += part.matched;
        self.behind += part.behind;
        for Group { by, count } in part.groups {
            self.count(GroupKey(by), count)?;
        }
        let query = Arc::clone(&self.query);
        self.rows.extend(part.rows);
        self.rows.sort_by(|a, b| query.compare(a, b));
        self.rows.truncate(query.limit());
        self.bytes = self.rows.iter().map(Row::bytes).sum();
        self.check_bytes()
    }

    /// What was found; the largest groups first.
    pub fn finish(self) -> Part {
        let groups = self.groups.into_iter();
        let mut groups: Vec<_> = groups.map(|(by, count)| Group { by: by.0, count }).collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        // Who counts all gets a number, be it zero.
        if let Shape::Groups(by) = &self.query.shape
            && by.is_empty()
            && groups.is_empty()
        {
            groups.push(Group { by: Vec::new(), count: 0 });
        }
        let Self { rows, scanned, matched, behind, .. } = self;
        Part { rows, groups, scanned, matched, behind }
    }
}

fn values<'e>(
    expressions: impl Iterator<Item = &'e Expression>,
    subject: &Subject<'_>,
) -> Result<Vec<Option<Value>>, TooCostly> {
    expressions.map(|expression| expression.value(subject)).collect()
}

impl Row {
    fn bytes(&self) -> usize {
        let bytes = |value: &Option<Value>| value.as_ref().map_or(4, Value::json_len);
        self.key.len() + self.order.iter().chain(&self.columns).map(bytes).sum::<usize>()
    }
}
