//! `pollux demo …`: a cluster on this machine, a fleet on it, something done to it, and what came of that.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use pollux_simulator::{
    Identities, Load, Moment, MomentKind, Options, Phase, Progress, Report, Timeline, run_with,
};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::args::{DemoArgs, DemoCommand, Output};
use crate::exit::{Exit, Failure};
use crate::local_cluster::LocalCluster;
use crate::start::Signals;
use crate::{print, sim, trace};

/// How long the fleet reports before something is done to the cluster.
const CALM: Duration = Duration::from_secs(4);
/// How often the survivors are asked who owns what.
const LOOK: Duration = Duration::from_millis(10);

/// Carries out a verb.
pub(crate) async fn run(output: Output, command: DemoCommand) -> Result<(), Failure> {
    trace::set_up_quiet()?;
    let DemoCommand::Failover(args) = command;
    let mut signals = Signals::listen()?;
    let dir = PathBuf::from(format!(".pollux-demo-{}", std::process::id()));
    let note = |text: &str| {
        if output == Output::Text {
            print::note(text);
        }
    };
    note(&format!("forming a cluster of {} nodes in {}", args.nodes, dir.display()));
    let cluster = tokio::select! {
        formed = LocalCluster::form(dir, args.nodes) => formed?,
        () = signals.next() => return Err(Failure::new(Exit::Failed, "interrupted")),
    };
    let shown = tokio::select! {
        shown = failover(output, &args, cluster) => shown,
        () = signals.next() => Err(Failure::new(Exit::Failed, "interrupted")),
    };
    print::status_end();
    shown
}

/// Kills the owner of most shards under load.
async fn failover(
    output: Output,
    args: &DemoArgs,
    mut cluster: LocalCluster,
) -> Result<(), Failure> {
    let options = options(args, &cluster)?;
    let (timeline, moments) = Timeline::new();
    let (phase, mut phases) = watch::channel(Phase::Connecting);
    let show = move |progress: &Progress| {
        print::status(&progress.to_string());
        phase.send_replace(progress.phase);
    };
    let fleet = tokio::spawn(run_with(options, Some(timeline.clone()), show));
    // The sender goes when the fleet ends, whatever the reason: its report says it.
    let _ = phases.wait_for(|phase| *phase == Phase::Measuring).await;
    tokio::time::sleep(CALM).await;
    let (victim, shards) = busiest(&cluster).await?;
    let killed = timeline.mark();
    cluster.nodes[victim].kill().await?;
    let elected = elected(&cluster, victim, &shards, &timeline).await;
    let report = fleet.await.map_err(|error| Failure::new(Exit::Failed, error))?;
    let report = report.map_err(sim::wrong)?;
    let story = Story::of(killed, elected, moments);
    tell(output, victim, &shards, &story, &report)?;
    cluster.remove().await?;
    if report.failed() {
        let text = format!("{} lost, {} doubled", report.lost, report.doubled);
        return Err(Failure::new(Exit::Failed, text));
    }
    Ok(())
}

fn options(args: &DemoArgs, cluster: &LocalCluster) -> Result<Options, Failure> {
    let pki = cluster.pki();
    let read = |name: &str| {
        std::fs::read(pki.join(name))
            .map_err(|error| Failure::new(Exit::Failed, format!("read {name}: {error}")))
    };
    let identities =
        Identities::Authority { certificate: read("device-ca.pem")?, key: read("device-ca.key")? };
    let mut options = Options::new("", read("server-ca.pem")?, identities);
    options.targets = cluster.nodes.iter().map(|node| node.places.devices.to_string()).collect();
    let grpc = cluster.nodes.iter().map(|node| format!("http://{}", node.places.grpc));
    options.services = grpc.collect();
    options.devices = args.devices;
    options.load = Load::PerSecond(args.rate.unwrap_or_else(|| f64::from(args.devices)));
    options.duration = args.duration;
    options.seed = args.seed;
    options.verify = true;
    Ok(options)
}

