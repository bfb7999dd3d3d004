//! One run from beginning to end: connect, warm up, measure, drain, read back, report.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pollux_device::Counts;

use crate::fault::Fault;
use crate::fleet::Fleet;
use crate::options::{Load, Options};
use crate::process::Usage;
use crate::report::{Done, Latency, Phase, Progress, Report};
use crate::services::{self, Services, Wish};
use crate::shape::mix;
use crate::tally::{Counted, Kind, histogram, latency};
use crate::timeline::Timeline;
use crate::unit::Unit;
use crate::verify::{self, Findings};

/// Runs it. `progress` is called about once a second.
///
/// A run in which something was lost, doubled or went back is a success of this function: see
/// [`Report::failed`]. Must be called within a tokio runtime.
pub async fn run(
    options: Options,
    progress: impl FnMut(&Progress) + Send,
) -> Result<Report, Fault> {
    run_with(options, None, progress).await
}

/// Runs it, and tells moment by moment what happens to the devices, if there is a timeline.
///
/// For the rest it is as [`run`].
pub async fn run_with(
    options: Options,
    timeline: Option<Timeline>,
    mut progress: impl FnMut(&Progress) + Send,
) -> Result<Report, Fault> {
    options.check()?;
    let services =
        if options.needs_services() { Some(Arc::new(Services::connect(&options)?)) } else { None };
    let fleet = Fleet::with(options, timeline)?;
    let mut stage = Stage::new(&fleet, &mut progress);
    let before = stage.usage();
    let began = fleet.clock.now();
    let come_and_go = matches!(fleet.options.load, Load::Connects { .. });
    let units: Arc<[Arc<Unit>]> = if come_and_go {
        Arc::from([])
    } else {
        stage.during(Phase::Connecting, fleet.connect()).await?.into()
    };
    let connecting_s = (fleet.clock.now() - began).as_secs_f64();
    let connected = stage.usage();
    let connects = fleet.tally.connects();

    let mut paces = fleet.load(&units);
    let mut callers = services.as_ref().map(|services| services::load(&fleet, services));
    stage.pass(Phase::WarmUp, fleet.options.warm_up).await;
    fleet.tally.begin();
    let (start, own_start) = (stage.usage(), Usage::of(std::process::id()));
    let began = fleet.clock.now();
    stage.measure().await;
    let duration_s = (fleet.clock.now() - began).as_secs_f64();
    let counted = fleet.tally.end();
    let (end, own_end) = (stage.usage(), Usage::of(std::process::id()));
    fleet.stop();

    let mut report = Report { duration_s, ..sizes(&fleet.options) };
    report.count(&counted, duration_s);
    report.use_of(before, start, end, units.len());
    report.own_use_of(own_start, own_end);
    if come_and_go {
        report.connect(counted.of(Kind::Connect), duration_s, start, end);
    } else {
        report.connect(connects, connecting_s, before, connected);
    }

    let mut wishes: BTreeMap<u32, Wish> = BTreeMap::new();
    let unanswered = stage
        .during(Phase::Draining, async {
            while paces.join_next().await.is_some() {}
            if let Some(callers) = &mut callers {
                while let Some(told) = callers.join_next().await {
                    wishes.extend(told.unwrap_or_default());
                }
            }
            fleet.drain(&units).await
        })
        .await;
    let mut findings = Findings::default();
    verify::noticed(&units, &mut findings);
    if let (true, Some(services)) = (fleet.options.verify, &services) {
        let verifying = verify::verify(&fleet, services, &units, &wishes, &mut findings);
        stage.during(Phase::Verifying, verifying).await;
    }
    let counts = fleet.close(&units).await;
    report.ways(&fleet, counts);
    report.pauses(units.iter().map(|unit| unit.book().waited_us));
    report.conclude(&fleet, findings, unanswered);
    Ok(report)
}

/// Shows the progress while something else is awaited.
pub(crate) struct Stage<'a, P> {
    fleet: &'a Fleet,
    progress: &'a mut P,
    ticked: Duration,
}

impl<'a, P: FnMut(&Progress) + Send> Stage<'a, P> {
    pub(crate) const fn new(fleet: &'a Fleet, progress: &'a mut P) -> Self {
        Self { fleet, progress, ticked: Duration::ZERO }
    }

    pub(crate) async fn pass(&mut self, phase: Phase, time: Duration) {
        self.during(phase, tokio::time::sleep(time)).await;
        // A last second that is short is shown for what it is.
        self.tick(phase);
    }

