//! The disk of one node of a cluster is full, slow, emptied, set back, or copied: the others go on, nothing
//! is lost, and a disk that forgot something is refused.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pollux_tests::clients::{Crowd, Load};
use pollux_tests::node::cluster::{self, Cluster, Place, QUICK};
use pollux_tests::node::{Devices, NodeOptions, SmallDisk};

/// By how long each sync of the slow disk's log is delayed.
const SLOW_MS: &str = "200";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_one_node_stops_nobody() -> Result<()> {
    let Some(disk) = SmallDisk::mount()? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 2, QUICK)?;
    let options = cluster::options(disk.place(), 3, QUICK, &Place::Loopback)?;
    cluster.join(options.with("POLLUX_CHECKPOINT__RESERVE_BYTES", "16777216"))?;
    cluster.settled()?;
    let devices = Devices::of(cluster.node(0)?.data())?;
    let load = Load::start(&cluster.options, &devices, Crowd::default())?;
    load.all_served().await?;
    // First below its reserve, then not a byte left.
    for leave in [8 << 20, 0] {
        disk.fill(leave)?;
        cluster.until("a full node that owns nothing", |status| {
            let nodes = status["nodes"].as_array();
            nodes.is_some_and(|nodes| nodes.iter().any(|n| n["id"] == 3 && n["owned"] == 0))
        })?;
        load.all_served().await?;
        load.services_served().await?;
    }
    disk.make_room()?;
    cluster.settled()?;
    load.all_served().await?;
    load.check(&cluster.there()).await?;
    Ok(())
}

/// Elections that a vote may take some slow syncs of.
const PATIENT: &[(&str, &str)] = &[
    ("POLLUX_RAFT__HEARTBEAT_MS", "250"),
    ("POLLUX_RAFT__ELECTION_MIN_MS", "1000"),
    ("POLLUX_RAFT__ELECTION_MAX_MS", "1300"),
];

async fn slow(timing: &[(&str, &str)], victims: &[usize]) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let slow = dir.path().join("slow");
    let variables = [QUICK, timing].concat();
    let mut cluster = Cluster::form(dir.path(), 2, &variables)?;
    let options = cluster::options(dir.path(), 3, &variables, &Place::Loopback)?;
    let file = slow.to_str().context("a path of text")?;
    cluster.join(options.with("POLLUX_LOG__SLOWED_BY", file))?;
    cluster.settled()?;
    let devices = Devices::of(cluster.node(0)?.data())?;
    let load = Load::start(&cluster.options, &devices, Crowd::default())?;
    load.all_served().await?;
    std::fs::write(&slow, SLOW_MS)?;
    load.all_served().await?;
    load.answered(300).await?;
    for victim in victims {
        cluster.kill(*victim)?;
        load.all_served().await?;
        cluster.start(*victim)?;
        cluster.settled()?;
    }
    std::fs::remove_file(&slow)?;
    cluster.settled()?;
    load.all_served().await?;
    load.check(&cluster.there()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_disk_of_one_node_stops_nobody() -> Result<()> {
    slow(&[], &[]).await
}

/// Another node is killed, so that the slow one has to vote, to follow and to own. Elections must then be
/// patient enough for its disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_disk_and_a_lost_node_stop_nobody() -> Result<()> {
    slow(PATIENT, &[0]).await
}

/// A node with a new disk at the addresses and under the name of an old one.
fn instead_of(old: &NodeOptions, name: &str) -> NodeOptions {
    NodeOptions { data: old.data.with_file_name(name), ..old.clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_forgot_is_refused_and_replaced() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    let devices = Devices::of(cluster.node(0)?.data())?;
    let load = Load::start(&cluster.options, &devices, Crowd::default())?;
    load.all_served().await?;

    // Emptied, but for the name that it goes by.
    cluster.kill(1)?;
    let emptied = cluster.options[1].clone();
    for gone in ["log", "checkpoints"] {
        std::fs::remove_dir_all(emptied.data.join(gone))?;
    }
    let said = emptied.refused()?;
    ensure!(said.contains("are gone") && said.contains("node join --replace"), "{said}");
    load.all_served().await?;
    cluster.replace(1, instead_of(&emptied, "node-2-new"))?;
    cluster.settled()?;
    load.all_served().await?;
    let burned = NodeOptions { variables: emptied.variables, ..NodeOptions::new(&emptied.data) };
    let said = burned.refused()?;
    ensure!(said.contains("node join --replace"), "a burned id: {said}");

    // Set back to what it was before its last start.
    cluster.stop(2)?;
    let image = cluster.options[2].image()?;
    cluster.start(2)?;
    load.all_served().await?;
    load.answered(200).await?;
    cluster.kill(2)?;
    let old = cluster.options[2].clone();
    old.set_back(&image)?;
    let said = old.refused()?;
    // Whoever answers first: those that saw its last start, or the meta group that counted it.
    let known = ["set back", "went back", "at the same start"];
    ensure!(known.iter().any(|word| said.contains(word)), "{said}");
    ensure!(said.contains("node join --replace"), "{said}");
    load.all_served().await?;
    cluster.replace(2, instead_of(&old, "node-3-new"))?;
    cluster.settled()?;
    load.all_served().await?;
    load.check(&cluster.there()).await?;
    Ok(())
}

/// Two processes under one id: the one that was there goes on, the copy is told why not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copied_disk_is_no_second_node() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    let devices = Devices::of(cluster.node(0)?.data())?;
    cluster.stop(2)?;
    let copied = cluster.options[2].image()?;
    cluster.start(2)?;
    let load = Load::start(&cluster.options, &devices, Crowd::default())?;
    load.all_served().await?;
    let copy = NodeOptions { data: copied, ..NodeOptions::new(dir.path()) };
    let copy = NodeOptions { variables: cluster.options[2].variables.clone(), ..copy };
    copy.start_for(Duration::from_secs(5))?;
    let said = copy.said();
    ensure!(said.contains("another process is node 3"), "{said}");
    ensure!(said.contains("must not be copied"), "{said}");
    let before = cluster.settled()?;
    load.all_served().await?;
    ensure!(before["nodes"].as_array().is_some_and(|nodes| nodes.len() == 3), "{before}");
    load.check(&cluster.there()).await?;
    Ok(())
}
