//! A cluster as it is operated: evened, upgraded and restarted through the command line, and formed by `dev`.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use pollux_device::session::Backoff;
use pollux_device::{Device, Options};
use pollux_tests::node::cluster::Cluster;
use pollux_tests::node::{Devices, program};
use pollux_twin::Value;
use pollux_twin::value::Object;
use serde_json::json;
use tokio::time::{sleep, timeout};

/// Few shards, small segments: much happens in little time.
const QUICK: &[(&str, &str)] = &[
    ("POLLUX_CLUSTER__SHARDS", "4"),
    ("POLLUX_LOG__SEGMENT_BYTES", "4194304"),
    ("POLLUX_CHECKPOINT__INTERVAL_MS", "1000"),
];
const DEVICES: usize = 8;
/// Longest that a step may take on a busy machine.
const STEP: Duration = Duration::from_secs(120);

#[test]
fn owners_are_evened_when_asked_and_a_rehearsal_changes_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::form(dir.path(), 3, QUICK)?;
    let owned = |status: &serde_json::Value| -> Vec<u64> {
        let nodes = status["nodes"].as_array().into_iter().flatten();
        nodes.filter_map(|node| node["owned"].as_u64()).collect()
    };
    let before = cluster.status()?;
    assert_eq!(owned(&before), [4, 0, 0], "the first node made the shards: {before}");
    // From a node that does not lead the meta group, too.
    let other = cluster.nodes[2].as_ref().context("it runs")?;
    let planned = other.ask(&["cluster", "rebalance", "--dry-run"])?;
    let moves = planned["moves"].as_array().context("moves")?;
    assert!(!moves.is_empty(), "{planned}");
    for planned in moves {
        assert_ne!(planned["from"], planned["to"], "{planned}");
        assert!(planned["why"].as_str().is_some_and(|why| !why.is_empty()), "{planned}");
    }
    assert_eq!(owned(&cluster.status()?), [4, 0, 0], "a rehearsal changes nothing");
    other.ask(&["cluster", "rebalance"])?;
    let even = |status: &serde_json::Value| owned(status).iter().all(|owned| *owned >= 1);
    cluster.until("an even cluster", |status| {
        even(status) && status["owned_as_meant"] == true && status["settled"] == true
    })?;
    Ok(())
}

#[test]
fn a_level_that_a_node_cannot_run_at_is_refused_with_its_name() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::form(dir.path(), 1, QUICK)?;
    let node = cluster.running()?;
    let upgrade = node.ask(&["cluster", "upgrade"])?;
    let level = upgrade["level"].as_u64().context("a level")?;
    assert_eq!(upgrade["nodes"][0]["level_newest"], level);
    let version = upgrade["nodes"][0]["version"].as_str().context("a version")?;
    assert!(!version.is_empty());
    // All can run at it already: done, and done again.
    assert_eq!(node.ask(&["cluster", "upgrade", "--finish"])?, json!({"level": level}));
    let next = (level + 1).to_string();
    let said = node.ask(&["cluster", "upgrade", "--finish", "--level", &next]).unwrap_err();
    let said = format!("{said:#}");
    assert!(said.contains("node 1 runs at levels"), "{said}");
    assert_eq!(node.ask(&["cluster", "upgrade"])?["level"], level);
    Ok(())
}