    /// Waits for the end of the measurement: when its time has passed, or the timeline is ended.
    async fn measure(&mut self) {
        let fleet = self.fleet;
        let ended = async {
            match &fleet.timeline {
                Some(timeline) => timeline.ended().await,
                None => std::future::pending().await,
            }
        };
        let ended = async {
            let _ = tokio::time::timeout(fleet.options.duration, ended).await;
        };
        self.during(Phase::Measuring, ended).await;
        self.tick(Phase::Measuring);
    }

    pub(crate) async fn during<T>(&mut self, phase: Phase, what: impl Future<Output = T>) -> T {
        let mut what = Box::pin(what);
        loop {
            tokio::select! {
                done = &mut what => return done,
                () = tokio::time::sleep(Duration::from_secs(1)) => self.tick(phase),
            }
        }
    }

    fn tick(&mut self, phase: Phase) {
        let fleet = self.fleet;
        let now = fleet.clock.now();
        let elapsed_s = (now - self.ticked).as_secs_f64();
        if elapsed_s < 0.2 {
            return;
        }
        self.ticked = now;
        (self.progress)(&Progress {
            phase,
            at_s: now.as_secs_f64(),
            connected: fleet.tally.connected_count(),
            devices: fleet.options.devices,
            second: fleet.tally.tick(elapsed_s),
            errors: fleet.tally.errors_count(),
        });
    }

    pub(crate) fn usage(&self) -> Option<Usage> {
        self.fleet.options.server_pid.and_then(Usage::of)
    }
}

/// The bytes of a report and its acknowledgement on the stream, so that an echo may have the same.
pub fn frame_bytes(options: &Options) -> (usize, usize) {
    use pollux_proto::device::{AckResult, DeviceFrame, NodeFrame, encode};
    let patch = options.shape.patch(1_000, options.report_bytes, mix(options.seed));
    let report = DeviceFrame::Report { seq: 1_000, patch, observed_at: None };
    let ack = NodeFrame::Ack { seq: 1_000, result: AckResult::Done { version: 1_000 } };
    let (mut up, mut down) = (Default::default(), Default::default());
    let encoded = encode(&report, &mut up).and_then(|()| encode(&ack, &mut down));
    encoded.expect("a report of checked size is a frame");
    (up.len(), down.len())
}

/// Bytes of a hello and of the welcome of a twin that is new, as frames on the stream.
pub fn greeting_bytes(options: &Options) -> (usize, usize) {
    use pollux_proto::device::{DeviceFrame, Limits, NodeFrame, encode};
    let hello = DeviceFrame::Hello {
        tenant: options.tenant.clone(),
        device: options.name(0),
        incarnation: 1,
        token: None,
    };
    let welcome = NodeFrame::Welcome {
        session: 1,
        last_seq: 0,
        desired_version: 0,
        desired: pollux_twin::Value::object(),
        reported_version: 0,
        limits: Limits::default(),
        replicas: Vec::new(),
    };
    let (mut up, mut down) = (Default::default(), Default::default());
    let encoded = encode(&hello, &mut up).and_then(|()| encode(&welcome, &mut down));
    encoded.expect("a greeting of checked names is a frame");
    (up.len(), down.len())
}

fn sizes(options: &Options) -> Report {
    let (up, down) = frame_bytes(options);
    let load = match options.load {
        Load::PerSecond(rate) => format!("{rate} reports/s"),
        Load::OneInFlight => "one report in flight each".to_owned(),
        Load::Idle => "idle".to_owned(),
        Load::Connects { parallel } => format!("connecting, {parallel} at a time"),
        Load::Reads { parallel } => format!("twins read, {parallel} at a time"),
    };
    Report {
        run: load,
        devices: options.devices,
        seed: options.seed,
        report_frame_bytes: up as u64,
        ack_frame_bytes: down as u64,
        ..Report::default()
    }
}

impl Report {
    pub(crate) fn count(&mut self, counted: &Counted, s: f64) {
        let done = |kind| {
            let (count, latency) = counted.of(kind);
            Done { count, per_s: count as f64 / s, latency }
        };
        let acked = done(Kind::Report);
        self.acked = acked.count;
        self.acked_per_s = acked.per_s;
        self.ack_p50_us = acked.latency.p50_us;
        self.ack_p90_us = acked.latency.p90_us;
        self.ack_p99_us = acked.latency.p99_us;
        self.ack_p999_us = acked.latency.p999_us;
        self.ack_max_us = acked.latency.max_us;
        self.telemetry = done(Kind::Telemetry);
        self.desired = done(Kind::Desired);
        self.commands = done(Kind::Command);
        self.reads = done(Kind::Read);
        self.timeline.clone_from(&counted.timeline);
    }

