//! `Twins.Query`: an answer in parts.

use std::vec::IntoIter;

use futures_util::stream::{self, Iter};
use pollux_proto::{convert, v1};
use pollux_query::Row;
use pollux_twin::Rejection;
use prost::Message;
use tonic::Status;

use super::super::desk::Desk;
use super::super::limits::QUERY_PART_BYTES;
use crate::access::Caller;
use crate::query::Way;

/// The parts of an answer.
pub(super) type Answer = Iter<IntoIter<Result<v1::QueryResponse, Status>>>;

pub(super) async fn answer(
    desk: &Desk,
    caller: &Caller,
    request: &v1::QueryRequest,
) -> Result<Answer, Rejection> {
    let answer = desk.query(caller, request).await?;
    let end = v1::QueryEnd {
        matched: answer.part.matched,
        scanned: answer.part.scanned,
        next_cursor: answer.next_cursor(request),
        position: answer.position.to_string(),
        ways: answer.ways.iter().map(way).collect(),
    };
    let mut parts = Vec::new();
    let (mut part, mut bytes) = (v1::QueryResponse::default(), 0);
    for Row { key, columns, .. } in answer.part.rows {
        let row = convert::query_row(&key, &columns);
        bytes += row.encoded_len();
        part.rows.push(row);
        next_part(&mut parts, &mut part, &mut bytes);
    }
    for group in answer.part.groups {
        let group = convert::query_group(&group.by, group.count);
        bytes += group.encoded_len();
        part.groups.push(group);
        next_part(&mut parts, &mut part, &mut bytes);
    }
    part.end = Some(end);
    parts.push(Ok(part));
    Ok(stream::iter(parts))
}

fn way(way: &Way) -> v1::QueryWay {
    let Way { shard, node, index, twins, scanned, matched } = way.clone();
    let (shard, node, index) = (shard.0.into(), node.0, index.unwrap_or_default());
    v1::QueryWay { shard, node, index, twins, scanned, matched }
}

fn next_part(
    parts: &mut Vec<Result<v1::QueryResponse, Status>>,
    part: &mut v1::QueryResponse,
    bytes: &mut usize,
) {
    if *bytes >= QUERY_PART_BYTES {
        parts.push(Ok(std::mem::take(part)));
        *bytes = 0;
    }
}
