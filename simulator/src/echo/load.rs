//! The same fleet against a bare server: connections that exchange bytes, one message in flight
//! each, or idle, or that come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Sizes;
use crate::clock::us;
use crate::fault::Fault;
use crate::fleet::Fleet;
use crate::limits::{CONNECT_MS, CONNECTING_MAX};
use crate::options::{Load, Options};
use crate::process::Usage;
use crate::report::{Phase, Progress, Report};
use crate::run::Stage;
use crate::services::{self, Services};
use crate::tally::Kind;

/// Runs the load of `options` against an echo server; the parts of a run that need a node
/// (services, verification, telemetry, drops, a paced rate) are left out.
///
/// With [`Load::Reads`] it reads from [`super::serve_reads`]. `progress` as in [`crate::run`].
pub async fn run(
    options: Options,
    sizes: Sizes,
    mut progress: impl FnMut(&Progress) + Send,
) -> Result<Report, Fault> {
    let options = Options { verify: false, desired_per_s: 0.0, commands_per_s: 0.0, ..options };
    options.check()?;
    if matches!(options.load, Load::PerSecond(_)) {
        let what = "a paced rate is not echoed; leave it out".to_owned();
        return Err(Fault::Options { option: "rate", what });
    }
    let fleet = Fleet::new(options)?;
    let mut stage = Stage::new(&fleet, &mut progress);
    let before = stage.usage();
    let began = fleet.clock.now();
    let lines = match fleet.options.load {
        Load::OneInFlight | Load::Idle => {
            stage.during(Phase::Connecting, connect_all(&fleet, sizes)).await?
        }
        Load::PerSecond(_) | Load::Connects { .. } | Load::Reads { .. } => Vec::new(),
    };
    let connecting_s = (fleet.clock.now() - began).as_secs_f64();
    let (connected, connects) = (stage.usage(), fleet.tally.connects());
    let count = lines.len();
    let mut tasks = begin(&fleet, lines, sizes)?;
    stage.pass(Phase::WarmUp, fleet.options.warm_up).await;
    fleet.tally.begin();
    let (start, own_start) = (stage.usage(), Usage::of(std::process::id()));
    let began = fleet.clock.now();
    stage.pass(Phase::Measuring, fleet.options.duration).await;
    let s = (fleet.clock.now() - began).as_secs_f64();
    let counted = fleet.tally.end();
    let (end, own_end) = (stage.usage(), Usage::of(std::process::id()));
    fleet.stop();

    let mut report = Report {
        run: "bare echo".to_owned(),
        devices: fleet.options.devices,
        seed: fleet.options.seed,
        duration_s: s,
        report_frame_bytes: sizes.up as u64,
        ack_frame_bytes: sizes.down as u64,
        ..Report::default()
    };
    report.count(&counted, s);
    report.use_of(before, start, end, count);
    report.own_use_of(own_start, own_end);
    if matches!(fleet.options.load, Load::Connects { .. }) {
        report.connect(counted.of(Kind::Connect), s, start, end);
    } else {
        report.connect(connects, connecting_s, before, connected);
    }
    tasks.shutdown().await;
    fleet.close(&[]).await;
    report.errors_by_kind = fleet.tally.errors();
    report.errors = report.errors_by_kind.values().sum();
    Ok(report)
}

/// A connection to the echo server, with its stream.
struct Line {
    connection: Connection,
    send: SendStream,
    recv: RecvStream,
}

impl Line {
    /// Connects and exchanges the first message, as a device does with its hello.
    async fn open(fleet: &Fleet, index: u32, sizes: Sizes) -> Result<Self, String> {
        let connection = fleet.dial(index).await?;
        let (send, recv) = connection.open_bi().await.map_err(|error| error.to_string())?;
        let mut line = Self { connection, send, recv };
        line.exchange(&vec![7; sizes.up], &mut vec![0; sizes.down]).await?;
        Ok(line)
    }

