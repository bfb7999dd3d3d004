//! A node that is killed, or stopped, under load: nothing acknowledged is lost or doubled, and
//! nothing that was accepted fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use pollux_device::Device;
use pollux_tests::node::{Devices, NodeOptions, NodeProcess};
use pollux_twin::Value;
use pollux_twin::value::Object;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const DEVICES: usize = 12;
const KILLS: u64 = 20;
/// Longest wait for all devices to be through in the end.
const LAST: Duration = Duration::from_secs(120);

/// A device that counts up in its reports, one after the other.
struct Counter {
    name: String,
    device: Arc<Device>,
    sent: Arc<AtomicU64>,
    acked: Arc<AtomicU64>,
    task: JoinHandle<Result<()>>,
}

impl Counter {
    fn start(device: Device, name: String, stop: &Arc<AtomicBool>) -> Self {
        let device = Arc::new(device);
        let (sent, acked) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let own = (Arc::clone(&device), Arc::clone(&sent), Arc::clone(&acked), Arc::clone(stop));
        let task = tokio::spawn(async move {
            let (device, sent, acked, stop) = own;
            while !stop.load(Ordering::Relaxed) {
                let number = sent.fetch_add(1, Ordering::Relaxed) + 1;
                let patch = Object::from([("n".to_owned(), Value::from(number))]);
                let answer = device.report(Value::Object(patch)).await?;
                // Each report changes the section, so its version counts what was applied.
                assert_eq!(answer.version, number, "a report was applied twice, or not at all");
                acked.store(number, Ordering::Relaxed);
            }
            Ok(())
        });
        Self { name, device, sent, acked, task }
    }

    /// Waits for the last answer, and compares with what the node has.
    async fn check(self, node: &NodeProcess) -> Result<u64> {
        timeout(LAST, self.task).await.context("the last report was never answered")???;
        let (sent, acked) = (self.sent.load(Ordering::Relaxed), self.acked.load(Ordering::Relaxed));
        let twin = node.twin(&self.name)?;
        let (shown, version) = (&twin["reported"]["n"], &twin["versions"]["reported"]);
        let history = format!("{}: sent {sent}, acked {acked}: {twin}", self.name);
        assert_eq!(shown.as_u64(), Some(acked), "lost: {history}");
        assert_eq!(version.as_u64(), Some(acked), "doubled: {history}");
        self.device.close();
        Ok(acked)
    }
}

/// Few shards and small segments: a quick start, and checkpoints while it runs.
fn options(dir: &std::path::Path) -> NodeOptions {
    NodeOptions::new(&dir.join("data"))
        .with("POLLUX_CLUSTER__SHARDS", "4")
        .with("POLLUX_LOG__SEGMENT_BYTES", "4194304")
        .with("POLLUX_CHECKPOINT__INTERVAL_MS", "1000")
}

fn fleet(node: &NodeProcess, stop: &Arc<AtomicBool>) -> Result<Vec<Counter>> {
    let devices = Devices::of(node.data())?;
    (0..DEVICES)
        .map(|number| {
            let name = format!("counter-{number}");
            Ok(Counter::start(devices.start(&node.devices, &name)?, name, stop))
        })
        .collect()
}

async fn check(fleet: Vec<Counter>, node: &NodeProcess) -> Result<u64> {
    let mut acked = 0;
    for counter in fleet {
        acked += counter.check(node).await?;
    }
    Ok(acked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_twenty_times_under_load() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut node = options(dir.path()).start()?;
    let stop = Arc::new(AtomicBool::new(false));
    let fleet = fleet(&node, &stop)?;
    for kill in 0..KILLS {
        // Different places of a checkpoint's interval, without chance.
        sleep(Duration::from_millis(150 + kill * 37 % 400)).await;
        let again = node.again();
        node.kill()?;
        node = again.start()?;
    }
    stop.store(true, Ordering::Relaxed);
    let acked = check(fleet, &node).await?;
    eprintln!("{acked} reports acknowledged over {KILLS} kills");
    assert!(acked > 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_under_load() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut node = options(dir.path()).start()?;
    let stop = Arc::new(AtomicBool::new(false));
    let fleet = fleet(&node, &stop)?;
    for _ in 0..3 {
        sleep(Duration::from_millis(700)).await;
        let again = node.again();
        assert!(node.stop()?.success(), "the node stops in order: {}", again.said());
        node = again.start()?;
    }
    stop.store(true, Ordering::Relaxed);
    assert!(check(fleet, &node).await? > 0);
    Ok(())
}
