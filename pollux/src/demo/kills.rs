//! `pollux demo failover --kills N`: owners are killed again and again under load, and how long it took each
//! time until another owner served their devices.

use std::time::Duration;

use pollux_simulator::{Cause, Moment, MomentKind};
use serde_json::json;

use super::failover::busiest;
use super::fleet::{self, Fleet};
use super::{quantile, say};
use crate::args::{DemoArgs, Output};
use crate::exit::{Exit, Failure};
use crate::limits::{ELECTED_MAX, KILL_MAX, KILL_STEP_MS};
use crate::local_cluster::LocalCluster;
use crate::print;

/// Kills the owner of most shards so many times.
pub(super) async fn run(
    output: Output,
    args: &DemoArgs,
    kills: u32,
    mut cluster: LocalCluster,
) -> Result<(), Failure> {
    let mut options = fleet::options(args, &cluster)?;
    options.duration = KILL_MAX * kills;
    let mut fleet = Fleet::start(options).await;
    let (mut first_ms, mut all_ms) = (Vec::new(), Vec::new());
    for kill in 1..=kills {
        let (step, round) = KILL_STEP_MS;
        tokio::time::sleep(Duration::from_millis(u64::from(kill) * step % round)).await;
        let (first, all) = one(&mut cluster, &mut fleet).await?;
        say(output, &format!("kill {kill}: first after {first} ms, all after {all} ms"));
        first_ms.push(first);
        all_ms.push(all);
    }
    fleet.timeline.end();
    let (report, _) = fleet.report().await?;
    print::status_end();
    first_ms.sort_unstable();
    all_ms.sort_unstable();
    let figures = |sorted: &[u64]| [0.5, 0.99, 1.0].map(|share| quantile(sorted, share));
    let (first, all) = (figures(&first_ms), figures(&all_ms));
    let shown = |figures: [Option<u64>; 3]| {
        let [p50, p99, longest] = figures.map(|ms| ms.unwrap_or_default());
        format!("p50 {p50} ms, p99 {p99} ms, longest {longest} ms")
    };
    let text = format!(
        "{kills} kills of an owner with kill -9\n\
         first report acknowledged by another owner: {}\n\
         every device had one acknowledged: {}\n\
         {} reports acknowledged: lost {}, doubled {}",
        shown(first),
        shown(all),
        report.acked,
        report.lost,
        report.doubled,
    );
    let json = json!({
        "kills": kills,
        "first_ack_p50_ms": first[0], "first_ack_p99_ms": first[1], "first_ack_max_ms": first[2],
        "all_back_p50_ms": all[0], "all_back_p99_ms": all[1], "all_back_max_ms": all[2],
        "acked": report.acked, "lost": report.lost, "doubled": report.doubled,
    });
    print::result(output, &text, &json)?;
    cluster.remove().await?;
    fleet::judge(&report)
}

/// One kill: how many milliseconds after it the first device that lost its owner had a report acknowledged
/// by another, and all devices had. The node comes back, and all replicas have everything again.
async fn one(cluster: &mut LocalCluster, fleet: &mut Fleet) -> Result<(u64, u64), Failure> {
    while fleet.moments.try_recv().is_ok() {}
    let (victim, _) = busiest(cluster).await?;
    let killed = fleet.timeline.mark();
    cluster.nodes[victim].kill().await?;
    let (mut first, mut all) = (None, None);
    let served = async {
        while let Some(Moment { at, kind }) = fleet.moments.recv().await {
            let since = at.saturating_sub(killed);
            match kind {
                _ if at < killed => {}
                MomentKind::Rehomed { cause: Cause::Lost, .. } if first.is_none() => {
                    first = Some(since);
                }
                MomentKind::AllBack => {
                    all = Some(since);
                    break;
                }
                MomentKind::Rehomed { .. } | MomentKind::FirstAck { .. } => {}
            }
        }
    };
    let late = tokio::time::timeout(ELECTED_MAX, served).await.is_err();
    let (Some(first), Some(all), false) = (first, all, late) else {
        let text = format!("{} devices were not served after a kill", fleet.timeline.waiting());
        return Err(Failure::new(Exit::Failed, text));
    };
    cluster.nodes[victim].start().await?;
    // Not until its shards are back with it as well: the next owner to be killed is whoever has most.
    cluster.until("at rest", |status| status.settled).await?;
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Ok((ms(first), ms(all)))
}
