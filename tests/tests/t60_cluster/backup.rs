//! Backups of a cluster of real processes, taken under load, restored into another number of shards: every
//! twin is as it was, and what was damaged is refused with its place.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pollux_device::Device;
use pollux_tests::node::cluster::Cluster;
use pollux_tests::node::{Devices, NodeOptions, NodeProcess, offline};
use pollux_twin::Value as TwinValue;
use pollux_twin::lineage::LINEAGE_STRIDE;
use pollux_twin::value::Object;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

/// Few shards, small segments: much happens in little time.
const QUICK: &[(&str, &str)] = &[
    ("POLLUX_CLUSTER__SHARDS", "4"),
    ("POLLUX_LOG__SEGMENT_BYTES", "4194304"),
    ("POLLUX_CHECKPOINT__INTERVAL_MS", "1000"),
];
/// Shards of the restored cluster.
const SHARDS: &str = "7";
const TWINS: u64 = 40;
const DEVICES: usize = 6;
/// Longest that a step may take on a busy machine.
const STEP: Duration = Duration::from_secs(120);

fn lamp(number: u64) -> String {
    format!("lamp-{number}")
}

/// Twins with all that a backup must keep: documents, tags, tombstones, commands.
fn fill(node: &NodeProcess) -> Result<()> {
    for number in 0..TWINS {
        let path = format!("/v1/twins/{}", lamp(number));
        for version in 0..=number % 4 {
            let body = format!("{{\"level\":{version},\"big\":{}}}", u64::MAX);
            let reply = node.send_json("PATCH", &format!("{path}/desired"), &body)?;
            ensure!(reply.status == 200, "{reply:?}");
        }
        node.send_json("PATCH", &format!("{path}/tags"), r#"{"room":"north"}"#)?;
        if number % 5 == 0 {
            node.ask(&[
                "command",
                "send",
                &lamp(number),
                "restart",
                "--queue",
                "--deadline",
                "2h",
            ])?;
        }
        if number % 8 == 7 {
            node.ask(&["twin", "delete", &lamp(number)])?;
        }
    }
    Ok(())
}

/// What there is to compare of a twin, with versions that begin at `floor`.
fn shown(node: &NodeProcess, device: &str, floor: u64) -> Result<Value> {
    let Ok(twin) = node.twin(device) else { return Ok(Value::Null) };
    let above = |version: &Value| version.as_u64().and_then(|version| version.checked_sub(floor));
    let versions = ["tags", "desired", "reported"].map(|name| above(&twin["versions"][name]));
    let commands = node.ask(&["command", "list", device])?["commands"].clone();
    let commands: Vec<Value> = commands.as_array().into_iter().flatten().map(named).collect();
    Ok(json!({
        "tags": twin["tags"], "desired": twin["desired"], "reported": twin["reported"],
        "delta": twin["delta"], "versions": versions, "version": above(&twin["version"]),
        "commands": commands,
    }))
}

/// A command without its state: one that waited for its device may have been pushed since.
fn named(command: &Value) -> Value {
    json!([command["id"], command["name"], command["payload"], command["deadline_ms"]])
}

/// A device that counts up in its reports until it is told to stop; what was acknowledged last.
async fn count(device: Arc<Device>, acked: Arc<AtomicU64>, stop: Arc<AtomicBool>) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let number = acked.load(Ordering::SeqCst) + 1;
        let patch = Object::from([("n".to_owned(), TwinValue::from(number))]);
        device.report(TwinValue::Object(patch)).await?;
        acked.store(number, Ordering::SeqCst);
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

fn restored(dir: &Path, backup: &Path, pki: &Path) -> Result<NodeOptions> {
    let options = NodeOptions::new(dir).with("POLLUX_CLUSTER__SHARDS", SHARDS);
    let to = dir.join("pki");
    std::fs::create_dir_all(&to)?;
    for entry in std::fs::read_dir(pki)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    let (from, to) = (text(backup)?, text(dir)?);
    let said = offline(&["restore", "--from", from, "--data-dir", to, "--shards", SHARDS], &[])?;
    assert_eq!((&said["restored"]["lineage"], &said["restored"]["shards"]), (&json!(2), &json!(7)));
    Ok(options)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path of a test is text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_comes_back_in_other_shards() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::form(dir.path(), 3, QUICK)?;
    let node = cluster.nodes[2].as_ref().context("it runs")?;
    fill(node)?;
    let pki = cluster.options[0].data.join("pki");
    let devices = Devices::of(&cluster.options[0].data)?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut counting = Vec::new();
    for number in 0..DEVICES {
        let name = format!("counter-{number}");
        let device = Arc::new(devices.start(&cluster.options[number % 3].devices, &name)?);
        let acked = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(count(Arc::clone(&device), Arc::clone(&acked), Arc::clone(&stop)));
        counting.push((name, device, acked, task));
    }
    let some = |acked: &AtomicU64| acked.load(Ordering::SeqCst) > 5;
    while !counting.iter().all(|(_, _, acked, _)| some(acked)) {
        sleep(Duration::from_millis(20)).await;
    }
    let seen = |counting: &[(String, Arc<Device>, Arc<AtomicU64>, _)]| -> Vec<u64> {
        counting.iter().map(|(_, _, acked, _)| acked.load(Ordering::SeqCst)).collect()
    };
    let before = seen(&counting);
    let loaded = dir.path().join("loaded");
    let made = node.ask(&["backup", "--out", text(&loaded)?])?;
    let after = seen(&counting);
    assert!(before.iter().zip(&after).any(|(before, after)| before < after), "it was under load");
    assert_eq!(made["unconfirmed"], json!([]));
    assert_eq!(offline(&["backup", "verify", text(&loaded)?], &[])?["shards"], made["shards"]);

    // Every report is in it that was acknowledged before it began, and none that was not yet sent.
    let options = restored(&dir.path().join("first"), &loaded, &pki)?;
    let first = options.start()?;
    for (at, (name, ..)) in counting.iter().enumerate() {
        let twin = first.twin(name)?;
        let n = twin["reported"]["n"].as_u64().context("it counts")?;
        assert!((before[at]..=after[at] + 1).contains(&n), "{name}: {n}, {before:?} {after:?}");
        assert_eq!(twin["versions"]["reported"].as_u64(), Some(n + LINEAGE_STRIDE), "{twin}");
    }
    drop(first);
    stop.store(true, Ordering::Relaxed);
    for (_, device, _, task) in counting {
        timeout(STEP, task).await.context("a report was never answered")???;
        device.close();
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_twin_is_as_it_was_and_the_new_life_goes_on() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut options = NodeOptions::new(&dir.path().join("old"));
    options.variables =
        QUICK.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let old = options.start()?;
    fill(&old)?;
    let devices = Devices::of(&options.data)?;
    let pump = devices.start(&old.devices, "pump")?;
    for number in 1..=5_u64 {
        let patch = Object::from([("n".to_owned(), TwinValue::from(number))]);
        timeout(STEP, pump.report(TwinValue::Object(patch))).await??;
    }
    pump.close();
    let position = old.ask(&["twin", "watch", "--picture", "--prefix", "lamp-0", "--count", "2"]);
    drop(position);
    let keyed = ["twin", "patch", "keyed", r#"{"level":1}"#, "--key", "once"];
    old.ask(&keyed)?;
    let backup = dir.path().join("backup");
    old.ask(&["backup", "--out", text(&backup)?])?;
    let names: Vec<String> = (0..TWINS).map(lamp).chain(["pump".into(), "keyed".into()]).collect();
    let was = names.iter().map(|name| shown(&old, name, 0)).collect::<Result<Vec<_>>>()?;
    old.ask(&["backup", "--out", text(&backup)?]).expect_err("the folder is taken");
    let pki = options.data.join("pki");
    let node = restored(&dir.path().join("new"), &backup, &pki)?.start()?;
    let is = names.iter().map(|name| shown(&node, name, LINEAGE_STRIDE));
    let is = is.collect::<Result<Vec<_>>>()?;
    for ((name, was), is) in names.iter().zip(&was).zip(&is) {
        assert_eq!(was, is, "{name}");
    }
    // The key is known, so the repetition changes nothing; deleted twins continue their versions.
    node.ask(&keyed)?;
    assert_eq!(shown(&node, "keyed", LINEAGE_STRIDE)?, *was.last().context("it is the last")?);
    node.ask(&["twin", "patch", &lamp(7), r#"{"level":9}"#])?;
    let born_again = node.twin(&lamp(7))?["versions"]["desired"].as_u64().context("a version")?;
    assert!(born_again > LINEAGE_STRIDE + 4, "{born_again}");
    // A twin that the backup does not know may have been known to the old cluster.
    node.ask(&["twin", "patch", "unknown", r#"{"level":1}"#, "--expect", "0"])?;
    let unknown = node.twin("unknown")?["versions"]["desired"].as_u64();
    assert_eq!(unknown, Some(LINEAGE_STRIDE + 1));
    // The old cluster's positions mean nothing here.
    let lost = node.ask(&["twin", "watch", "--from", "p1.1.0-5-0", "--count", "1"])?;
    assert_eq!(lost["event"], "position_lost", "{lost}");
    // Its devices come back by the certificates that they have, in the old session of counters.
    let pump = devices.start(&node.devices, "pump")?;
    let patch = Object::from([("n".to_owned(), TwinValue::from(6_u64))]);
    let answer = timeout(STEP, pump.report(TwinValue::Object(patch))).await??;
    assert_eq!(answer.version, LINEAGE_STRIDE + 6);
    // What was queued may have been pushed by the old cluster: it is asked about, never pushed again.
    let commands = node.ask(&["command", "list", &lamp(0)])?;
    assert_eq!(commands["commands"][0]["state"], "delivering", "{commands}");
    Ok(())
}

#[test]
fn a_damaged_backup_is_refused_with_its_place() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = NodeOptions::new(&dir.path().join("data")).with("POLLUX_CLUSTER__SHARDS", "2");
    let node = options.start()?;
    for number in 0..8 {
        node.ask(&["twin", "patch", &lamp(number), r#"{"level":1}"#])?;
    }
    let backup = dir.path().join("backup");
    node.ask(&["backup", "--out", text(&backup)?])?;
    let path = backup.join("shard-0001.twins");
    let mut bytes = std::fs::read(&path)?;
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes)?;
    let new = dir.path().join("new");
    let verbs: [&[&str]; 2] = [
        &["backup", "verify", text(&backup)?],
        &["restore", "--from", text(&backup)?, "--data-dir", text(&new)?],
    ];
    for verb in verbs {
        let said = format!("{:#}", offline(verb, &[]).unwrap_err());
        assert!(said.contains("shard-0001.twins is damaged at byte"), "{said}");
        assert!(said.contains("use another backup"), "{said}");
    }
    assert!(!new.join("identity").exists(), "no node can start from it");
    Ok(())
}
