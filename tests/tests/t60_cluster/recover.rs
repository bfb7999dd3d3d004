//! A majority that is lost for good: what is left goes on as the next life of the cluster, with all that
//! was acknowledged and is there, and says honestly what may be missing.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use pollux_tests::node::cluster::Cluster;
use pollux_tests::node::{NodeOptions, NodeProcess, offline, program};
use pollux_twin::lineage::LINEAGE_STRIDE;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Few shards, small segments: much happens in little time.
const QUICK: &[(&str, &str)] = &[
    ("POLLUX_CLUSTER__SHARDS", "4"),
    ("POLLUX_LOG__SEGMENT_BYTES", "4194304"),
    ("POLLUX_CHECKPOINT__INTERVAL_MS", "1000"),
];
const TWINS: u64 = 24;
/// How often is looked for what a node says, and how often at most.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: u32 = 600;

fn lamp(number: u64) -> String {
    format!("lamp-{number}")
}

fn desire(node: &NodeProcess, level: u64) -> Result<()> {
    for number in 0..TWINS {
        let path = format!("/v1/twins/{}/desired", lamp(number));
        let reply = node.send_json("PATCH", &path, &format!("{{\"level\":{level}}}"))?;
        ensure!(reply.status == 200, "{reply:?}");
    }
    Ok(())
}

fn signal(node: &NodeProcess, signal: Signal) -> Result<()> {
    let id = Pid::from_raw(i32::try_from(node.id())?).context("a process has an id")?;
    Ok(kill_process(id, signal)?)
}

fn recover(dirs: &[&Path], word: &[&str]) -> Result<Value> {
    let mut verb = vec!["cluster", "recover"];
    for dir in dirs {
        verb.extend(["--data-dir", dir.to_str().context("a path of a test is text")?]);
    }
    verb.extend(word);
    offline(&verb, QUICK)
}

/// Waits until a node of the old life hears that the one it knew is another now.
fn is_refused(options: &NodeOptions) -> Result<()> {
    let mut child = Command::new(program()?)
        .args(["start", "--data-dir"])
        .arg(&options.data)
        .args(["--devices-listen", &options.devices, "--peers-listen", &options.peers])
        .args(["--grpc-listen", &options.grpc, "--http-listen", &options.http])
        .envs(options.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(options.data.with_extension("said"))?)
        .spawn()?;
    let mut told = false;
    for _ in 0..LOOKS {
        told = options.said().contains("it should be node 3");
        if told {
            break;
        }
        sleep(LOOK);
    }
    child.kill()?;
    child.wait()?;
    if told { Ok(()) } else { bail!("nobody refused it; it said: {}", options.said()) }
}

