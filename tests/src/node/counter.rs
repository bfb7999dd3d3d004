//! Devices that count up in their reports, one after the other, so that what was acknowledged can be
//! compared with what a node has in the end: nothing lost, nothing doubled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pollux_device::Device;
use pollux_twin::Value;
use pollux_twin::value::Object;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Devices, NodeProcess};

/// Longest wait for a device to be through in the end.
const LAST: Duration = Duration::from_secs(120);

/// One of them.
struct Counter {
    name: String,
    device: Arc<Device>,
    sent: Arc<AtomicU64>,
    acked: Arc<AtomicU64>,
    task: JoinHandle<Result<()>>,
}

/// All of them.
pub struct Counters {
    all: Vec<Counter>,
    stop: Arc<AtomicBool>,
}

impl Counters {
    /// Starts `count` devices, whose reports carry `pad` bytes beside their number.
    pub fn start(node: &NodeProcess, count: usize, pad: usize) -> Result<Self> {
        let devices = Devices::of(node.data())?;
        let stop = Arc::new(AtomicBool::new(false));
        let all = (0..count).map(|number| {
            let name = format!("counter-{number}");
            let device = devices.start(&node.devices, &name)?;
            Ok(Counter::start(device, name, pad, &stop))
        });
        Ok(Self { all: all.collect::<Result<_>>()?, stop })
    }

    /// How many reports were acknowledged so far.
    pub fn acked(&self) -> u64 {
        self.all.iter().map(|counter| counter.acked.load(Ordering::Relaxed)).sum()
    }

    /// What a node must have of each device at least: what was acknowledged before this call.
    pub fn must_be_there(&self) -> Vec<(String, u64)> {
        let one = |counter: &Counter| (counter.name.clone(), counter.acked.load(Ordering::Relaxed));
        self.all.iter().map(one).collect()
    }

    /// Ends the counting, waits for the last answers and compares with what the node has: how many
    /// reports were acknowledged.
    pub async fn check(self, node: &NodeProcess) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut acked = 0;
        for counter in self.all {
            acked += counter.check(node).await?;
        }
        Ok(acked)
    }
}

impl Counter {
    fn start(device: Device, name: String, pad: usize, stop: &Arc<AtomicBool>) -> Self {
        let device = Arc::new(device);
        let (sent, acked) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let own = (Arc::clone(&device), Arc::clone(&sent), Arc::clone(&acked), Arc::clone(stop));
        let task = tokio::spawn(async move {
            let (device, sent, acked, stop) = own;
            while !stop.load(Ordering::Relaxed) {
                let number = sent.fetch_add(1, Ordering::Relaxed) + 1;
                let patch = Object::from([
                    ("n".to_owned(), Value::from(number)),
                    ("pad".to_owned(), Value::from("x".repeat(pad).as_str())),
                ]);
                let answer = device.report(Value::Object(patch)).await?;
                // Each report changes the section, so its version counts what was applied.
                ensure!(
                    answer.version == number,
                    "report {number} made version {}: applied twice, or not at all",
                    answer.version
                );
                acked.store(number, Ordering::Relaxed);
            }
            Ok(())
        });
        Self { name, device, sent, acked, task }
    }

    async fn check(self, node: &NodeProcess) -> Result<u64> {
        timeout(LAST, self.task).await.context("the last report was never answered")???;
        let (sent, acked) = (self.sent.load(Ordering::Relaxed), self.acked.load(Ordering::Relaxed));
        let twin = node.twin(&self.name)?;
        let (shown, version) = (&twin["reported"]["n"], &twin["versions"]["reported"]);
        let history = format!("{}: sent {sent}, acked {acked}: {twin}", self.name);
        ensure!(shown.as_u64().unwrap_or(0) == acked, "lost: {history}");
        ensure!(version.as_u64() == Some(acked), "doubled: {history}");
        self.device.close();
        Ok(acked)
    }
}
