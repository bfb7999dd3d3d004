//! Queries over HTTP: one JSON object asks, one answers.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use pollux_proto::v1;
use pollux_query::{Group, Row};
use pollux_twin::Value;
use pollux_twin::value::Object;

use super::incoming::{Form, Incoming};
use super::problem::Problem;
use super::{json, object};
use crate::query::Way;

/// What a body may have.
const MEMBERS: &str = "filter, select, order_by, limit, cursor, count, group_by, explain";

/// Finds twins, or counts them.
pub(super) async fn query(incoming: Incoming, body: Body) -> Result<Response<Body>, Problem> {
    incoming.arguments(&[])?;
    let asked = incoming.json(body, Form::Json).await?;
    let request = read(incoming.tenant(), asked)?;
    let answer = incoming.desk.query(incoming.caller()?, &request).await?;
    let cursor = match answer.next_cursor(&request) {
        cursor if cursor.is_empty() => Value::Null,
        cursor => cursor.into(),
    };
    let found = |name: &str, value| (name.to_owned(), value);
    let mut members: Object = [
        found("matched", answer.part.matched.into()),
        found("scanned", answer.part.scanned.into()),
        found("position", answer.position.to_string().into()),
    ]
    .into();
    if request.explain {
        let ways = answer.ways.iter().map(way).collect();
        members.insert("ways".into(), Value::Array(ways));
    }
    if request.count || !request.group_by.is_empty() {
        let groups = answer.part.groups.into_iter().map(|Group { by, count }| {
            let by = named(&request.group_by, by);
            object([("by", by), ("count", count.into())])
        });
        members.insert("groups".into(), Value::Array(groups.collect()));
    } else {
        let rows = answer.part.rows.into_iter().map(|Row { key, columns, .. }| {
            let (tenant, device) = key.split_once('/').unwrap_or(("", &key));
            let values = named(&request.select, columns);
            object([("tenant", tenant.into()), ("device", device.into()), ("values", values)])
        });
        members.insert("rows".into(), Value::Array(rows.collect()));
        members.insert("next_cursor".into(), cursor);
    }
    Ok(json(StatusCode::OK, &Value::Object(members)))
}

fn way(way: &Way) -> Value {
    let index = way.index.as_deref().map_or(Value::Null, Value::from);
    object([
        ("shard", u64::from(way.shard.0).into()),
        ("node", way.node.0.into()),
        ("index", index),
        ("twins", way.twins.into()),
        ("scanned", way.scanned.into()),
        ("matched", way.matched.into()),
    ])
}

/// Values by the expressions that they are of; what a twin has not is left out.
fn named(expressions: &[String], values: Vec<Option<Value>>) -> Value {
    let named = expressions.iter().zip(values);
    let there = named.filter_map(|(expression, value)| Some((expression.clone(), value?)));
    Value::Object(there.collect::<Object>())
}

fn read(tenant: &str, asked: Value) -> Result<v1::QueryRequest, Problem> {
    let Value::Object(members) = asked else {
        return Err(wrong(format!("takes an object with {MEMBERS}")));
    };
    let mut request = v1::QueryRequest { tenant: tenant.to_owned(), ..Default::default() };
    for (name, value) in members {
        match (name.as_str(), value) {
            ("filter", Value::String(filter)) => request.filter = filter,
            ("cursor", Value::String(cursor)) => request.cursor = cursor,
            ("cursor", Value::Null) => {}
            ("count", Value::Bool(count)) => request.count = count,
            ("explain", Value::Bool(explain)) => request.explain = explain,
            ("limit", Value::Int(limit)) if limit > 0 => {
                request.limit = u32::try_from(limit).unwrap_or(u32::MAX);
            }
            ("select", Value::Array(items)) => request.select = texts("select", items)?,
            ("group_by", Value::Array(items)) => request.group_by = texts("group_by", items)?,
            ("order_by", Value::Array(items)) => {
                request.order_by = items.into_iter().map(order).collect::<Result<_, _>>()?;
            }
            ("filter" | "cursor", _) => return Err(wrong(format!("{name} is a text"))),
            ("count" | "explain", _) => return Err(wrong(format!("{name} is true or false"))),
            ("limit", _) => return Err(wrong("limit is a whole number, at least 1")),
            ("select" | "group_by" | "order_by", _) => {
                return Err(wrong(format!("{name} is a list")));
            }
            _ => return Err(wrong(format!("there is no {name}; there are {MEMBERS}"))),
        }
    }
    Ok(request)
}

fn wrong(what: impl std::fmt::Display) -> Problem {
    Problem::invalid(format!("body: {what}"))
}

fn texts(name: &str, items: Vec<Value>) -> Result<Vec<String>, Problem> {
    let text = |item| match item {
        Value::String(text) => Ok(text),
        _ => Err(wrong(format!("{name} is a list of texts"))),
    };
    items.into_iter().map(text).collect()
}

/// `"expression"`, or `{"by": "expression", "descending": true}`.
fn order(item: Value) -> Result<v1::QueryOrder, Problem> {
    const FORM: &str = "order_by is a list of texts, or of objects such as \
                        {\"by\": \"version\", \"descending\": true}";
    let Value::Object(mut members) = item else {
        let Value::String(by) = item else { return Err(wrong(FORM)) };
        return Ok(v1::QueryOrder { by, descending: false });
    };
    let (by, descending) = (members.remove("by"), members.remove("descending"));
    match (by, descending.unwrap_or(Value::Bool(false)), members.is_empty()) {
        (Some(Value::String(by)), Value::Bool(descending), true) => {
            Ok(v1::QueryOrder { by, descending })
        }
        _ => Err(wrong(FORM)),
    }
}
