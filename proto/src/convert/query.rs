//! What a query asks, its cursor, and what it finds.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pollux_twin::{JsonLimits, Rejection, TenantId, TwinKey, Value};
use xxhash_rust::xxh3::Xxh3;

use super::select::tenant;
use crate::limits::{CURSOR_BYTES_MAX, QUERY_ROWS, VALUE_DEPTH_MAX};
use crate::v1;

/// What `Twins.Query` asks. What its expressions mean is query/'s.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Whose twins.
    pub tenant: TenantId,
    /// How many rows.
    pub limit: usize,
    /// Only rows behind this one.
    pub after: Option<Cursor>,
}

/// A row that was the last of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    /// What it was sorted by.
    pub order: Vec<Option<Value>>,
    /// Its twin's key.
    pub key: String,
}

/// `Twins.Query`.
pub fn query(request: &v1::QueryRequest) -> Result<Query, Rejection> {
    let after = match request.cursor.as_str() {
        "" => None,
        text => Some(Cursor::read(text, request)?),
    };
    let limit = if request.limit == 0 { QUERY_ROWS } else { request.limit };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(Query { tenant: tenant(&request.tenant)?, limit, after })
}

impl Cursor {
    /// As text, for the next call of the same query.
    pub fn write(&self, request: &v1::QueryRequest) -> String {
        let order = self.order.iter().map(|value| match value {
            Some(value) => Value::Array(vec![value.clone()]),
            None => Value::Array(Vec::new()),
        });
        let parts = vec![
            Value::from(fingerprint(request)),
            Value::from(self.key.as_str()),
            Value::Array(order.collect()),
        ];
        URL_SAFE_NO_PAD.encode(Value::Array(parts).to_json())
    }

    fn read(text: &str, request: &v1::QueryRequest) -> Result<Self, Rejection> {
        let refused = |what: &str| Rejection::Invalid { reason: format!("cursor: {what}") };
        let none = || refused("not one that a query gave; leave it empty to begin");
        let limits = JsonLimits { bytes_max: CURSOR_BYTES_MAX, depth_max: VALUE_DEPTH_MAX + 3 };
        let fits = text.len() <= 2 * CURSOR_BYTES_MAX;
        let bytes = fits.then(|| URL_SAFE_NO_PAD.decode(text).ok()).flatten();
        let json = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(none)?;
        let value = Value::from_json(&json, &limits).map_err(|_| none())?;
        let Value::Array(parts) = value else { return Err(none()) };
        let Ok([of, Value::String(key), Value::Array(order)]) = <[Value; 3]>::try_from(parts)
        else {
            return Err(none());
        };
        if of != Value::from(fingerprint(request)) {
            return Err(refused(
                "it is of another query; filter, order and tenant must be the same",
            ));
        }
        TwinKey::parse(&key).map_err(|_| none())?;
        let order = order.into_iter().map(|one| match one {
            Value::Array(mut values) if values.len() < 2 => Ok(values.pop()),
            _ => Err(none()),
        });
        Ok(Self { order: order.collect::<Result<_, _>>()?, key })
    }
}

/// Tells apart what a cursor must not be taken from one to the other.
fn fingerprint(request: &v1::QueryRequest) -> u64 {
    let mut hash = Xxh3::new();
    let mut text = |text: &str| {
        hash.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(text.as_bytes());
    };
    text(&request.tenant);
    text(request.filter.trim());
    for order in &request.order_by {
        text(order.by.trim());
        text(if order.descending { "desc" } else { "asc" });
    }
    hash.digest()
}

/// A row that was found.
pub fn query_row(key: &str, values: &[Option<Value>]) -> v1::QueryRow {
    let (tenant, device) = key.split_once('/').unwrap_or(("", key));
    v1::QueryRow {
        tenant: tenant.to_owned(),
        device: device.to_owned(),
        values_json: values.iter().map(json).collect(),
    }
}

/// A group that was counted.
pub fn query_group(by: &[Option<Value>], count: u64) -> v1::QueryGroup {
    v1::QueryGroup { by_json: by.iter().map(json).collect(), count }
}

fn json(value: &Option<Value>) -> String {
    value.as_ref().map(Value::to_json).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(filter: &str) -> v1::QueryRequest {
        let order_by = vec![v1::QueryOrder { by: "reported.t".into(), descending: true }];
        v1::QueryRequest { filter: filter.into(), order_by, ..Default::default() }
    }

    #[test]
    fn a_cursor_comes_back_with_its_own_query_only() {
        let order = vec![Some(Value::Float(1.5)), None, Some(Value::Null)];
        let cursor = Cursor { order, key: "default/pump-7".into() };
        let text = cursor.write(&request("true"));
        let asked = |request: v1::QueryRequest, cursor: &str| {
            query(&v1::QueryRequest { cursor: cursor.into(), ..request })
        };
        assert_eq!(asked(request("true"), &text).unwrap().after, Some(cursor));
        let other = asked(request("false"), &text).unwrap_err();
        assert!(matches!(other, Rejection::Invalid { reason } if reason.contains("another query")));
        for bad in ["x", "00", &text[1..], &text[..text.len() - 2], &"5b".repeat(9_000)] {
            let refused = asked(request("true"), bad).unwrap_err();
            assert!(matches!(refused, Rejection::Invalid { .. }), "{bad}");
        }
    }

    #[test]
    fn the_least_that_can_be_asked() {
        let asked = query(&v1::QueryRequest::default()).unwrap();
        assert_eq!((asked.tenant.as_str(), asked.limit, asked.after), ("default", 100, None));
        let tenant = "two words".into();
        assert!(query(&v1::QueryRequest { tenant, ..Default::default() }).is_err());
    }
}
