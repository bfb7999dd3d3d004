//! `pollux twin query`: finding and counting twins.

use pollux_client::Answer;
use pollux_proto::v1;
use serde_json::{Map, Value, json};

use crate::args::{Output, QueryArgs};
use crate::client::Client;
use crate::exit::Failure;
use crate::print;
use crate::render::parsed;

/// Carries out the verb.
pub(crate) async fn run(output: Output, args: QueryArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.client).await?;
    let request = v1::QueryRequest {
        tenant: args.tenant,
        filter: args.filter,
        select: split(&args.select),
        order_by: split(&args.order_by).iter().map(|text| order(text)).collect(),
        limit: args.limit,
        cursor: args.cursor,
        count: args.count,
        group_by: split(&args.group_by),
        explain: args.explain,
    };
    let Answer { rows, groups, end } = client.calls().twins().query(request.clone()).await?;
    let counts = request.count || !request.group_by.is_empty();
    let text = if counts { group_lines(&request, &groups) } else { row_lines(&request, &rows) };
    let mut lines = text;
    let found = format!("{} match, of {} twins looked at", end.matched, end.scanned);
    lines.push(match end.next_cursor.as_str() {
        "" => found,
        cursor => format!("{found}; go on with --cursor {cursor}"),
    });
    if args.explain {
        lines.extend(way_lines(&end.ways));
    }
    print::result(output, &lines.join("\n"), &document(&request, &rows, &groups, &end, counts))
}

/// Expressions with commas between, but for commas within brackets and texts.
fn split(lists: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    for list in lists {
        let (mut depth, mut quote, mut escaped, mut one) = (0, None, false, String::new());
        for char in list.chars() {
            match (quote, char) {
                (Some(_), _) if escaped => escaped = false,
                (Some(_), '\\') => escaped = true,
                (Some(open), char) if char == open => quote = None,
                (None, '"' | '\'') => quote = Some(char),
                (None, '(' | '[' | '{') => depth += 1,
                (None, ')' | ']' | '}') => depth -= 1,
                (None, ',') if depth == 0 => {
                    out.push(std::mem::take(&mut one).trim().to_owned());
                    continue;
                }
                _ => {}
            }
            one.push(char);
        }
        out.push(one.trim().to_owned());
    }
    out
}

/// `expression`, or `expression desc`.
fn order(text: &str) -> v1::QueryOrder {
    let text = text.trim();
    match text.strip_suffix(" desc") {
        Some(by) => v1::QueryOrder { by: by.trim().into(), descending: true },
        None => {
            let by = text.strip_suffix(" asc").unwrap_or(text).trim().into();
            v1::QueryOrder { by, descending: false }
        }
    }
}

fn document(
    request: &v1::QueryRequest,
    rows: &[v1::QueryRow],
    groups: &[v1::QueryGroup],
    end: &v1::QueryEnd,
    counts: bool,
) -> Value {
    let mut out = json!({
        "matched": end.matched,
        "scanned": end.scanned,
        "position": end.position,
    });
    if request.explain {
        out["ways"] = end.ways.iter().map(way).collect();
    }
    if counts {
        let groups = groups.iter().map(
            |group| json!({"by": named(&request.group_by, &group.by_json), "count": group.count}),
        );
        out["groups"] = groups.collect();
        return out;
    }
    let rows = rows.iter().map(|row| {
        let values = named(&request.select, &row.values_json);
        json!({"tenant": row.tenant, "device": row.device, "values": values})
    });
    out["rows"] = rows.collect();
    let next = end.next_cursor.as_str();
    out["next_cursor"] = if next.is_empty() { Value::Null } else { next.into() };
    out
}

fn way(way: &v1::QueryWay) -> Value {
    let index = (!way.index.is_empty()).then_some(way.index.as_str());
    json!({
        "shard": way.shard, "node": way.node, "index": index,
        "twins": way.twins, "scanned": way.scanned, "matched": way.matched,
    })
}

/// How each shard was looked at, a line each.
fn way_lines(ways: &[v1::QueryWay]) -> Vec<String> {
    let heading = ["SHARD", "NODE", "INDEX", "LOOKED AT", "MATCH", "TWINS"];
    let mut lines = vec![heading.map(str::to_owned).to_vec()];
    lines.extend(ways.iter().map(|way| {
        let index = if way.index.is_empty() { "none: all looked at" } else { way.index.as_str() };
        let [shard, node] = [way.shard.to_string(), way.node.to_string()];
        let numbers = [way.scanned, way.matched, way.twins].map(|number| number.to_string());
        [shard, node, index.to_owned()].into_iter().chain(numbers).collect()
    }));
    columns(&lines)
}

/// Values by the expressions that they are of; what a twin has not is left out.
fn named(expressions: &[String], values: &[String]) -> Value {
    let named = expressions.iter().zip(values).filter(|(_, json)| !json.is_empty());
    named.map(|(of, json)| (of.clone(), parsed(json))).collect::<Map<_, _>>().into()
}

fn row_lines(request: &v1::QueryRequest, rows: &[v1::QueryRow]) -> Vec<String> {
    let mut lines = vec![heading("DEVICE", &request.select)];
    lines.extend(rows.iter().map(|row| {
        std::iter::once(row.device.clone())
            .chain(row.values_json.iter().map(|json| shown(json)))
            .collect()
    }));
    columns(&lines)
}

fn group_lines(request: &v1::QueryRequest, groups: &[v1::QueryGroup]) -> Vec<String> {
    let mut lines = vec![heading("COUNT", &request.group_by)];
    lines.extend(groups.iter().map(|group| {
        std::iter::once(group.count.to_string())
            .chain(group.by_json.iter().map(|json| shown(json)))
            .collect()
    }));
    columns(&lines)
}

fn heading(first: &str, expressions: &[String]) -> Vec<String> {
    std::iter::once(first.to_owned()).chain(expressions.iter().cloned()).collect()
}

fn shown(json: &str) -> String {
    if json.is_empty() { "-".into() } else { json.to_owned() }
}

/// Lines whose columns stand below each other; the last one is as long as it is.
fn columns(lines: &[Vec<String>]) -> Vec<String> {
    let count = lines.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..count)
        .map(|at| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0))
        .collect();
    let line = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_the_last_word() {
        for (text, by, descending) in [
            ("reported.t", "reported.t", false),
            (" reported.t desc ", "reported.t", true),
            ("reported.t asc", "reported.t", false),
            ("tags.desc", "tags.desc", false),
        ] {
            assert_eq!(order(text), v1::QueryOrder { by: by.into(), descending }, "{text}");
        }
    }

    #[test]
    fn commas_part_expressions_only_where_they_stand_between_them() {
        let lists = ["id, tags.a.map(x, x + 1)".to_owned(), "tags[\"a,\\\",b\"],[1,2]".to_owned()];
        let parts = ["id", "tags.a.map(x, x + 1)", "tags[\"a,\\\",b\"]", "[1,2]"];
        assert_eq!(split(&lists), parts);
    }

    #[test]
    fn columns_stand_below_each_other() {
        let cells = |line: [&str; 2]| line.map(str::to_owned).to_vec();
        let lines = columns(&[cells(["DEVICE", "tags.site"]), cells(["å", "\"Oslo\""])]);
        assert_eq!(lines, ["DEVICE  tags.site", "å       \"Oslo\""]);
    }
}
