//! Indexes and filtered watches at every node of a cluster of real processes: an index finds what looking at all
//! finds, and whoever follows a filter knows exactly the twins for which it holds, through takeovers and at
//! whatever node.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use pollux_tests::clients::Follower;
use pollux_tests::node::NodeProcess;
use pollux_tests::node::cluster::{Cluster, QUICK};
use serde_json::{Value, json};

const TWINS: usize = 48;
const SITES: [&str; 3] = ["north", "south", "west"];
const NORTH: &str = "tags.site == \"north\"";
/// Where it is followed, by the place in the list.
const WATCHING: usize = 3;

/// What all twins are meant to be.
type Truth = BTreeMap<String, Value>;

fn twin(n: usize) -> String {
    format!("pump-{n:03}")
}

/// Writes each twin once more, which moves one in three to another site.
fn write(cluster: &Cluster, truth: &mut Truth, round: usize) -> Result<()> {
    let there = cluster.there();
    for n in 0..TWINS {
        let moved = if n % 3 == round % 3 { round } else { 0 };
        let site = SITES[(n + n / 3 + moved) % 3];
        let tags = json!({"site": site, "n": n, "round": round});
        let node = cluster.node(there[n % there.len()])?;
        let path = format!("/v1/twins/{}/tags", twin(n));
        let reply = node.send_json("PUT", &path, &tags.to_string())?;
        ensure!(reply.status == 200, "{reply:?}");
        truth.insert(twin(n), tags);
    }
    Ok(())
}

/// Those of a site.
fn at(truth: &Truth, site: &str) -> Truth {
    truth
        .iter()
        .filter(|(_, tags)| tags["site"] == site)
        .map(|(n, t)| (n.clone(), t.clone()))
        .collect()
}

fn query(node: &NodeProcess, asked: &Value) -> Result<Value> {
    let reply = node.send_json("POST", "/v1/query", &asked.to_string())?;
    ensure!(reply.status == 200, "{reply:?}");
    reply.json()
}

/// Asks a node with and without an index, and holds both against the truth.
fn finds(
    node: &NodeProcess,
    truth: &Truth,
    filter: &str,
    holds: impl Fn(&Value) -> bool,
) -> Result<()> {
    let expected: Vec<_> =
        truth.iter().filter(|(_, tags)| holds(tags)).map(|(name, _)| json!(name)).collect();
    let names = |answer: &Value| -> Result<Vec<Value>> {
        let rows = answer["rows"].as_array().context("rows")?;
        Ok(rows.iter().map(|row| row["device"].clone()).collect())
    };
    let found = query(node, &json!({"filter": filter, "explain": true}))?;
    ensure!(names(&found)? == expected, "{filter}: {found}");
    let ways = found["ways"].as_array().context("ways")?;
    ensure!(ways.len() == 4, "one for each shard: {found}");
    ensure!(ways.iter().all(|way| way["index"] == "tags.site"), "{filter}: {found}");
    let sum = |of: &str| ways.iter().filter_map(|way| way[of].as_u64()).sum::<u64>();
    ensure!(
        (sum("scanned"), sum("matched"))
            == (found["scanned"].as_u64().context("scanned")?, expected.len() as u64),
        "{found}"
    );
    ensure!(sum("twins") == TWINS as u64 && sum("scanned") < TWINS as u64, "{found}");
    // The same, so that no index can be asked.
    let all = query(node, &json!({"filter": format!("({filter}) == true"), "explain": true}))?;
    ensure!(names(&all)? == expected && all["scanned"] == TWINS, "{filter}: {all}");
    ensure!(all["ways"][0]["index"].is_null(), "{all}");
    Ok(())
}

fn finds_all(cluster: &Cluster, truth: &Truth) -> Result<()> {
    for place in cluster.there() {
        let node = cluster.node(place)?;
        finds(node, truth, NORTH, |tags| tags["site"] == "north")?;
        let filter = "tags.site in [\"north\", \"west\"] && tags.n > 20.5";
        finds(node, truth, filter, |tags| {
            tags["site"] != "south" && tags["n"].as_u64() > Some(20)
        })?;
        finds(node, truth, "tags.site < \"o\"", |tags| tags["site"] == "north")?;
    }
    Ok(())
}

