//! Those who should not come in, and orders that should not be followed, on a cluster that serves: each is
//! told why, nothing is lost, and the others notice nothing.

use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pollux_proto::peer::{ALPN, Greeting, JOIN_ALPN, NodeFacts, WIRE_VERSION};
use pollux_tests::clients::{Crowd, Load};
use pollux_tests::node::cluster::{self, Cluster, Place, QUICK};
use pollux_tests::node::raw::{peer_client, words};
use pollux_tests::node::{Devices, NodeOptions};
use tokio::time::sleep;

fn fresh(dir: &Path, number: usize) -> Result<NodeOptions> {
    cluster::options(dir, number, QUICK, &Place::Loopback)
}

fn refusal(of: Result<()>) -> Result<String> {
    let error = of.err().context("it was let in")?;
    Ok(format!("{error:#}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_right_does_not_come_in() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::form(dir.path(), 3, QUICK)?;
    let elsewhere = tempfile::tempdir()?;
    let other = Cluster::form(elsewhere.path(), 1, QUICK)?;
    let devices = Devices::of(cluster.node(0)?.data())?;
    let load = Load::start(&cluster.options, &devices, Crowd::default())?;
    load.all_served().await?;
    let via = &cluster.node(1)?.peers;
    let stranger = fresh(dir.path(), 9)?;

    let short = cluster.running()?.ask(&["cluster", "token", "--good-for", "10s"])?;
    let short = short["token"].as_str().context("a token")?.to_owned();
    // A token of this form that nobody issued: the cluster's fingerprint, another secret.
    let mut made_up = short.clone();
    let last = if made_up.ends_with('A') { "Q" } else { "A" };
    made_up.replace_range(made_up.len() - 6..made_up.len() - 5, last);
    let said = refusal(cluster::join(&stranger, via, &made_up))?;
    ensure!(said.contains("no such token"), "{said}");

    // A token of another cluster, and one of this cluster taken to another.
    let said = refusal(cluster::join(&stranger, via, &other.token()?))?;
    ensure!(said.contains("certificate") || said.contains("fingerprint"), "{said}");
    let said = refusal(cluster::join(&stranger, &other.node(0)?.peers, &cluster.token()?))?;
    ensure!(said.contains("certificate") || said.contains("fingerprint"), "{said}");

    // A cluster over one that is there.
    let init = pollux_tests::node::run(&["cluster", "init", "--data-dir"], &cluster.options[0]);
    let said = refusal(init)?;
    ensure!(said.contains("in use") || said.contains("identity"), "{said}");

    // A node of another cluster that takes this one's nodes for its own.
    let strayed = other.node(0)?.again();
    drop(other);
    std::fs::write(strayed.data.join("peers"), format!("2 {via}\n"))?;
    let strayed = strayed.start()?;
    sleep(Duration::from_secs(1)).await;
    let said = cluster.options[1].said();
    ensure!(said.contains("refused a node in its handshake"), "{said}");
    drop(strayed);

    sleep(Duration::from_secs(10)).await;
    let said = refusal(cluster::join(&stranger, via, &short))?;
    ensure!(said.contains("expired"), "{said}");
    let nodes = cluster.settled()?["nodes"].as_array().map(Vec::len);
    ensure!(nodes == Some(3), "{nodes:?} nodes");
    load.all_served().await?;
    load.check(&cluster.there()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_that_would_lose_something_are_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    let devices = Devices::of(cluster.node(0)?.data())?;
    let load = Load::start(&cluster.options, &devices, Crowd::default())?;
    load.all_served().await?;
    let order = |cluster: &Cluster, verb: &[&str]| {
        cluster.running().and_then(|node| node.ask(verb)).map(drop)
    };
    let said = refusal(order(&cluster, &["node", "remove", "2"]))?;
    ensure!(said.contains("drain it first"), "{said}");
    let said = refusal(order(&cluster, &["node", "remove", "77"]))?;
    ensure!(said.contains("no such node"), "{said}");
    let said = refusal(order(&cluster, &["shard", "move", "0", "--to", "77"]))?;
    ensure!(said.contains("does not vote"), "{said}");

    // Draining two of three is possible; the last one must stay.
    for node in ["2", "3"] {
        order(&cluster, &["node", "drain", node])?;
    }
    let said = refusal(order(&cluster, &["node", "drain", "1"]))?;
    ensure!(said.contains("last active node"), "{said}");
    for node in ["2", "3"] {
        order(&cluster, &["node", "drain", node, "--undo"])?;
    }
    cluster.settled()?;
    load.all_served().await?;

    // One node is lost and replaced, and its successor has not come yet: another one cannot be spared.
    cluster.kill(2)?;
    let successor = fresh(dir.path(), 4)?;
    cluster::replace(&successor, &cluster.node(0)?.peers, &cluster.token()?, 3)?;
    let next = fresh(dir.path(), 5)?;
    let replaced = cluster::replace(&next, &cluster.node(0)?.peers, &cluster.token()?, 2);
    let said = refusal(replaced)?;
    ensure!(said.contains("there is no majority"), "{said}");
    load.all_served().await?;
    cluster.nodes[2] = Some(successor.start()?);
    cluster.options[2] = successor;
    cluster.settled()?;
    load.all_served().await?;
    load.check(&[0, 1]).await?;
    Ok(())
}

/// One that has a right to speak, and says what makes no sense.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_talks_nonsense_disturbs_nobody() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::form(dir.path(), 3, QUICK)?;
    let devices = Devices::of(cluster.node(0)?.data())?;
    let load = Load::start(&cluster.options, &devices, Crowd::default())?;
    load.all_served().await?;
    let at = &cluster.node(1)?.peers;
    let noise = UdpSocket::bind("127.0.0.1:0")?;
    for length in [0, 1, 20, 1_200] {
        noise.send_to(&vec![0xc3; length], at)?;
    }

    // The certificate of a node 9 that nobody has heard of, by the cluster's own CA.
    let status = cluster.status()?;
    let name = u128::from_str_radix(status["cluster"].as_str().context("its name")?, 16)?;
    let hello = Greeting::Hello(NodeFacts {
        wire: WIRE_VERSION,
        cluster: name,
        lineage: status["lineage"].as_u64().context("its lineage")?,
        node: 9,
        node_uuid: 9,
        starts: 1,
        instance: 9,
        config: 0,
    });
    let huge = u32::MAX.to_le_bytes();
    let says: [&[u8]; 4] = [&[], &[0xff; 64], &huge, &words(&hello)?];
    for alpn in [ALPN, JOIN_ALPN] {
        for said in says {
            let config = peer_client(cluster.node(1)?.data(), name, 9, alpn)?;
            let heard = pollux_tests::node::raw::say(at, config, said).await?;
            ensure!(heard.len() < 4096, "{} bytes were answered", heard.len());
        }
    }
    let said = cluster.options[1].said();
    ensure!(!said.contains("panicked") && said.contains("refused a node"), "{said}");
    cluster.settled()?;
    load.all_served().await?;
    load.check(&cluster.there()).await?;
    Ok(())
}
