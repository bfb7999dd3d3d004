//! Three nodes: what was acknowledged at one is given by all, whichever is killed, and comes to those that were away.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pollux_tests::node::NodeProcess;
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
    let third = cluster.nodes[2].take().context("it runs")?;
    let second = cluster.nodes[1].as_ref().context("it runs")?;
    let (mut acknowledged, failed) = bring_while(second, 10, 12, || third.kill())?;
    ensure!(failed == 0, "two of three are enough: {failed} failed");
    cluster.start(2)?;
    let second = cluster.nodes[1].take().context("it runs")?;
    let id = i32::try_from(second.id())?;
    let pid = rustix::process::Pid::from_raw(id).context("it is no zero")?;
    let kill = || Ok(rustix::process::kill_process(pid, rustix::process::Signal::KILL)?);
    let (more, failed) = bring_while(&second, 100, 100, kill)?;
    ensure!(failed > 0, "it was killed while some were to come");
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

/// Brings so many, until one fails after another; something is done once three are acknowledged. What was, and how many
/// failed.
fn bring_while(
    node: &NodeProcess,
    from: u64,
    most: u64,
    then: impl FnOnce() -> Result<()>,
) -> Result<(Vec<(String, String)>, usize)> {
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        let bringing = scope.spawn(|| {
            let (mut acknowledged, mut failed) = (Vec::new(), 0);
            for seed in from..from + most {
                let (version, text) = (format!("2.{seed}"), content(seed, BYTES));
                match put(node, &format!("fw/{version}"), &[], &text) {
                    Ok(reply) if reply.status == 200 => acknowledged.push((version, text)),
                    _ => failed += 1,
                }
                done.store(acknowledged.len() + failed, Ordering::Relaxed);
                if failed > 1 {
                    break;
                }
            }
            (acknowledged, failed)
        });
        while done.load(Ordering::Relaxed) < 3 && !bringing.is_finished() {
            thread::sleep(Duration::from_millis(1));
        }
        // Within the next one.
        thread::sleep(Duration::from_millis(20));
        then()?;
        bringing.join().map_err(|_| anyhow::anyhow!("it failed"))
    })
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