/// With four nodes and three replicas each, a node holds no replica of one shard in four.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_filter_tells_is_exact_at_every_node() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let indexed: Vec<_> = QUICK
        .iter()
        .copied()
        .chain([("POLLUX_QUERY__INDEXES", "tags.site, reported.none")])
        .collect();
    let mut cluster = Cluster::form(dir.path(), 4, &indexed)?;
    cluster.settled()?;
    let mut truth = Truth::new();
    write(&cluster, &mut truth, 0)?;
    finds_all(&cluster, &truth)?;

    let mut follower = Follower::open(&cluster.options[WATCHING], NORTH).await?;
    follower.believes(&at(&truth, "north")).await?;
    ensure!(follower.told().0 == 0, "a picture alone");
    for round in 1..3 {
        write(&cluster, &mut truth, round)?;
        follower.believes(&at(&truth, "north")).await?;
    }

    // Owners are killed, of shards here and elsewhere; it goes on without beginning anew.
    for round in 3..6 {
        let owner = cluster.owner(round % 4)?;
        if owner != WATCHING {
            cluster.kill(owner)?;
        }
        write(&cluster, &mut truth, round)?;
        follower.believes(&at(&truth, "north")).await?;
        if owner != WATCHING {
            cluster.start(owner)?;
        }
        cluster.settled()?;
        finds_all(&cluster, &truth)?;
    }
    let (changes, resets) = follower.told();
    ensure!(resets == 0, "{resets} resets");
    ensure!(changes < 6 * TWINS, "changes of others were told: {changes}");

    // From its last position, at every other node.
    for (round, place) in (6..).zip(cluster.there()) {
        follower.go_on_at(&cluster.options[place]).await?;
        write(&cluster, &mut truth, round)?;
        follower.believes(&at(&truth, "north")).await?;
    }
    ensure!(follower.told().1 == 0, "it began anew");

    // Who is deleted has left.
    let gone = at(&truth, "north").into_keys().next().context("a twin")?;
    let reply = cluster.node(0)?.send("DELETE", &format!("/v1/twins/{gone}"), &[], b"")?;
    ensure!(reply.status == 200, "{reply:?}");
    truth.remove(&gone);
    follower.believes(&at(&truth, "north")).await?;

    doors(cluster.node(1)?)?;
    bad_input(cluster.node(2)?)
}

/// The command line tells what an index was good for, and watches with a filter.
fn doors(node: &NodeProcess) -> Result<()> {
    let found = node.ask(&["twin", "query", NORTH, "--count", "--explain"])?;
    ensure!(
        found["ways"][3]["index"] == "tags.site" && found["matched"] == found["scanned"],
        "{found}"
    );
    let filter = "tags.n == 7";
    let picture = node.ask(&["twin", "watch", "--filter", filter, "--picture", "--count", "1"])?;
    ensure!(picture["event"] == "twin" && picture["twin"]["device"] == twin(7), "{picture}");
    Ok(())
}

fn bad_input(node: &NodeProcess) -> Result<()> {
    for (filter, says) in [
        ("tags.n+%3E", "filter: line 1, column 9"),
        ("tags.n+%3E+1+%26%26+nope+==+2", "column 15: there is no `nope`"),
        ("presence.seen+%3C+now", "column 17: `now` changes without"),
        ("7", "true or false"),
    ] {
        for path in ["/v1/watch?filter=", "/v1/twins/pump-001/watch?filter="] {
            let reply = node.send("GET", &format!("{path}{filter}"), &[], b"")?;
            let text = format!("{reply:?}");
            ensure!(reply.status == 400 && reply.reason() == "invalid", "{filter}: {text}");
            ensure!(text.contains(says), "{filter}: {text}");
        }
    }
    let refused = node.ask(&["twin", "watch", "--filter", "tags.n >", "--count", "1"]);
    let said = refused.err().context("it is refused")?;
    ensure!(format!("{said:#}").contains("line 1, column 9"), "{said:#}");
    Ok(())
}

/// A node alone: indexes are made of what a checkpoint holds, and an unknown path is refused at the start.
#[test]
fn indexes_are_there_after_a_start() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut options = pollux_tests::node::NodeOptions::new(&dir.path().join("node"));
    options = options.with("POLLUX_CHECKPOINT__INTERVAL_MS", "200");
    let node = options.start()?;
    for n in 0..300 {
        let tags = json!({"serial": n, "even": n % 2 == 0}).to_string();
        let reply = node.send_json("PUT", &format!("/v1/twins/{}/tags", twin(n)), &tags)?;
        ensure!(reply.status == 200, "{reply:?}");
    }
    ensure!(node.stop()?.success(), "it stops in order");
    let wrong =
        options.clone().with("POLLUX_QUERY__INDEXES", "tags.serial,presence.node").refused()?;
    ensure!(wrong.contains("only what tags, desired or reported have"), "{wrong}");
    let node = options.with("POLLUX_QUERY__INDEXES", "tags.serial,tags.even").start()?;
    for (filter, index, matched) in [
        ("tags.serial >= 290", "tags.serial", 10),
        ("tags.even && tags.serial in [3, 4.0, 5, 6]", "tags.serial", 2),
        ("tags.even", "tags.even", 150),
    ] {
        let found = query(&node, &json!({"filter": filter, "count": true, "explain": true}))?;
        ensure!(found["matched"] == matched, "{found}");
        ensure!(found["ways"][0]["index"] == index, "{found}");
    }
    // It is in step with what is written from now on.
    let reply =
        node.send_json("PUT", &format!("/v1/twins/{}/tags", twin(3)), "{\"serial\":9999}")?;
    ensure!(reply.status == 200, "{reply:?}");
    for (filter, matched) in [("tags.serial == 3", 0), ("tags.serial == 9999", 1)] {
        ensure!(query(&node, &json!({"filter": filter}))?["matched"] == matched, "{filter}");
    }
    Ok(())
}