#[test]
fn whoever_looks_after_a_node_sees_what_it_does_and_what_is_wrong() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::form(dir.path(), 1, QUICK)?;
    let node = cluster.running()?;
    // It asks twice, and is asked for something in between.
    let top = std::thread::scope(|scope| {
        let top = scope.spawn(|| node.ask(&["top", "--every", "2s", "--count", "1"]));
        let mut n = 0;
        while !top.is_finished() {
            n += 1;
            node.ask(&["twin", "patch", "pump-7", &format!("{{\"n\":{n}}}")])?;
        }
        top.join().expect("it does not panic")
    })?;
    let shown = &top["nodes"][0];
    assert!(shown["uptime_ms"].as_u64().is_some_and(|ms| ms > 0), "{top}");
    assert!(shown["resident_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{top}");
    for rate in ["calls_per_s", "commits_per_s", "cpu_percent"] {
        assert!(shown[rate].as_f64().is_some_and(|rate| rate > 0.0), "{rate}: {top}");
    }
    let twins = top["shards"].as_array().into_iter().flatten().filter_map(|s| s["twins"].as_u64());
    assert_eq!(twins.sum::<u64>(), 1, "{top}");

    // The node runs: nothing is wrong with it, and that it is alone is worth a note.
    let data = node.data().display().to_string();
    let shards = [("POLLUX_CLUSTER__SHARDS", "4")];
    let doctor =
        |arguments: &[&str], variables: &[(&str, &str)]| -> Result<(bool, serde_json::Value)> {
            let mut command = Command::new(program()?);
            command.args(["--output", "json", "doctor"]).args(arguments);
            let output = command.envs(variables.iter().copied()).output()?;
            Ok((output.status.success(), serde_json::from_slice(&output.stdout)?))
        };
    let grpc = format!("http://{}", node.grpc);
    let (good, said) = doctor(&["--data-dir", &data, "--grpc", &grpc], &shards)?;
    assert!(good && said["wrong"] == 0, "{said}");
    assert!(said.to_string().contains("one node: nothing survives"), "{said}");
    // Another number of shards than it was formed with, and a place that is taken.
    let taken = ["--data-dir", &data, "--grpc", "http://127.0.0.1:9", "--http-listen", &node.http];
    let (good, said) = doctor(&taken, &[])?;
    let wrong = |what: &str| {
        let findings = said["findings"].as_array().into_iter().flatten();
        findings.filter(|f| f["verdict"] == "wrong" && f["what"] == what).count()
    };
    assert!(!good, "{said}");
    assert_eq!((wrong("data"), wrong("ports"), wrong("cluster")), (1, 1, 0), "{said}");
    Ok(())
}

#[test]
fn a_cluster_is_reached_by_the_name_it_was_given() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (cluster, home) = (Cluster::form(dir.path(), 1, QUICK)?, tempfile::tempdir()?);
    let grpc = format!("http://{}", cluster.running()?.grpc);
    let run = |arguments: &[&str]| -> Result<std::process::Output> {
        let mut command = Command::new(program()?);
        command.args(arguments).env("XDG_CONFIG_HOME", home.path()).env_remove("POLLUX_GRPC");
        Ok(command.output()?)
    };
    let must = |arguments: &[&str]| -> Result<String> {
        let output = run(arguments)?;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    };
    must(&["context", "set", "nowhere", "--grpc", "http://127.0.0.1:9", "--use"])?;
    assert_eq!(run(&["twin", "list"])?.status.code(), Some(6), "nobody answers there");
    must(&["context", "set", "plant", "--grpc", &grpc])?;
    must(&["twin", "list", "--context", "plant"])?;
    must(&["context", "use", "plant"])?;
    must(&["twin", "list"])?;
    assert!(must(&["context", "list"])?.contains(&format!("* plant    {grpc}")));
    let unknown = run(&["twin", "list", "--context", "field"])?;
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("pollux context list"));
    must(&["context", "remove", "plant"])?;
    assert_eq!(must(&["context", "list"])?.trim(), "nowhere  http://127.0.0.1:9");
    Ok(())
}