/// The node that owns most shards, by its place in the list, and those shards.
async fn busiest(cluster: &LocalCluster) -> Result<(usize, BTreeSet<u32>), Failure> {
    let status = cluster.status().await?;
    let busiest = status.nodes.iter().max_by_key(|node| node.owned);
    let id = busiest.map_or(1, |node| node.id);
    let owned = status.shards.iter().filter(|shard| shard.owner == id);
    let place = usize::try_from(id).unwrap_or(1).saturating_sub(1);
    Ok((place, owned.map(|shard| shard.shard).collect()))
}

/// When all shards of the lost node had a new owner that serves.
async fn elected(
    cluster: &LocalCluster,
    victim: usize,
    shards: &BTreeSet<u32>,
    timeline: &Timeline,
) -> Option<Duration> {
    let lost = victim as u64 + 1;
    let wait = async {
        loop {
            if let Ok(status) = cluster.status().await {
                let served = status.shards.iter().filter(|shard| {
                    shards.contains(&shard.shard) && shard.open && shard.owner != lost
                });
                if served.count() == shards.len() {
                    return timeline.now();
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.ok()
}

/// What happened after the kill, in milliseconds since then.
#[derive(Debug, Default)]
struct Story {
    noticed_ms: Option<u64>,
    elected_ms: Option<u64>,
    /// First acknowledgements of devices that lost their owner, in order.
    back_ms: Vec<u64>,
    all_back_ms: Option<u64>,
}

impl Story {
    fn of(
        killed: Duration,
        elected: Option<Duration>,
        mut moments: mpsc::Receiver<Moment>,
    ) -> Self {
        let since =
            |at: Duration| u64::try_from(at.saturating_sub(killed).as_millis()).unwrap_or(u64::MAX);
        let mut story = Self { elected_ms: elected.map(since), ..Self::default() };
        while let Ok(Moment { at, kind }) = moments.try_recv() {
            if at < killed {
                continue;
            }
            match kind {
                MomentKind::Rehomed { took, .. } => {
                    let noticed = since(at.saturating_sub(took));
                    let first = story.noticed_ms.unwrap_or(u64::MAX).min(noticed);
                    story.noticed_ms = Some(first);
                    story.back_ms.push(since(at));
                }
                MomentKind::AllBack => story.all_back_ms = Some(since(at)),
                MomentKind::FirstAck { .. } => {}
            }
        }
        story.back_ms.sort_unstable();
        story
    }

    fn quantile(&self, quantile: f64) -> Option<u64> {
        let last = self.back_ms.len().checked_sub(1)?;
        let at = (last as f64 * quantile).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in a list, between 0 and its length"
        )]
        let at = at as usize;
        self.back_ms.get(at).copied()
    }
}

fn tell(
    output: Output,
    victim: usize,
    shards: &BTreeSet<u32>,
    story: &Story,
    report: &Report,
) -> Result<(), Failure> {
    print::status_end();
    let shown = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
    let text = format!(
        "killed      node {}, which owned {} shards, with kill -9\n\
         detected    {:>8}  the first device noticed\n\
         elected     {:>8}  every one of its shards had another owner that serves\n\
         first       {:>8}  a device that lost its owner had a report acknowledged by another\n\
         half        {:>8}  of the {} devices that lost their owner had\n\
         99 in 100   {:>8}\n\
         last        {:>8}\n\
         all         {:>8}  every device of the fleet had a report acknowledged since\n\
         {} reports acknowledged: lost {}, doubled {}",
        victim + 1,
        shards.len(),
        shown(story.noticed_ms),
        shown(story.elected_ms),
        shown(story.back_ms.first().copied()),
        shown(story.quantile(0.5)),
        story.back_ms.len(),
        shown(story.quantile(0.99)),
        shown(story.back_ms.last().copied()),
        shown(story.all_back_ms),
        report.acked,
        report.lost,
        report.doubled,
    );
    let json = json!({
        "killed_node": victim + 1,
        "shards": shards.len(),
        "devices_rehomed": story.back_ms.len(),
        "noticed_ms": story.noticed_ms,
        "elected_ms": story.elected_ms,
        "first_ack_ms": story.back_ms.first(),
        "ack_p50_ms": story.quantile(0.5),
        "ack_p99_ms": story.quantile(0.99),
        "last_ack_ms": story.back_ms.last(),
        "all_back_ms": story.all_back_ms,
        "acked": report.acked,
        "lost": report.lost,
        "doubled": report.doubled,
    });
    print::result(output, &text, &json)
}
