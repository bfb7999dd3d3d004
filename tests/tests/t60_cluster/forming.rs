//! A cluster of real processes: formed by the command line, an owner killed under load, nothing that was
//! acknowledged lost or doubled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use pollux_device::session::Backoff;
use pollux_device::{Device, Options};
use pollux_tests::node::Devices;
use pollux_tests::node::cluster::{self, Cluster, QUICK};
use pollux_twin::Value;
use pollux_twin::value::Object;
use tokio::time::{sleep, timeout};

const DEVICES: usize = 12;
/// Longest that a step may take on a busy machine.
const STEP: Duration = Duration::from_secs(120);

#[test]
fn three_nodes_form_and_any_answers() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::form(dir.path(), 3, QUICK)?;
    let [a, b, c] = [0, 1, 2].map(|at| cluster.nodes[at].as_ref().expect("it runs"));
    for number in 0..8 {
        let device = format!("lamp-{number}");
        a.ask(&["twin", "patch", &device, r#"{"level":1}"#])?;
        b.ask(&["twin", "patch", &device, r#"{"level":2}"#, "--expect", "1"])?;
        assert_eq!(c.twin(&device)?["desired"], serde_json::json!({"level": 2}));
    }
    let listed = c.ask(&["twin", "list"])?;
    assert_eq!(listed["twins"].as_array().map(Vec::len), Some(8), "{listed}");
    Ok(())
}

/// With four nodes and three replicas each, a node holds no replica of some shards: it asks those that do
/// until it has found the owner, also when the one that is meant to own is gone.
#[test]
fn a_node_without_a_replica_finds_the_next_owner() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 4, QUICK)?;
    let devices: Vec<String> = (0..8).map(|number| format!("lamp-{number}")).collect();
    for device in &devices {
        cluster.node(0)?.ask(&["twin", "patch", device, r#"{"level":0}"#])?;
    }
    cluster.until("shards on all nodes", |status| {
        let nodes = status["nodes"].as_array();
        nodes.is_some_and(|nodes| nodes.iter().all(|node| node["replicas"] == 3))
    })?;
    cluster.settled()?;
    cluster.kill(cluster.busiest()?)?;
    for (level, at) in (1..).zip(cluster.there()) {
        for device in &devices {
            let patch = format!("{{\"level\":{level}}}");
            let expected = level.to_string();
            // With a key it may be asked for again where nobody knows whether the lost node did it.
            let key = format!("{device}-{level}");
            let verb = ["twin", "patch", device, &patch, "--expect", &expected, "--key", &key];
            let made = cluster.node(at)?.ask(&verb);
            made.with_context(|| format!("at node {at}: {:?}", cluster.status()))?;
        }
    }
    Ok(())
}

#[test]
fn a_token_lets_one_node_in_once() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 1, QUICK)?;
    let first = cluster.running()?;
    let token = first.ask(&["cluster", "token"])?["token"].as_str().context("a token")?.to_owned();
    let options = |name: &str| {
        let mut options = pollux_tests::node::NodeOptions::new(&dir.path().join(name));
        let variables = cluster.options[0].variables.iter();
        options.variables =
            variables.filter(|(key, _)| key != "POLLUX_NODE__NAME").cloned().collect();
        options
    };
    let (second, third, other) = (options("second"), options("third"), options("other"));
    cluster::join(&second, &first.peers, &token)?;
    let said = format!("{:#}", cluster::join(&third, &first.peers, &token).unwrap_err());
    assert!(said.contains("token"), "{said}");
    let said = format!("{:#}", cluster::join(&third, &first.peers, "nonsense").unwrap_err());
    assert!(said.contains("pollux-join."), "{said}");
    let fresh = first.ask(&["cluster", "token"])?["token"].as_str().context("a token")?.to_owned();
    let said = format!("{:#}", cluster::join(&second, &first.peers, &fresh).unwrap_err());
    assert!(said.contains("empty") || said.contains("identity"), "{said}");
    let differs = other.with("POLLUX_CLUSTER__SHARDS", "8");
    let said = format!("{:#}", cluster::join(&differs, &first.peers, &fresh).unwrap_err());
    assert!(said.contains("shard"), "{said}");
    cluster.nodes.push(Some(second.start()?));
    cluster.options.push(second);
    cluster.settled()?;
    Ok(())
}

/// A device that counts up in its reports, one after the other, until it is told to stop.
async fn count(device: Arc<Device>, stop: Arc<AtomicBool>) -> Result<u64> {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let patch = Object::from([("n".to_owned(), Value::from(number))]);
        let answer = device.report(Value::Object(patch)).await?;
        // Each report changes the section, so its version counts what was applied.
        assert_eq!(answer.version, number, "a report was applied twice, or not at all");
    }
    Ok(number)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_are_killed_under_load() -> Result<()> {
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
    for kill in 0..6_u64 {
        sleep(Duration::from_millis(700 + kill * 37 % 400)).await;
        let victim = cluster.busiest()?;
        cluster.kill(victim)?;
        sleep(Duration::from_millis(1_500)).await;
        cluster.start(victim)?;
        cluster.settled()?;
    }
    stop.store(true, Ordering::Relaxed);
    let mut total = 0;
    for (name, device, task) in counting {
        let acked = timeout(STEP, task).await.context("a report was never answered")???;
        let twin = cluster.running()?.twin(&name)?;
        assert_eq!(twin["reported"]["n"].as_u64(), Some(acked), "lost: {name}: {twin}");
        assert_eq!(twin["versions"]["reported"].as_u64(), Some(acked), "doubled: {name}: {twin}");
        total += acked;
        device.close();
    }
    assert!(total > DEVICES as u64, "{total} reports over six kills");
    Ok(())
}
