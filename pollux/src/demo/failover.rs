//! `pollux demo failover`: the owner of most shards is killed under load, and the timeline of what follows.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use pollux_simulator::{Moment, MomentKind, Report, Timeline};
use serde_json::json;
use tokio::sync::mpsc;

use super::fleet::{self, Fleet};
use super::quantile;
use crate::args::{DemoArgs, Output};
use crate::exit::Failure;
use crate::limits::{ELECTED_MAX, OWNERS_LOOK};
use crate::local_cluster::LocalCluster;
use crate::print;

/// Kills the owner of most shards under load.
pub(super) async fn run(
    output: Output,
    args: &DemoArgs,
    mut cluster: LocalCluster,
) -> Result<(), Failure> {
    let fleet = Fleet::start(fleet::options(args, &cluster)?).await;
    let (victim, shards) = busiest(&cluster).await?;
    let killed = fleet.timeline.mark();
    cluster.nodes[victim].kill().await?;
    let elected = elected(&cluster, victim, &shards, &fleet.timeline).await;
    let (report, moments) = fleet.report().await?;
    let story = Story::of(killed, elected, moments);
    tell(output, victim, &shards, &story, &report)?;
    cluster.remove().await?;
    fleet::judge(&report)
}

/// The node that owns most shards, by its place in the list, and those shards.
pub(super) async fn busiest(cluster: &LocalCluster) -> Result<(usize, BTreeSet<u32>), Failure> {
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
    let survivors: Vec<_> = (0..cluster.nodes.len()).filter(|node| *node != victim).collect();
    let wait = async {
        loop {
            // Each for itself: to ask all takes as long as one may be silent.
            let asked = join_all(survivors.iter().map(|node| cluster.status_of_one(*node))).await;
            let told = asked.into_iter().flatten().flat_map(|status| status.shards);
            let served: BTreeSet<u32> =
                told.filter(|shard| shard.open).map(|shard| shard.shard).collect();
            if served.is_superset(shards) {
                return timeline.now();
            }
            tokio::time::sleep(OWNERS_LOOK).await;
        }
    };
    tokio::time::timeout(ELECTED_MAX, wait).await.ok()
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
        shown(quantile(&story.back_ms, 0.5)),
        story.back_ms.len(),
        shown(quantile(&story.back_ms, 0.99)),
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
        "ack_p50_ms": quantile(&story.back_ms, 0.5),
        "ack_p99_ms": quantile(&story.back_ms, 0.99),
        "last_ack_ms": story.back_ms.last(),
        "all_back_ms": story.all_back_ms,
        "acked": report.acked,
        "lost": report.lost,
        "doubled": report.doubled,
    });
    print::result(output, &text, &json)
}
