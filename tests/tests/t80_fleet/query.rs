//! Queries at every node of a cluster of real processes: what was acknowledged is found, whoever is asked
//! and whoever owns it, and what is wrong is refused with its place.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use pollux_tests::node::NodeProcess;
use pollux_tests::node::cluster::{Cluster, QUICK};
use serde_json::{Value, json};

const SITES: [&str; 3] = ["Oslo", "Bergen", "Narvik"];

fn twin(n: usize) -> String {
    format!("pump-{n:03}")
}

/// Writes a twin's tags; acknowledged when this returns.
fn write(node: &NodeProcess, n: usize, round: usize) -> Result<()> {
    let tags = json!({"site": SITES[n % 3], "n": n, "round": round}).to_string();
    let path = format!("/v1/twins/{}/tags", twin(n));
    let reply = node.send_json("PUT", &path, &tags)?;
    ensure!(reply.status == 200, "{reply:?}");
    Ok(())
}

fn query(node: &NodeProcess, asked: &Value) -> Result<Value> {
    let reply = node.send_json("POST", "/v1/query", &asked.to_string())?;
    ensure!(reply.status == 200, "{reply:?}");
    reply.json()
}

fn devices(answer: &Value) -> Result<Vec<String>> {
    let rows = answer["rows"].as_array().context("rows")?;
    let device = |row: &Value| row["device"].as_str().map(str::to_owned).context("a device");
    rows.iter().map(device).collect()
}

/// All twins of a site, by pages of seven, as a node finds them.
fn paged(node: &NodeProcess, site: &str) -> Result<Vec<String>> {
    let filter = format!("tags.site == \"{site}\"");
    let order_by = json!([{"by": "tags.n", "descending": true}]);
    let mut asked = json!({"filter": filter, "order_by": order_by, "limit": 7});
    let mut found = Vec::new();
    loop {
        let page = query(node, &asked)?;
        found.extend(devices(&page)?);
        if page["next_cursor"].is_null() {
            return Ok(found);
        }
        asked["cursor"] = page["next_cursor"].clone();
    }
}

#[test]
fn what_was_acknowledged_is_found_at_every_node() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    cluster.settled()?;
    for n in 0..60 {
        write(cluster.node(n % 3)?, n, 0)?;
    }
    for at in cluster.there() {
        let node = cluster.node(at)?;
        for (rest, site) in SITES.iter().enumerate() {
            let expected: Vec<_> = (0..60).rev().filter(|n| n % 3 == rest).map(twin).collect();
            ensure!(paged(node, site)? == expected, "{site} at node {at}");
        }
        let groups = query(node, &json!({"group_by": ["tags.site"], "filter": "tags.n < 30"}))?;
        let count = |group: &Value| {
            Some((group["by"]["tags.site"].as_str()?.to_owned(), group["count"].as_u64()?))
        };
        let groups = groups["groups"].as_array().context("groups")?.iter().map(count);
        let groups: Option<BTreeMap<_, _>> = groups.collect();
        let expected = SITES.iter().map(|site| ((*site).to_owned(), 10)).collect();
        ensure!(groups == Some(expected), "{groups:?}");
    }
    // Written at one node, found at another the moment after.
    for n in 0..30 {
        write(cluster.node(n % 3)?, n, 1)?;
        let found = query(cluster.node((n + 1) % 3)?, &json!({"filter": "tags.round == 1"}))?;
        ensure!(found["matched"] == n + 1, "{found}");
    }
    // The answer has a position that a read can ask for, and the values that were selected.
    let asked = json!({"filter": "tags.n == 7", "select": ["tags.site", "tags.none", "id"]});
    let found = query(cluster.node(0)?, &asked)?;
    ensure!(
        found["rows"][0]["values"] == json!({"tags.site": "Bergen", "id": "pump-007"}),
        "{found}"
    );
    let position = found["position"].as_str().context("a position")?;
    let stale = format!("/v1/twins/pump-007?stale&min_position={position}");
    ensure!(cluster.node(1)?.get(&stale)?.contains("Bergen"), "it stands for what was found");

    through_a_takeover(&mut cluster)
}

