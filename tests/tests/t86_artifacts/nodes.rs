//! Three nodes: what was acknowledged at one is given by all, whichever is killed, and comes to those that were away.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use pollux_tests::node::cluster::{Cluster, QUICK};

use super::{content, files, get, listed, ok, put, refuses, sha256};

/// Bytes of each: some are under way when a node is killed.
const BYTES: usize = 1_500_000;
/// How often something is looked for that comes by itself.
const LOOKS: u32 = 600;

/// Waits until a node has a file on its disk.
fn comes(node: &Path, name: &str) -> Result<()> {
    for _ in 0..LOOKS {
        if files(node)?.iter().any(|file| file == name) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(100));
    }
    anyhow::bail!("{name} never came to {}: {:?}", node.display(), files(node)?)
}

#[test]
fn what_was_acknowledged_is_there_whichever_node_is_lost() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    let first = content(1, BYTES);
    ok(&put(cluster.running()?, "fw/1", &[], &first)?)?;
    for node in cluster.nodes.iter().flatten() {
        let reply = get(node, "fw/1", &[("range", "bytes=1000000-1499999")])?;
        ensure!(reply.status == 206 && reply.body == first[1_000_000..], "{}", reply.status);
        comes(node.data(), &sha256(&first))?;
    }
    let acknowledged = while_nodes_are_killed(&mut cluster)?;
    for (version, text) in &acknowledged {
        for node in cluster.nodes.iter().flatten() {
            let reply = get(node, &format!("fw/{version}"), &[])?;
            ensure!(reply.status == 200 && reply.body == *text, "{version}: {}", reply.status);
        }
    }
    bytes_that_are_missing_come(&mut cluster, &first)?;
    what_the_disk_changed_is_fetched_anew(&mut cluster, &first)?;
    alone_nothing_is_acknowledged(&mut cluster)
}

/// Brings one after the other at node 2 while node 3, and then node 2 itself, is killed; what was acknowledged.
fn while_nodes_are_killed(cluster: &mut Cluster) -> Result<Vec<(String, String)>> {
    let bring = |node: &pollux_tests::node::NodeProcess, from: u64| {
        (from..from + 6)
            .filter_map(|seed| {
                let (version, text) = (format!("2.{seed}"), content(seed, BYTES));
                let reply = put(node, &format!("fw/{version}"), &[], &text).ok()?;
                (reply.status == 200).then_some((version, text))
            })
            .collect::<Vec<_>>()
    };
    let third = cluster.nodes[2].take();
    let second = cluster.nodes[1].take();
    let (Some(second), Some(third)) = (second, third) else { anyhow::bail!("they run") };
    let (mut acknowledged, second) = thread::scope(|scope| {
        let bringing = scope.spawn(move || (bring(&second, 10), second));
        thread::sleep(Duration::from_millis(150));
        let killed = third.kill();
        let (acknowledged, second) = bringing.join().map_err(|_| anyhow::anyhow!("it failed"))?;
        killed.map(|()| (acknowledged, second))
    })?;
    ensure!(acknowledged.len() == 6, "two of three are enough: {} were", acknowledged.len());
    cluster.start(2)?;
    let id = second.id();
    let more = thread::scope(|scope| {
        let bringing = scope.spawn(|| bring(&second, 20));
        thread::sleep(Duration::from_millis(400));
        let pid = rustix::process::Pid::from_raw(i32::try_from(id)?);
        rustix::process::kill_process(pid.expect("it is no zero"), rustix::process::Signal::KILL)?;
        bringing.join().map_err(|_| anyhow::anyhow!("it failed"))
    })?;
    ensure!(more.len() < 6, "it was killed while some were on their way");
    acknowledged.extend(more);
    second.kill()?;
    // Those that are left have all that was acknowledged.
    for (version, text) in &acknowledged {
        for node in cluster.nodes.iter().flatten() {
            let reply = get(node, &format!("fw/{version}"), &[])?;
            ensure!(reply.status == 200 && reply.body == *text, "{version}: {}", reply.status);
        }
    }
    cluster.start(1)?;
    cluster.settled()?;
    Ok(acknowledged)
}

/// A node whose file is gone gives the bytes all the same, and has them again.
fn bytes_that_are_missing_come(cluster: &mut Cluster, text: &str) -> Result<()> {
    let data = cluster.options[2].data.clone();
    cluster.kill(2)?;
    let name = sha256(text);
    std::fs::remove_file(data.join("artifacts").join(&name))?;
    // And a part that is none of it.
    std::fs::write(data.join("artifacts").join(format!("{name}.part")), "nonsense")?;
    cluster.start(2)?;
    let Some(node) = &cluster.nodes[2] else { anyhow::bail!("it runs") };
    let reply = get(node, "fw/1", &[])?;
    ensure!(reply.status == 200 && reply.body == text, "{}", reply.status);
    comes(&data, &name)?;
    ensure!(std::fs::read_to_string(data.join("artifacts").join(&name))? == *text);
    Ok(())
}

/// A file that is not what its name says any more is noticed, and replaced.
fn what_the_disk_changed_is_fetched_anew(cluster: &mut Cluster, text: &str) -> Result<()> {
    let file = cluster.options[2].data.join("artifacts").join(sha256(text));
    cluster.kill(2)?;
    let mut changed = text.as_bytes().to_vec();
    changed[700_000] ^= 1;
    std::fs::write(&file, &changed)?;
    cluster.start(2)?;
    for _ in 0..LOOKS {
        // While it is replaced it may be away.
        if std::fs::read_to_string(&file).is_ok_and(|now| now == text) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(100));
    }
    anyhow::bail!("it stays as the disk has it")
}

/// A node that reaches no other acknowledges nothing.
fn alone_nothing_is_acknowledged(cluster: &mut Cluster) -> Result<()> {
    cluster.kill(1)?;
    cluster.kill(2)?;
    let reply = put(cluster.running()?, "fw/9", &[], &content(9, 1000))?;
    refuses(&reply, 503, "1 of the 2 nodes that must hold it do")?;
    cluster.start(1)?;
    cluster.start(2)?;
    cluster.settled()?;
    let node = cluster.running()?;
    ensure!(!listed(node)?.contains(&"fw@9".to_owned()));
    ok(&put(node, "fw/9", &[], &content(9, 1000))?).map(drop)
}