/// Writes that two of three acknowledge while the third hears nothing.
fn acknowledge_without_it(cluster: &Cluster) -> Result<()> {
    let mut only_two_had = Vec::new();
    for number in 0..TWINS {
        let patch = ["twin", "patch", &lamp(number), r#"{"level":2}"#, "--timeout", "20s"];
        if cluster.running()?.ask(&patch).is_ok() {
            only_two_had.push(number);
        }
    }
    ensure!(!only_two_had.is_empty(), "two of three go on");
    Ok(())
}

/// Backs up what the third has, when nobody is left who could confirm it.
fn back_up_what_is_left(cluster: &Cluster, dir: &Path) -> Result<()> {
    let third = cluster.nodes[2].as_ref().context("it runs")?;
    signal(third, Signal::CONT)?;
    let out = dir.join("left");
    let out = out.to_str().context("a path of a test is text")?;
    let said = format!(
        "{:#}",
        third.ask(&["backup", "--out", &format!("{out}-not")]).expect_err("nobody can confirm")
    );
    assert!(said.contains("no owner confirms") && said.contains("--stale"), "{said}");
    let made = third.ask(&["backup", "--stale", "--out", out])?;
    assert_eq!((&made["unconfirmed"], &made["twins"]), (&json!([0, 1, 2, 3]), &json!(TWINS)));
    offline(&["backup", "verify", out], &[]).map(drop)
}

/// Takes two new nodes into the new life of which the third one is the first.
fn grow(cluster: &mut Cluster, dir: &Path) -> Result<()> {
    let third = cluster.options.remove(2);
    let old = std::mem::replace(&mut cluster.options, vec![third]);
    for (number, old) in old.into_iter().enumerate() {
        let mut options = NodeOptions::new(&dir.join(format!("new-{number}")));
        options.variables = old.variables;
        let named = |(name, _): &&mut (String, String)| name == "POLLUX_NODE__NAME";
        if let Some((_, name)) = options.variables.iter_mut().find(named) {
            *name = format!("new-{number}");
        }
        cluster.join(options)?;
    }
    Ok(())
}

#[test]
fn one_of_three_goes_on_and_says_what_is_lost() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    desire(cluster.running()?, 1)?;
    let first = cluster.running()?;
    first.ask(&["command", "send", &lamp(0), "restart", "--queue", "--deadline", "2h"])?;
    // The third has all of this: from now on it hears nothing.
    let settled = cluster.until("no lag", |status| {
        let shards = status["shards"].as_array().map_or(&[][..], |shards| shards);
        shards
            .iter()
            .all(|shard| shard["lag"] == 0 && shard["voters"].as_array().map(Vec::len) == Some(3))
    })?;
    let third = cluster.nodes[2].as_ref().context("it runs")?;
    let frozen = settled["nodes"][2]["id"].as_u64().context("an id")?;
    signal(third, Signal::STOP)?;
    // What the other two acknowledge alone is lost with them. Shards that the third owned wait.
    acknowledge_without_it(&cluster)?;
    cluster.kill(0)?;
    cluster.kill(1)?;
    back_up_what_is_left(&cluster, dir.path())?;
    cluster.kill(2)?;
    let left = cluster.options[2].data.clone();

    let dry = recover(&[&left], &["--dry-run"])?;
    assert_eq!((&dry["lineage"], &dry["recovered"]), (&json!(2), &json!(false)));
    assert_eq!(dry["lost"], json!([1, 2]), "{dry}");
    for group in dry["groups"].as_array().context("groups")? {
        assert_eq!(
            (&group["loss"], &group["missing"]),
            (&json!("newest"), &json!([1, 2])),
            "{group}"
        );
        assert!(group["text"].as_str().is_some_and(|text| text.contains("nodes 1, 2 had is lost")));
    }
    let said = format!("{:#}", recover(&[&left], &[]).unwrap_err());
    assert!(
        said.contains("--accept-loss") && said.contains("only nodes 1, 2 had is lost"),
        "{said}"
    );
    let done = recover(&[&left], &["--accept-loss"])?;
    assert_eq!(done["groups"], dry["groups"], "what was printed is what was done");
    assert_eq!(done["nodes"][0]["node"], frozen);
    let node = cluster.options[2].start()?;

    for number in 0..TWINS {
        let twin = node.twin(&lamp(number))?;
        let level = twin["desired"]["level"].as_u64().context("a level")?;
        let version = twin["versions"]["desired"].as_u64();
        // What was acknowledged while the third listened is there; of the rest, what reached its disk.
        ensure!((1..=2).contains(&level), "lost: {twin}");
        assert_eq!(version, Some(LINEAGE_STRIDE + level), "{twin}");
    }
    let commands = node.ask(&["command", "list", &lamp(0)])?;
    assert_eq!(commands["commands"][0]["name"], "restart", "{commands}");
    let status = node.ask(&["cluster", "status"])?;
    assert_eq!(status["lineage"], 2);
    let members = status["nodes"].as_array().context("nodes")?;
    let members: Vec<_> = members.iter().filter(|node| node["state"] != "removed").collect();
    assert_eq!((members.len(), &members[0]["id"]), (1, &json!(4)), "{status}");
    let lost = node.ask(&["twin", "watch", "--from", "p1.1.0-5-0", "--count", "1"])?;
    assert_eq!(lost["event"], "position_lost", "{lost}");

    // A node of the old life is refused, and the new life grows again.
    is_refused(&cluster.options[0])?;
    cluster.nodes = vec![Some(node)];
    grow(&mut cluster, dir.path())?;
    cluster.settled()?;
    desire(cluster.running()?, 3)?;
    Ok(())
}

