//! Nodes that stop and start: all killed at once, killed while they join, restarted one after the other
//! under load, killed while shards move.

use std::time::Duration;

use anyhow::{Result, ensure};
use pollux_tests::clients::{Crowd, Load};
use pollux_tests::node::Devices;
use pollux_tests::node::cluster::{self, Cluster, Place, QUICK};

/// How often all nodes are killed.
const ALL: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_are_killed_at_once() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    let devices = Devices::of(cluster.node(0)?.data())?;
    let load = Load::start(&cluster.options, &devices, Crowd::default())?;
    for _ in 0..ALL {
        load.all_served().await?;
        cluster.kill_all()?;
        cluster.start_all()?;
    }
    cluster.settled()?;
    load.all_served().await?;
    load.check(&cluster.there()).await?;
    Ok(())
}

/// Killed at any moment of its first minute, a node comes in all the same, and nobody else notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_killed_while_it_joins() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = |number| cluster::options(dir.path(), number, QUICK, &Place::Loopback);
    let first = options(1)?;
    for life_ms in [20, 150, 600] {
        first.start_for(Duration::from_millis(life_ms))?;
    }
    let mut cluster = Cluster { nodes: vec![Some(first.start()?)], options: vec![first] };
    let devices = Devices::of(cluster.node(0)?.data())?;
    let load = Load::start(&cluster.options, &devices, Crowd { devices: 4, ..Crowd::default() })?;
    load.all_served().await?;
    for number in [2, 3] {
        let joins = options(number)?;
        cluster::join(&joins, &cluster.node(0)?.peers, &cluster.token()?)?;
        for life_ms in [30, 250, 900, 2_000] {
            joins.start_for(Duration::from_millis(life_ms + 40 * number as u64))?;
        }
        cluster.nodes.push(Some(joins.start()?));
        cluster.options.push(joins);
        load.all_served().await?;
    }
    cluster.settled()?;
    // Three votes: the first node may go.
    cluster.kill(0)?;
    cluster.start(0)?;
    cluster.settled()?;
    load.all_served().await?;
    load.check(&[0]).await?;
    Ok(())
}

/// One after the other, each by SIGTERM: no call fails, no report is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_call() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    let devices = Devices::of(cluster.node(0)?.data())?;
    // A command waits for its device, which may be on its way to the next owner.
    let crowd = Crowd { commanders: 0, ..Crowd::default() };
    let load = Load::start(&cluster.options, &devices, crowd)?;
    load.all_served().await?;
    for node in [2, 1, 0] {
        cluster.stop(node)?;
        cluster.start(node)?;
        cluster.settled()?;
        load.all_served().await?;
    }
    ensure!(load.tries().failed() == 0, "calls failed: {:?}", load.tries());
    load.check(&cluster.there()).await?;
    Ok(())
}

/// Owners are killed while all shards are on their way to other owners, and while a fourth node takes its
/// share of the replicas.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_are_killed_while_shards_move() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    let devices = Devices::of(cluster.node(0)?.data())?;
    let load = Load::start(&cluster.options, &devices, Crowd::default())?;
    load.all_served().await?;
    for round in 0..3 {
        let to = cluster.id(round)?.to_string();
        for shard in ["0", "1", "2", "3"] {
            cluster.running()?.ask(&["shard", "move", shard, "--to", &to])?;
        }
        let victim = cluster.busiest()?;
        cluster.kill(victim)?;
        load.all_served().await?;
        cluster.start(victim)?;
        cluster.settled()?;
    }
    let fourth = cluster::options(dir.path(), 4, QUICK, &Place::Loopback)?;
    cluster.join(fourth)?;
    let drained = cluster.id(0)?.to_string();
    cluster.node(3)?.ask(&["node", "drain", &drained])?;
    let victim = cluster.owner(0)?;
    cluster.kill(victim)?;
    load.all_served().await?;
    load.services_served().await?;
    cluster.start(victim)?;
    load.all_served().await?;
    cluster.until("a drained node", |status| {
        let nodes = status["nodes"].as_array();
        nodes.is_some_and(|nodes| nodes.iter().any(|n| n["id"] == 1 && n["replicas"] == 0))
    })?;
    // It holds nothing any more, and can be started until it is removed.
    cluster.kill(0)?;
    cluster.start(0)?;
    cluster.node(1)?.ask(&["node", "remove", &drained])?;
    cluster.stop(0)?;
    load.all_served().await?;
    load.check(&[1, 2]).await?;
    Ok(())
}