/// A device that counts up in its reports, one after the other, until it is told to stop.
async fn count(device: Arc<Device>, stop: Arc<AtomicBool>) -> Result<u64> {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let patch = Object::from([("n".to_owned(), Value::from(number))]);
        let answer = device.report(Value::Object(patch)).await?;
        assert_eq!(answer.version, number, "a report was applied twice, or not at all");
    }
    Ok(number)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_is_restarted_and_nothing_is_lost() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    let devices = Devices::of(cluster.running()?.data())?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut counting = Vec::new();
    for number in 0..DEVICES {
        let name = format!("counter-{number}");
        let backoff = Backoff { first_ms: 50, base_ms: 100, max_ms: 500 };
        let options =
            Options::new(&cluster.device_addresses()[number % 3], &name, devices.identity(&name)?);
        let device = Arc::new(devices.open(options.backoff(backoff))?);
        counting.push((name, Arc::clone(&device), tokio::spawn(count(device, Arc::clone(&stop)))));
    }
    sleep(Duration::from_secs(1)).await;
    for restarted in 0..cluster.nodes.len() {
        let node = cluster.nodes[restarted].take().context("it runs")?;
        let status = node.stop()?;
        assert!(status.success(), "{status}: {}", cluster.options[restarted].said());
        // Before it is back, others own what it owned.
        let id = restarted as u64 + 1;
        cluster.until("owned by others", |status| {
            let mut shards = status["shards"].as_array().into_iter().flatten();
            shards.all(|shard| shard["open"] == true && shard["owner"] != id)
        })?;
        cluster.start(restarted)?;
        cluster.settled()?;
    }
    stop.store(true, Ordering::Relaxed);
    for (name, device, task) in counting {
        let acked = timeout(STEP, task).await.context("a report was never answered")???;
        let twin = cluster.running()?.twin(&name)?;
        assert_eq!(twin["reported"]["n"].as_u64(), Some(acked), "lost: {name}: {twin}");
        assert_eq!(twin["versions"]["reported"].as_u64(), Some(acked), "doubled: {name}: {twin}");
        device.close();
    }
    // Restarted, not drained: every shard has three voters as before.
    let status = cluster.settled()?;
    let shards = status["shards"].as_array().context("shards")?;
    let three = |shard: &serde_json::Value| shard["voters"].as_array().map(Vec::len) == Some(3);
    assert!(shards.iter().all(three), "{status}");
    Ok(())
}

/// Runs `dev` with several nodes for a moment; what it said in its first line.
fn dev(dir: &std::path::Path, nodes: &str) -> Result<String> {
    const ANY: &str = "127.0.0.1:0";
    let output = Command::new(program()?)
        .args(["dev", "--nodes", nodes, "--devices", "20", "--duration", "3s", "-o", "json"])
        .args(["--devices-listen", ANY, "--grpc-listen", ANY, "--http-listen", ANY])
        .args(["--peers-listen", ANY, "--data-dir"])
        .arg(dir)
        .envs(QUICK.iter().copied())
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let said = String::from_utf8(output.stdout)?;
    let mut lines = said.lines();
    let first = lines.next().context("a first line")?.to_owned();
    let acked = lines.filter_map(|line| {
        let sample: serde_json::Value = serde_json::from_str(line).ok()?;
        sample["acked_per_s"].as_u64()
    });
    assert!(acked.sum::<u64>() > 0, "no report was acknowledged: {said}");
    Ok(first)
}

#[test]
fn dev_forms_a_cluster_and_finds_it_again() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("cluster");
    let first = dev(&data, "3")?;
    assert_eq!(dev(&data, "3")?, first, "the same nodes at the same places");
    let said = format!("{:#}", dev(&data, "2").unwrap_err());
    assert!(said.contains("3 nodes") && said.contains("--nodes 3"), "{said}");
    Ok(())
}

#[test]
fn a_run_with_faults_is_verified_and_a_bad_script_is_refused_before_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("sim");
    let sim = |faults: &str| -> Result<std::process::Output> {
        Ok(Command::new(program()?)
            .args(["sim", "--nodes", "3", "--devices", "20", "--rate", "60", "--duration", "14s"])
            .args(["--verify", "-o", "json", "--faults", faults, "--data-dir"])
            .arg(&data)
            .envs(QUICK.iter().copied())
            .stdin(Stdio::null())
            .output()?)
    };
    let refused = sim("5s kill owner; 6s burn 1")?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("line 1") && said.contains("burn") && said.contains("kill"), "{said}");
    let script = "1s partition 1 2s; 4s slow 2 100ms 2s; 6s kill owner 1s; 10s stop any 1s";
    let ran = sim(script)?;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&ran.stdout)?;
    assert_eq!((&report["lost"], &report["doubled"]), (&json!(0), &json!(0)), "{report}");
    assert_eq!(report["verified"], true, "{report}");
    for happened in ["is cut off", "are mended", "takes 100ms longer", "is killed", "is started"] {
        assert!(said.contains(happened), "{happened}: {said}");
    }
    Ok(())
}