/// A shard that has no replica on the node that is asked comes from another.
fn back_up_through_one_that_lacks_a_shard(cluster: &Cluster, dir: &Path) -> Result<()> {
    let node = cluster.nodes[3].as_ref().context("it runs")?;
    let status = node.ask(&["cluster", "status"])?;
    ensure!(status["nodes"][3]["replicas"].as_u64().is_some_and(|held| held < 4), "{status}");
    let out = dir.join("backup");
    let out = out.to_str().context("a path of a test is text")?;
    let made = node.ask(&["backup", "--out", out])?;
    assert_eq!((&made["unconfirmed"], &made["twins"]), (&json!([]), &json!(TWINS)));
    offline(&["backup", "verify", out], &[]).map(drop)
}

#[test]
fn two_of_four_go_on_together() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 4, QUICK)?;
    desire(cluster.running()?, 1)?;
    cluster.until("no lag", |status| {
        let shards = status["shards"].as_array().map_or(&[][..], |shards| shards);
        shards.iter().all(|shard| shard["lag"] == 0)
    })?;
    back_up_through_one_that_lacks_a_shard(&cluster, dir.path())?;
    for node in 0..4 {
        cluster.kill(node)?;
    }
    let [a, b] = [2, 3].map(|at| cluster.options[at].data.clone());
    let done = recover(&[&a, &b], &["--accept-loss"])?;
    let becomes: Vec<_> = done["nodes"].as_array().context("nodes")?.iter().collect();
    assert_eq!((&becomes[0]["becomes"], &becomes[1]["becomes"]), (&json!(5), &json!(6)), "{done}");
    let loss = |group: &Value| group["loss"].as_str().map(str::to_owned);
    let losses: Vec<_> = done["groups"].as_array().context("groups")?.iter().map(loss).collect();
    ensure!(!losses.contains(&Some("everything".into())), "every shard has a replica left: {done}");
    // Both wait for each other, so neither is waited for alone.
    cluster.options.drain(..2);
    cluster.nodes.clear();
    let started: Vec<_> = std::thread::scope(|scope| {
        let starting: Vec<_> =
            cluster.options.iter().map(|options| scope.spawn(|| options.start())).collect();
        starting.into_iter().map(|starting| starting.join().expect("no start panics")).collect()
    });
    cluster.nodes = started.into_iter().map(|node| node.map(Some)).collect::<Result<_>>()?;
    cluster.until("an owner for every shard", |status| {
        let shards = status["shards"].as_array().map_or(&[][..], |shards| shards);
        !shards.is_empty() && shards.iter().all(|shard| shard["open"] == true)
    })?;
    for number in 0..TWINS {
        let twin = cluster.running()?.twin(&lamp(number))?;
        assert_eq!(twin["desired"]["level"], 1, "{twin}");
        let version = twin["versions"]["desired"].as_u64();
        // Where a majority of the shard was left, nothing was lost, and versions go on as they were.
        ensure!([Some(1), Some(LINEAGE_STRIDE + 1)].contains(&version), "{twin}");
    }
    desire(cluster.running()?, 2)?;
    cluster.settled()?;
    Ok(())
}

#[test]
fn what_needs_no_recovery_gets_none() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut options = NodeOptions::new(&dir.path().join("data"));
    options.variables =
        QUICK.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let node = options.start()?;
    desire(&node, 1)?;
    let busy = format!("{:#}", recover(&[&options.data], &["--accept-loss"]).unwrap_err());
    assert!(busy.contains("in use by another process") && busy.contains("stop the node"), "{busy}");
    node.kill()?;
    let said = format!("{:#}", recover(&[&options.data], &["--accept-loss"]).unwrap_err());
    assert!(
        said.contains("nothing has to be given up") && said.contains("start these nodes"),
        "{said}"
    );
    let nothing = dir.path().join("nothing");
    let said = format!("{:#}", recover(&[&nothing], &["--dry-run"]).unwrap_err());
    assert!(said.contains("has no identity"), "{said}");
    // It was only looked at.
    let node = options.start()?;
    assert_eq!(node.twin(&lamp(3))?["versions"]["desired"], 1);
    Ok(())
}
