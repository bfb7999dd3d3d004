//! A whole fleet is watched at one node of a cluster of real processes: owners are killed, replicas come to the
//! watching node and leave it, and the watch goes on elsewhere; everything acknowledged is seen, in order.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use pollux_tests::clients::{Crowd, Load, Watcher, picture};
use pollux_tests::node::Devices;
use pollux_tests::node::cluster::{Cluster, QUICK};
use pollux_twin::TwinKey;
use serde_json::Value;

/// Where it is watched, by the place in the list.
const WATCHING: usize = 3;
/// The node that is drained.
const DRAINED: usize = 1;

/// Waits until the watching node holds so many shards, and all is at rest.
fn holds(cluster: &Cluster, watching: u64, replicas: u64) -> Result<Value> {
    cluster.until("replicas at the watching node", |status| {
        let mut nodes = status["nodes"].as_array().into_iter().flatten();
        status["settled"] == true
            && nodes.any(|node| node["id"] == watching && node["replicas"] == replicas)
    })
}

/// A shard that has no replica at a node.
fn absent(status: &Value, node: u64) -> Result<usize> {
    let shards = status["shards"].as_array().context("shards")?;
    let votes = |shard: &Value| {
        let mut voters = shard["voters"].as_array().into_iter().flatten();
        voters.any(|voter| *voter == node)
    };
    shards.iter().position(|shard| !votes(shard)).context("a shard that is elsewhere")
}

/// With four nodes and three replicas each, a node holds no replica of one shard in four.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_is_watched_through_takeovers_and_moves() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 4, QUICK)?;
    let devices = Devices::of(cluster.node(0)?.data())?;
    let watching = cluster.id(WATCHING)?;
    let status = holds(&cluster, watching, 3)?;
    let mut watcher = Watcher::open(&cluster.options[WATCHING]).await?;
    let crowd = Crowd { devices: 12, commanders: 0, ..Crowd::default() };
    let load = Load::start(&cluster.options, &devices, crowd)?;
    let shard = |twin: &String| Ok(TwinKey::parse(&format!("default/{twin}"))?.shard(4).0);
    let shards = load.twins().iter().map(shard).collect::<Result<BTreeSet<_>>>()?;
    ensure!(shards.len() == 4, "twins are in shards {shards:?} only");
    load.all_served().await?;
    watcher.sees_all(load.recorder()).await?;

    // It is told what happens elsewhere by the owner there, which is killed; and once more by the next.
    for _ in 0..2 {
        let owner = cluster.owner(absent(&status, watching)?)?;
        cluster.kill(owner)?;
        load.all_served().await?;
        watcher.sees_all(load.recorder()).await?;
        cluster.start(owner)?;
        cluster.settled()?;
    }

    // Where one of four takes no part, all shards come to the others; afterwards one leaves again.
    let drained = cluster.id(DRAINED)?.to_string();
    cluster.running()?.ask(&["node", "drain", &drained])?;
    holds(&cluster, watching, 4)?;
    load.all_served().await?;
    watcher.sees_all(load.recorder()).await?;
    cluster.running()?.ask(&["node", "drain", &drained, "--undo"])?;
    holds(&cluster, watching, 3)?;
    load.all_served().await?;
    watcher.sees_all(load.recorder()).await?;

    // A picture has the twins of all shards, those without a replica at the node among them.
    let all: BTreeSet<_> = load.twins().iter().cloned().collect();
    ensure!(picture(&cluster.options[WATCHING]).await? == all, "twins are missing");

    // So has a list, and a read that may be old finds each of them.
    let listed = cluster.node(WATCHING)?.ask(&["twin", "list"])?;
    ensure!(listed["twins"].as_array().map(Vec::len) == Some(all.len()), "{listed}");
    for twin in &all {
        let read = cluster.node(WATCHING)?.get(&format!("/v1/twins/{twin}?stale"))?;
        ensure!(read.contains(&format!("\"device\":\"{twin}\"")), "{read}");
    }

    // From its last position, at every other node.
    for at in cluster.there() {
        watcher.go_on_at(&cluster.options[at]).await?;
        load.all_served().await?;
        watcher.sees_all(load.recorder()).await?;
    }
    let recorder = load.recorder().clone();
    load.check(&cluster.there()).await?;
    watcher.sees_all(&recorder).await
}