/// While an owner is away its shards have another, and the query waits for it.
fn through_a_takeover(cluster: &mut Cluster) -> Result<()> {
    let killed = cluster.busiest()?;
    cluster.kill(killed)?;
    let asked = cluster.there();
    let found =
        query(cluster.node(asked[0])?, &json!({"filter": "tags.round >= 0", "limit": 100}))?;
    let names: BTreeSet<_> = devices(&found)?.into_iter().collect();
    ensure!(names == (0..60).map(twin).collect(), "{names:?}");
    write(cluster.node(asked[1])?, 60, 2)?;
    let found =
        query(cluster.node(asked[0])?, &json!({"filter": "tags.round == 2", "count": true}))?;
    ensure!(found["groups"] == json!([{"by": {}, "count": 1}]), "{found}");
    the_command_line(cluster.node(asked[0])?)?;
    bad_input(cluster.node(asked[1])?)
}

fn the_command_line(node: &NodeProcess) -> Result<()> {
    let found = node.ask(&[
        "twin",
        "query",
        "tags.site == \"Oslo\" && tags.n < 10",
        "--select",
        "tags.n,tags.none",
        "--order-by",
        "tags.n desc",
        "--limit",
        "2",
    ])?;
    ensure!(devices(&found)? == ["pump-009", "pump-006"], "{found}");
    ensure!(found["rows"][0]["values"] == json!({"tags.n": 9}) && found["matched"] == 4, "{found}");
    let cursor = found["next_cursor"].as_str().context("a cursor")?;
    let filter = "tags.site == \"Oslo\" && tags.n < 10";
    let verb = ["twin", "query", filter, "--order-by", "tags.n desc", "--cursor", cursor];
    let rest = node.ask(&verb)?;
    ensure!(devices(&rest)? == ["pump-003", "pump-000"] && rest["next_cursor"].is_null(), "{rest}");
    let counted = node.ask(&["twin", "query", "--group-by", "tags.site,tags.round"])?;
    ensure!(counted["groups"].as_array().map(Vec::len) == Some(7), "{counted}");
    ensure!(node.ask(&["twin", "query", "tags.n == 1", "--tenant", "other"])?["scanned"] == 0);
    Ok(())
}

fn bad_input(node: &NodeProcess) -> Result<()> {
    let refused = |body: &str, reason: &str, says: &str| -> Result<()> {
        let reply = node.send_json("POST", "/v1/query", body)?;
        let text = format!("{reply:?}");
        ensure!(reply.status == 400 && reply.reason() == reason, "{body}: {text}");
        ensure!(text.contains(says), "{body}: {text}");
        Ok(())
    };
    refused("[]", "invalid", "takes an object with filter")?;
    refused("{\"filtre\":\"true\"}", "invalid", "there is no filtre")?;
    refused("{\"filter\":1}", "invalid", "filter is a text")?;
    refused("{\"limit\":0}", "invalid", "at least 1")?;
    refused("{\"limit\":10001}", "invalid", "1 to 10000")?;
    refused("{\"order_by\":[1]}", "invalid", "order_by is a list")?;
    refused("{\"filter\":\"tags.n >\"}", "invalid", "line 1, column 9")?;
    refused(
        "{\"filter\":\"tags.n > 1 && nope == 2\"}",
        "invalid",
        "column 15: there is no `nope`",
    )?;
    refused("{\"select\":[\"id\"],\"count\":true}", "invalid", "who counts gets no rows")?;
    refused("{\"cursor\":\"forged\"}", "invalid", "not one that a query gave")?;
    let of_another = query(node, &json!({"filter": "true", "limit": 1}))?["next_cursor"].clone();
    let body = json!({"filter": "tags.n > 1", "cursor": of_another}).to_string();
    refused(&body, "invalid", "of another query")?;
    // One that would take long on a twin ends, and says so.
    let items: Vec<_> = (0..1_000).collect();
    let path = "/v1/twins/wide/tags";
    let written = node.send_json("PUT", path, &json!({"items": items}).to_string())?;
    ensure!(written.status == 200, "{written:?}");
    let slow = "tags.items.all(a, tags.items.all(b, tags.items.all(c, a + b + c >= 0)))";
    refused(&json!({"filter": slow}).to_string(), "invalid", "more than 20000 steps")?;
    ensure!(query(node, &json!({"count": true}))?["matched"] == 62, "others are unaffected");
    Ok(())
}
