//! `pollux demo rolling`: all nodes are restarted under load, one after the other, as for an upgrade.

use std::time::Duration;

use pollux_simulator::Timeline;
use serde_json::{Value, json};

use super::fleet::{self, Fleet};
use super::say;
use crate::args::{DemoArgs, Output};
use crate::exit::Failure;
use crate::limits::{OWNERS_LOOK, RUN_MAX, SERVICE_RATE};
use crate::local_cluster::LocalCluster;
use crate::print;

/// Restarts every node.
pub(super) async fn run(
    output: Output,
    args: &DemoArgs,
    mut cluster: LocalCluster,
) -> Result<(), Failure> {
    let mut options = fleet::options(args, &cluster)?;
    (options.duration, options.desired_per_s) = (RUN_MAX, SERVICE_RATE);
    let fleet = Fleet::start(options).await;
    let mut told = Vec::new();
    for at in 0..cluster.nodes.len() {
        let restart = restart(&mut cluster, at, &fleet.timeline).await?;
        say(output, &restart.text());
        told.push(restart.json());
    }
    let began = fleet.timeline.now();
    cluster.settled().await?;
    let home = ms(fleet.timeline.now() - began);
    say(
        output,
        &format!("all nodes restarted; every shard is with its usual owner after {home} ms"),
    );
    // As long as at the beginning, so that what came of the last step is seen.
    tokio::time::sleep(crate::limits::CALM).await;
    fleet.timeline.end();
    let (report, _) = fleet.report().await?;
    print::status_end();
    let json = json!({"restarts": told, "home_ms": home, "run": fleet::sums_json(&report)});
    print::result(output, &fleet::sums(&report), &json)?;
    cluster.remove().await?;
    fleet::judge_calls(&report)
}

/// One node's restart, in milliseconds since it was told to stop.
struct Restart {
    node: u64,
    owned: u32,
    handed_over_ms: u64,
    stopped_ms: u64,
    started_ms: u64,
    caught_up_ms: u64,
}

async fn restart(
    cluster: &mut LocalCluster,
    at: usize,
    timeline: &Timeline,
) -> Result<Restart, Failure> {
    let node = at as u64 + 1;
    let owned = cluster.owned(node).await?;
    let began = timeline.now();
    let since = || ms(timeline.now() - began);
    let process = cluster.nodes[at].release();
    let stopping = async {
        if let Some(process) = process {
            process.stop_and_keep().await?;
        }
        Ok::<_, Failure>(since())
    };
    let handing = async {
        while cluster.owned(node).await? > 0 {
            tokio::time::sleep(OWNERS_LOOK).await;
        }
        Ok::<_, Failure>(since())
    };
    let (stopped_ms, handed_over_ms) = tokio::try_join!(stopping, handing)?;
    cluster.nodes[at].start().await?;
    let started_ms = since();
    cluster.until("caught up", |status| status.settled).await?;
    let caught_up_ms = since();
    Ok(Restart { node, owned, handed_over_ms, stopped_ms, started_ms, caught_up_ms })
}

impl Restart {
    fn text(&self) -> String {
        let Self { node, owned, handed_over_ms, stopped_ms, started_ms, caught_up_ms } = self;
        format!(
            "node {node}: told to stop; {owned} shards handed over after {handed_over_ms} ms, \
             stopped after {stopped_ms} ms, started again after {started_ms} ms, caught up after \
             {caught_up_ms} ms"
        )
    }

    fn json(&self) -> Value {
        json!({
            "node": self.node, "owned": self.owned, "handed_over_ms": self.handed_over_ms,
            "stopped_ms": self.stopped_ms, "started_ms": self.started_ms,
            "caught_up_ms": self.caught_up_ms,
        })
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