    async fn exchange(&mut self, message: &[u8], answer: &mut [u8]) -> Result<(), String> {
        self.send.write_all(message).await.map_err(|error| error.to_string())?;
        self.recv.read_exact(answer).await.map_err(|error| error.to_string())
    }
}

async fn connect_all(fleet: &Arc<Fleet>, sizes: Sizes) -> Result<Vec<Line>, Fault> {
    let Options { devices, connects_per_s, .. } = fleet.options;
    let room = Arc::new(Semaphore::new(CONNECTING_MAX));
    let mut connecting = JoinSet::new();
    let mut lines = Vec::new();
    for index in 0..devices {
        if connects_per_s > 0.0 {
            let due = Duration::from_secs_f64(f64::from(index) / connects_per_s);
            tokio::time::sleep(due.saturating_sub(fleet.clock.now())).await;
        }
        let permit = Arc::clone(&room).acquire_owned().await;
        let fleet = Arc::clone(fleet);
        connecting.spawn(async move {
            let began = fleet.clock.now();
            let time = Duration::from_millis(CONNECT_MS);
            let line = tokio::time::timeout(time, Line::open(&fleet, index, sizes)).await;
            drop(permit);
            let line = line.map_err(|_| "no answer in time".to_owned())??;
            fleet.tally.done(Kind::Connect, us(began, fleet.clock.now()));
            fleet.tally.connected();
            Ok::<Line, String>(line)
        });
    }
    while let Some(joined) = connecting.join_next().await {
        let line = joined.map_err(|error| error.to_string()).and_then(|line| line);
        lines.push(line.map_err(|trouble| Fault::Connect {
            connected: u32::try_from(lines.len()).unwrap_or(u32::MAX),
            devices,
            trouble,
        })?);
    }
    Ok(lines)
}

fn begin(fleet: &Arc<Fleet>, lines: Vec<Line>, sizes: Sizes) -> Result<JoinSet<()>, Fault> {
    let mut tasks = JoinSet::new();
    fleet.start();
    match fleet.options.load {
        Load::OneInFlight => {
            for line in lines {
                tasks.spawn(exchange(Arc::clone(fleet), line, sizes));
            }
        }
        Load::Connects { parallel } => {
            let next = Arc::new(AtomicU32::new(0));
            for _ in 0..parallel {
                tasks.spawn(come_and_go(Arc::clone(fleet), Arc::clone(&next), sizes));
            }
        }
        Load::Reads { .. } => {
            let services = Arc::new(Services::connect(&fleet.options)?);
            let mut readers = services::load(fleet, &services);
            tasks.spawn(async move { while readers.join_next().await.is_some() {} });
        }
        Load::Idle | Load::PerSecond(_) => {
            tasks.spawn(async move {
                let _held = lines;
                std::future::pending::<()>().await;
            });
        }
    }
    Ok(tasks)
}

async fn exchange(fleet: Arc<Fleet>, mut line: Line, sizes: Sizes) {
    let (message, mut answer) = (vec![7; sizes.up], vec![0; sizes.down]);
    while fleet.is_running() {
        let began = fleet.clock.now();
        if line.exchange(&message, &mut answer).await.is_err() {
            fleet.tally.error("echo_lost");
            return;
        }
        fleet.tally.done(Kind::Report, us(began, fleet.clock.now()));
    }
}

async fn come_and_go(fleet: Arc<Fleet>, next: Arc<AtomicU32>, sizes: Sizes) {
    while fleet.is_running() {
        let index = next.fetch_add(1, Ordering::Relaxed) % fleet.options.devices;
        let began = fleet.clock.now();
        match Line::open(&fleet, index, sizes).await {
            Ok(line) => {
                fleet.tally.done(Kind::Connect, us(began, fleet.clock.now()));
                line.connection.close(0u32.into(), b"");
            }
            Err(_) => fleet.tally.error("connect_failed"),
        }
    }
}
