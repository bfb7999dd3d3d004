//! Clients of a cluster of real processes, all in the test's own process, that write down every call: devices
//! through the SDK, services by gRPC and HTTP at any node. What was right is decided afterwards, by
//! [`crate::history`].

mod commander;
mod follower;
mod limits;
mod reader;
mod reporter;
mod seen;
mod subscriber;
mod tries;
mod watcher;
mod way;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::limits::{LAST, LAST_TRIES, PAUSE};
use self::reporter::Reporter;
use crate::history::{History, Recorder, Shown, Summary, What};
use crate::node::{Devices, NodeOptions};

pub use follower::Follower;
pub use subscriber::Subscriber;
pub use tries::Tries;
pub use watcher::{Watcher, picture};
pub use way::Way;

/// How many clients of each kind.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// Devices, each with its twin.
    pub devices: usize,
    /// Services that write.
    pub writers: usize,
    /// Services that read.
    pub readers: usize,
    /// Services that send commands.
    pub commanders: usize,
}

impl Default for Crowd {
    fn default() -> Self {
        Self { devices: 8, writers: 4, readers: 4, commanders: 1 }
    }
}

/// What the clients share.
#[derive(Debug)]
struct Common {
    recorder: Recorder,
    stop: AtomicBool,
    /// The next value that nobody has written.
    values: AtomicU64,
    tries: Tries,
    twins: Vec<String>,
    ways: Vec<Way>,
}

impl Common {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn value(&self) -> u64 {
        self.values.fetch_add(1, Ordering::Relaxed)
    }

    fn twin(&self, number: u64) -> &str {
        &self.twins[Self::at(number, self.twins.len())]
    }

    fn way(&self, number: u64) -> &Way {
        &self.ways[Self::at(number, self.ways.len())]
    }

    fn at(number: u64, len: usize) -> usize {
        usize::try_from(number % len as u64).expect("less than a length")
    }
}

/// Clients at work.
pub struct Load {
    common: Arc<Common>,
    reporters: Vec<Reporter>,
    services: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    /// Starts them against these nodes. To be called on a tokio runtime.
    pub fn start(nodes: &[NodeOptions], devices: &Devices, crowd: Crowd) -> Result<Self> {
        let common = Arc::new(Common {
            recorder: Recorder::default(),
            stop: AtomicBool::new(false),
            values: AtomicU64::new(1),
            tries: Tries::default(),
            twins: (0..crowd.devices).map(|number| format!("unit-{number}")).collect(),
            ways: nodes.iter().map(Way::to).collect::<Result<_>>()?,
        });
        let addresses: Vec<&str> = nodes.iter().map(|node| node.devices.as_str()).collect();
        let reporter = |twin: &String| Reporter::start(&common, devices, &addresses, twin);
        let reporters = common.twins.iter().map(reporter).collect::<Result<_>>()?;
        let mut services = Vec::new();
        for number in 0..crowd.writers as u64 {
            services.push(tokio::spawn(writer::run(Arc::clone(&common), number)));
        }
        for number in 0..crowd.readers as u64 {
            services.push(tokio::spawn(reader::run(Arc::clone(&common), number)));
        }
        for number in 0..crowd.commanders as u64 {
            services.push(tokio::spawn(commander::run(Arc::clone(&common), number)));
        }
        Ok(Self { common, reporters, services })
    }

    /// The history so far.
    pub fn recorder(&self) -> &Recorder {
        &self.common.recorder
    }

    /// How attempts ended that were not answered.
    pub fn tries(&self) -> &Tries {
        &self.common.tries
    }

    /// The way to a node, by its place in the list.
    pub fn way(&self, node: usize) -> &Way {
        &self.common.ways[node]
    }

    /// The twins that the devices and services are busy with.
    pub fn twins(&self) -> &[String] {
        &self.common.twins
    }

    /// Reads a twin through one node, by HTTP; whatever comes of it is in the history.
    pub async fn read_at(&self, node: usize, twin: &str) -> Result<Option<Shown>> {
        let Common { recorder, tries, .. } = &*self.common;
        reader::read_by_http(recorder, twin, self.way(node), tries).await
    }

    /// Waits until `count` more calls were answered.
    pub async fn answered(&self, count: usize) -> Result<()> {
        let recorder = self.recorder();
        let wanted = recorder.answered() + count;
        for _ in 0..LAST_TRIES {
            if recorder.answered() >= wanted {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
        bail!("{} of {wanted} calls were answered; {:?}", recorder.answered(), self.tries())
    }

    /// Waits until services wrote and read something that they asked for from now on.
    pub async fn services_served(&self) -> Result<()> {
        let (recorder, now) = (self.recorder(), self.recorder().now());
        for _ in 0..LAST_TRIES {
            let wrote =
                recorder.answered_since(now, |call| call.made().is_some() && call.is_write());
            if wrote && recorder.answered_since(now, |call| call.what == What::Read) {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
        bail!("services are not served: {:?}", self.tries())
    }

    /// Waits until every device had a report acknowledged that it sent from now on.
    pub async fn all_served(&self) -> Result<()> {
        for reporter in &self.reporters {
            let known = reporter.acked();
            let mut looks = 0;
            // One that was on its way may have been acknowledged before.
            while reporter.acked() < known + 2 {
                looks += 1;
                ensure!(looks < LAST_TRIES, "a device is not served: {}", reporter.how());
                sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Ends the clients, reads every twin at the end through every node given, and holds the history against
    /// the rules.
    pub async fn check(self, running: &[usize]) -> Result<Summary> {
        let history = self.finish(running).await?;
        let summary = history.check().map_err(|why| anyhow!("{why}"))?;
        eprintln!("{summary}");
        Ok(summary)
    }

    /// As [`Self::check`], without holding it against the rules.
    pub async fn finish(self, running: &[usize]) -> Result<History> {
        self.common.stop.store(true, Ordering::Relaxed);
        for service in self.services {
            timeout(LAST, service).await.context("a service never came back")???;
        }
        for reporter in self.reporters {
            reporter.finish().await?;
        }
        for twin in &self.common.twins {
            let mut last = Shown::default();
            for node in running {
                last = self.common.last(twin, &self.common.ways[*node]).await?;
            }
            self.common.recorder.last(twin, last);
        }
        Ok(self.common.recorder.history())
    }
}

impl Common {
    async fn last(&self, twin: &str, way: &Way) -> Result<Shown> {
        for _ in 0..LAST_TRIES {
            if let Some(shown) = reader::read_by_grpc(&self.recorder, twin, way, &self.tries).await
            {
                return Ok(shown);
            }
            sleep(PAUSE).await;
        }
        bail!("{twin} cannot be read through {way:?} at the end: {:?}", self.tries)
    }
}

/// How long a client rests between two calls.
const fn rest() -> Duration {
    PAUSE
}