    /// What the server used, from before the first connection and within the measurement.
    pub(crate) fn use_of(
        &mut self,
        before: Option<Usage>,
        start: Option<Usage>,
        end: Option<Usage>,
        connected: usize,
    ) {
        let (Some(before), Some(start), Some(end)) = (before, start, end) else { return };
        let cpu_s = end.cpu_s - start.cpu_s;
        let per_cpu = |count: u64| (cpu_s > 0.0 && count > 0).then(|| count as f64 / cpu_s);
        self.server_cpu_s = Some(cpu_s);
        self.server_rss_bytes = Some(end.rss_bytes);
        self.server_rss_start_bytes = Some(before.rss_bytes);
        if connected > 0 {
            let grown = end.rss_bytes as f64 - before.rss_bytes as f64;
            self.server_rss_per_device_bytes = Some(grown / connected as f64);
        }
        self.acked_per_server_cpu_s = per_cpu(self.acked);
        self.reads_per_server_cpu_s = per_cpu(self.reads.count);
    }

    /// What the simulator used within the measurement.
    pub(crate) fn own_use_of(&mut self, start: Option<Usage>, end: Option<Usage>) {
        self.simulator_cpu_s = end.zip(start).map(|(end, start)| end.cpu_s - start.cpu_s);
        self.simulator_rss_bytes = end.map(|end| end.rss_bytes);
    }

    pub(crate) fn connect(
        &mut self,
        (count, latency): (u64, Latency),
        s: f64,
        start: Option<Usage>,
        end: Option<Usage>,
    ) {
        let cpu_s = end.zip(start).map(|(end, start)| end.cpu_s - start.cpu_s);
        self.connects = count;
        self.connects_per_s = count as f64 / s.max(0.001);
        self.connect_latency = latency;
        self.connects_server_cpu_s = cpu_s;
        self.connects_per_server_cpu_s =
            cpu_s.filter(|cpu_s| *cpu_s > 0.0).map(|cpu_s| count as f64 / cpu_s);
    }

    /// How devices have found their way, over the whole run.
    fn ways(&mut self, fleet: &Fleet, counts: Counts) {
        (self.sessions, self.losses) = (counts.sessions, counts.losses);
        (self.dials, self.redirects) = (counts.dials, counts.redirects);
        (self.moves, self.silences) = (counts.moves, counts.silences);
        self.redials = counts.dials.saturating_sub(u64::from(fleet.options.devices));
        let (count, latency) = fleet.tally.so_far(Kind::Failover);
        self.failovers = count;
        (self.failover_p50_us, self.failover_p99_us) = (latency.p50_us, latency.p99_us);
        self.failover_max_us = latency.max_us;
        let (count, latency) = fleet.tally.so_far(Kind::Handoff);
        self.handoffs = count;
        (self.handoff_p50_us, self.handoff_p99_us) = (latency.p50_us, latency.p99_us);
        self.handoff_max_us = latency.max_us;
        self.retries = fleet.tally.retries();
    }

    /// How long devices had to wait.
    fn pauses(&mut self, waited_us: impl Iterator<Item = u64>) {
        let mut histogram = histogram();
        waited_us.filter(|us| *us > 0).for_each(|us| histogram.saturating_record(us));
        let Latency { p50_us, p99_us, max_us, .. } = latency(&histogram);
        (self.pause_p50_us, self.pause_p99_us, self.pause_max_us) = (p50_us, p99_us, max_us);
    }

    fn conclude(&mut self, fleet: &Fleet, findings: Findings, unanswered: u64) {
        self.verified = fleet.options.verify && findings.unread == 0;
        self.lost = findings.lost;
        self.doubled = findings.doubled;
        self.went_back = findings.went_back;
        self.histories = findings.histories;
        self.volatile_sent = fleet.volatile_sent.load(Ordering::Relaxed);
        self.errors_by_kind = fleet.tally.errors();
        for (kind, count) in [("unanswered", unanswered), ("unread", findings.unread)] {
            if count > 0 {
                self.errors_by_kind.insert(kind.to_owned(), count);
            }
        }
        self.errors = self.errors_by_kind.values().sum();
    }
}
