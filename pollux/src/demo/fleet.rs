//! The fleet of a demonstration: what it does, when something may be done to the cluster, and what it saw.

use pollux_simulator::{Fault, Load, Moment, Options, Phase, Progress, Report, Timeline, run_with};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::args::DemoArgs;
use crate::exit::{Exit, Failure};
use crate::limits::CALM;
use crate::local_cluster::LocalCluster;
use crate::{print, sim};

/// A fleet that reports.
pub(crate) struct Fleet {
    task: JoinHandle<Result<Report, Fault>>,
    /// What happened to them so far, to be taken.
    pub(crate) moments: mpsc::Receiver<Moment>,
    /// What happens to its devices.
    pub(crate) timeline: Timeline,
}

impl Fleet {
    /// Starts it, and waits until it has reported in peace for a while.
    pub(crate) async fn start(options: Options) -> Self {
        let (timeline, moments) = Timeline::new();
        let (phase, mut phases) = watch::channel(Phase::Connecting);
        let show = move |progress: &Progress| {
            print::status(&progress.to_string());
            phase.send_replace(progress.phase);
        };
        let task = tokio::spawn(run_with(options, Some(timeline.clone()), show));
        // The sender goes when the fleet ends, whatever the reason: its report says it.
        let _ = phases.wait_for(|phase| *phase == Phase::Measuring).await;
        tokio::time::sleep(CALM).await;
        Self { task, moments, timeline }
    }

    /// Waits for its end, and reads everything back.
    pub(crate) async fn report(self) -> Result<(Report, mpsc::Receiver<Moment>), Failure> {
        let report = self.task.await.map_err(|error| Failure::new(Exit::Failed, error))?;
        Ok((report.map_err(sim::wrong)?, self.moments))
    }
}

/// A run that lost, doubled or failed something has failed.
pub(crate) fn judge(report: &Report) -> Result<(), Failure> {
    if report.failed() {
        let Report { lost, doubled, went_back, .. } = report;
        let text = format!("{lost} lost, {doubled} doubled, {went_back} went back");
        return Err(Failure::new(Exit::Failed, text));
    }
    if !report.verified {
        return Err(Failure::new(Exit::Failed, "not everything could be read back"));
    }
    Ok(())
}

/// The same, where nothing was lost on purpose: no call may have failed either.
pub(crate) fn judge_calls(report: &Report) -> Result<(), Failure> {
    judge(report)?;
    if report.errors > 0 {
        let kinds = report.errors_by_kind.iter().map(|(kind, count)| format!("{kind} {count}"));
        let kinds = kinds.collect::<Vec<_>>().join(", ");
        return Err(Failure::new(Exit::Failed, format!("{} failed: {kinds}", report.errors)));
    }
    Ok(())
}

/// What came of it, for people: the lines that all demonstrations end with.
pub(crate) fn sums(report: &Report) -> String {
    let ms = |us: u64| format!("{}.{} ms", us / 1000, us % 1000 / 100);
    format!(
        "{} devices went on to another owner; the pause of each: p50 {}, p99 {}, longest {}\n\
         longest wait of a device for an acknowledgement: p50 {}, p99 {}, longest {}\n\
         {} reports acknowledged, {} desired changes, {} made again with the same key\n\
         failed {}, lost {}, doubled {}",
        report.handoffs + report.failovers,
        ms(report.handoff_p50_us),
        ms(report.handoff_p99_us),
        ms(report.handoff_max_us),
        ms(report.pause_p50_us),
        ms(report.pause_p99_us),
        ms(report.pause_max_us),
        report.acked,
        report.desired.count,
        report.retries,
        report.errors,
        report.lost,
        report.doubled,
    )
}

/// The same for scripts.
pub(crate) fn sums_json(report: &Report) -> serde_json::Value {
    serde_json::json!({
        "handoffs": report.handoffs, "failovers": report.failovers,
        "handoff_p50_us": report.handoff_p50_us, "handoff_p99_us": report.handoff_p99_us,
        "handoff_max_us": report.handoff_max_us,
        "pause_p50_us": report.pause_p50_us, "pause_p99_us": report.pause_p99_us,
        "pause_max_us": report.pause_max_us,
        "acked": report.acked, "desired": report.desired.count, "retries": report.retries,
        "failed": report.errors, "failed_by_kind": report.errors_by_kind,
        "lost": report.lost, "doubled": report.doubled,
    })
}

pub(super) fn options(args: &DemoArgs, cluster: &LocalCluster) -> Result<Options, Failure> {
    let mut options = cluster.devices()?;
    let grpc = cluster.nodes.iter().map(|node| format!("http://{}", node.places.grpc));
    options.services = grpc.collect();
    options.devices = args.devices;
    options.load = Load::PerSecond(args.rate.unwrap_or_else(|| f64::from(args.devices)));
    options.duration = args.duration;
    options.seed = args.seed;
    options.verify = true;
    Ok(options)
}
