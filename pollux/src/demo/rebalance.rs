//! `pollux demo rebalance`: a further node joins a cluster under load and takes its share.

use std::collections::BTreeMap;

use pollux_proto::v1;
use serde_json::json;

use super::fleet::{self, Fleet};
use super::say;
use crate::args::{DemoArgs, Output};
use crate::exit::{Exit, Failure};
use crate::limits::{CALM, RUN_MAX, SERVICE_RATE, SETTLED_LOOK, SETTLED_LOOKS, SETTLED_MAX};
use crate::local_cluster::LocalCluster;
use crate::print;

/// Lets a node join, and waits until it has its share.
pub(super) async fn run(
    output: Output,
    args: &DemoArgs,
    mut cluster: LocalCluster,
) -> Result<(), Failure> {
    let mut options = fleet::options(args, &cluster)?;
    (options.duration, options.desired_per_s) = (RUN_MAX, SERVICE_RATE);
    let fleet = Fleet::start(options).await;
    let began = fleet.timeline.now();
    cluster.add().await?;
    let new = cluster.nodes.len() as u64;
    say(output, &format!("node {new} joined"));
    let mut watcher = Watcher { output, seen: BTreeMap::new(), moves: 0, transfers: 0 };
    let mut status = watcher.settle(&cluster).await?;
    // What it owns follows from the load, which is watched for minutes; here it is asked for.
    let planned = cluster.rebalance().await?;
    if planned > 0 {
        say(output, &format!("evening the owners: {planned} to be moved"));
        let owns = |status: &v1::ClusterStatusResponse| {
            status.nodes.iter().any(|node| node.id == new && node.owned > 0)
        };
        cluster.until("even", owns).await?;
        status = watcher.settle(&cluster).await?;
    }
    let took = fleet.timeline.now() - began;
    tokio::time::sleep(CALM).await;
    fleet.timeline.end();
    let (report, _) = fleet.report().await?;
    print::status_end();
    let share = status.nodes.iter().find(|node| node.id == new);
    let (replicas, owned) = share.map_or((0, 0), |node| (node.replicas, node.owned));
    let text = format!(
        "node {new} holds {replicas} replicas and owns {owned} of {} shards, after {:.1} s; replicas \
         moved {}, owners {}\n{}",
        status.shards.len(),
        took.as_secs_f64(),
        watcher.moves,
        watcher.transfers,
        fleet::sums(&report),
    );
    let json = json!({
        "node": new, "replicas": replicas, "owned": owned, "shards": status.shards.len(),
        "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "replicas_moved": watcher.moves, "owners_moved": watcher.transfers,
        "run": fleet::sums_json(&report),
    });
    print::result(output, &text, &json)?;
    cluster.remove().await?;
    fleet::judge_calls(&report)?;
    if replicas == 0 || owned == 0 {
        return Err(Failure::new(Exit::Failed, "the new node did not take its share"));
    }
    Ok(())
}

/// Shows shards move.
struct Watcher {
    output: Output,
    /// Owner and voters of each shard.
    seen: BTreeMap<u32, (u64, Vec<u64>)>,
    moves: u32,
    transfers: u32,
}

impl Watcher {
    /// Waits until the cluster is at rest, and shows what moves until then.
    async fn settle(
        &mut self,
        cluster: &LocalCluster,
    ) -> Result<v1::ClusterStatusResponse, Failure> {
        let wait = async {
            // More than once: between two steps of a plan there may be rest.
            let mut rest = 0;
            loop {
                if let Ok(status) = cluster.status().await {
                    self.look(&status);
                    rest = if status.settled && status.owned_as_meant { rest + 1 } else { 0 };
                    if rest >= SETTLED_LOOKS {
                        return status;
                    }
                }
                tokio::time::sleep(SETTLED_LOOK).await;
            }
        };
        tokio::time::timeout(SETTLED_MAX, wait)
            .await
            .map_err(|_| Failure::new(Exit::Failed, "the cluster did not come to rest in time"))
    }

    fn look(&mut self, status: &v1::ClusterStatusResponse) {
        for shard in status.shards.iter().filter(|shard| shard.owner != 0) {
            let mut voters = shard.voters.clone();
            voters.sort_unstable();
            let now = (shard.owner, voters);
            let Some(before) = self.seen.insert(shard.shard, now.clone()) else { continue };
            if before.1 != now.1 {
                self.moves += 1;
                let (from, to) = (&before.1, &now.1);
                say(self.output, &format!("shard {}: replicas {from:?} -> {to:?}", shard.shard));
            }
            if before.0 != now.0 {
                self.transfers += 1;
                let (from, to) = (before.0, now.0);
                say(self.output, &format!("shard {}: owner {from} -> {to}", shard.shard));
            }
        }
    }
}
