//! What a node that owns shards finds for another that queries them for its callers. Archived like frames,
//! and checked like them before use; written and read by [`crate::forward`]'s functions. What a query
//! means is query/'s.

use pollux_twin::Value;
use rkyv::{Archive, Deserialize, Serialize};

use crate::device::check::{Check, text, value};
use crate::device::{FrameError, Wire};
use crate::limits::{QUERIED_ITEMS_MAX, QUERY_TEXT_BYTES_MAX, QUERY_TEXTS_MAX, TEXT_BYTES_MAX};

/// Asks for what is on some shards.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Ask {
    /// Which.
    pub shards: Vec<u16>,
    /// Whose twins.
    pub tenant: String,
    /// Which twins; empty: all.
    pub filter: String,
    /// An expression for each column.
    pub select: Vec<String>,
    /// Expressions that rows are sorted by, and whether the greatest come first.
    pub order_by: Vec<(String, bool)>,
    /// How many rows.
    pub limit: u32,
    /// Only rows behind this one: what it was sorted by, and its key.
    pub after: Option<(Vec<Option<Value>>, String)>,
    /// Count instead.
    pub count: bool,
    /// What groups are told apart by.
    pub group_by: Vec<String>,
    /// The expressions' `now`, in milliseconds since the Unix epoch.
    pub now_ms: u64,
}

/// An item of the answer; `Done` is the last.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub enum Found {
    /// Rows, sorted as asked.
    Rows(Vec<Row>),
    /// Groups.
    Groups(Vec<Group>),
    /// All was told.
    Done(Done),
    /// The query cannot be carried out, and this is why.
    Refused(String),
    /// How shards were looked at; only where that was asked.
    Ways(Vec<Way>),
}

/// How a shard was looked at.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Which.
    pub shard: u16,
    /// The path of the index that was asked; none: all twins were looked at.
    pub index: Option<String>,
    /// Twins that live there.
    pub twins: u64,
    /// Those of the tenant that were looked at.
    pub scanned: u64,
    /// Those for which the filter holds.
    pub matched: u64,
}

/// A twin that was found.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Row {
    /// Tenant and device, as a twin's key writes them.
    pub key: String,
    /// What it is sorted by.
    pub order: Vec<Option<Value>>,
    /// What was selected.
    pub columns: Vec<Option<Value>>,
}

/// Twins that are alike in what they are grouped by.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Group {
    /// What they are alike in.
    pub by: Vec<Option<Value>>,
    /// How many there are.
    pub count: u64,
}

/// What it comes to.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Shard and place in its log that was read.
    pub places: Vec<(u16, u64)>,
    /// Living twins that were looked at.
    pub scanned: u64,
    /// Those of them for which the filter holds.
    pub matched: u64,
    /// Those of them that stand behind the cursor.
    pub behind: u64,
}

impl Wire for Ask {}
impl Wire for Found {}

impl Check for Ask {
    fn check(&self) -> Result<(), FrameError> {
        text("tenant", &self.tenant, TEXT_BYTES_MAX)?;
        text("filter", &self.filter, QUERY_TEXT_BYTES_MAX)?;
        let order_by = self.order_by.iter().map(|(by, _)| by);
        let lists = [self.select.len(), self.order_by.len(), self.group_by.len()];
        for items in lists {
            bounded("expressions", items, QUERY_TEXTS_MAX)?;
        }
        let mut texts = self.select.iter().chain(order_by).chain(&self.group_by);
        texts.try_for_each(|one| text("expression", one, QUERY_TEXT_BYTES_MAX))?;
        self.after.as_ref().map_or(Ok(()), |(order, key)| {
            text("key", key, TEXT_BYTES_MAX)?;
            values(order)
        })
    }
}

impl Check for Found {
    fn check(&self) -> Result<(), FrameError> {
        match self {
            Self::Rows(rows) => {
                bounded("rows", rows.len(), QUERIED_ITEMS_MAX)?;
                rows.iter().try_for_each(|row| {
                    text("key", &row.key, TEXT_BYTES_MAX)?;
                    values(&row.order)?;
                    values(&row.columns)
                })
            }
            Self::Groups(groups) => {
                bounded("groups", groups.len(), QUERIED_ITEMS_MAX)?;
                groups.iter().try_for_each(|group| values(&group.by))
            }
            Self::Done(_) => Ok(()),
            Self::Refused(reason) => text("reason", reason, TEXT_BYTES_MAX),
            Self::Ways(ways) => {
                bounded("shards", ways.len(), QUERIED_ITEMS_MAX)?;
                let mut indexes = ways.iter().filter_map(|way| way.index.as_ref());
                indexes.try_for_each(|path| text("index", path, QUERY_TEXT_BYTES_MAX))
            }
        }
    }
}

fn values(values: &[Option<Value>]) -> Result<(), FrameError> {
    bounded("values", values.len(), QUERY_TEXTS_MAX)?;
    values.iter().flatten().try_for_each(value)
}

const fn bounded(what: &'static str, items: usize, max: usize) -> Result<(), FrameError> {
    if items > max { Err(FrameError::TooMany { what, items, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::{decode, encode};

    fn ask() -> Ask {
        Ask {
            shards: vec![0, 9],
            tenant: "acme".into(),
            filter: "reported.t > 5".into(),
            select: vec!["id".into()],
            order_by: vec![("reported.t".into(), true)],
            limit: 7,
            after: Some((vec![Some(Value::Int(5)), None], "acme/pump".into())),
            count: false,
            group_by: Vec::new(),
            now_ms: 5,
        }
    }

    fn rows() -> Found {
        let columns = vec![Some(Value::Null), None, Some(Value::from("text"))];
        Found::Rows(vec![Row { key: "acme/pump".into(), order: vec![None], columns }])
    }

    #[test]
    fn what_is_asked_and_found_comes_back() {
        assert_eq!(decode::<Ask>(&encode(&ask()).unwrap()).unwrap(), ask());
        let group = Group { by: vec![Some(Value::Bool(true)), None], count: 3 };
        let done = Done { places: vec![(3, 9)], scanned: 3, matched: 2, behind: 1 };
        for found in [
            rows(),
            Found::Groups(vec![group]),
            Found::Done(done),
            Found::Refused("too many groups".into()),
            Found::Ways(vec![Way {
                shard: 3,
                index: Some("tags.site".into()),
                twins: 9,
                scanned: 2,
                matched: 1,
            }]),
        ] {
            assert_eq!(decode::<Found>(&encode(&found).unwrap()).unwrap(), found);
        }
    }

    #[test]
    fn what_is_cut_or_flipped_never_panics() {
        for bytes in [encode(&ask()).unwrap(), encode(&rows()).unwrap()] {
            for end in 0..bytes.len() {
                let mut flipped = bytes.to_vec();
                flipped[end] ^= 0x80;
                let _ = (decode::<Ask>(&bytes[..end]), decode::<Found>(&bytes[..end]));
                let _ = (decode::<Ask>(&flipped), decode::<Found>(&flipped));
            }
        }
    }

    #[test]
    fn bounds_hold_before_sending() {
        let long = "x".repeat(QUERY_TEXT_BYTES_MAX + 1);
        assert!(encode(&Ask { filter: long.clone(), ..ask() }).is_err());
        assert!(encode(&Ask { select: vec![long], ..ask() }).is_err());
        assert!(
            encode(&Ask { group_by: vec!["id".into(); QUERY_TEXTS_MAX + 1], ..ask() }).is_err()
        );
        let group = Group { by: Vec::new(), count: 1 };
        assert!(encode(&Found::Groups(vec![group; QUERIED_ITEMS_MAX + 1])).is_err());
    }
}
