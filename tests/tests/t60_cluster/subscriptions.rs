//! Owners of a real cluster are killed and frozen under load while a service consumes a durable subscription, and three
//! others share another one, and all break down themselves: they see each change of every twin, in order, and none is
//! missing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pollux_tests::clients::{Crowd, Load, Subscriber};
use pollux_tests::node::Devices;
use pollux_tests::node::cluster::{Cluster, QUICK};
use pollux_twin::TwinKey;
use tokio::time::sleep;

/// Fewer than shards, so that some have more than others.
const SHARERS: usize = 3;
/// Longer than any lease.
const FROZEN: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_has_no_gap_whatever_is_lost() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    cluster.settled()?;
    let devices = Devices::of(cluster.node(0)?.data())?;
    let mut subscriber = Subscriber::open(&cluster.options, "ledger").await?;
    let mut sharers = Subscriber::shared(&cluster.options, "work", SHARERS).await?;
    let load = Load::start(&cluster.options, &devices, Crowd::default())?;
    load.all_served().await?;
    subscriber.sees_all(load.recorder()).await?;
    sharers.sees_all(load.recorder()).await?;

    // The owner of the most twins, and those of the subscriptions themselves.
    let shard = |name: &str| -> Result<usize> {
        let key = TwinKey::parse(&format!("_pollux/subscription:default:{name}"))?;
        Ok(usize::from(key.shard(4).0))
    };
    for own in [None, Some("ledger"), None, Some("work")] {
        let victim = match own {
            Some(name) => cluster.owner(shard(name)?)?,
            None => cluster.busiest()?,
        };
        cluster.kill(victim)?;
        load.all_served().await?;
        subscriber.sees_all(load.recorder()).await?;
        sharers.sees_all(load.recorder()).await?;
        cluster.start(victim)?;
        cluster.settled()?;
    }

    // One that stands still must not hand out, or remember, what another already did.
    let victim = cluster.owner(shard("work")?)?;
    cluster.node(victim)?.freeze()?;
    sleep(FROZEN).await;
    cluster.node(victim)?.go_on()?;
    load.all_served().await?;
    subscriber.sees_all(load.recorder()).await?;
    sharers.sees_all(load.recorder()).await?;
    let recorder = load.recorder().clone();
    load.check(&cluster.there()).await?;
    subscriber.sees_all(&recorder).await?;
    sharers.sees_all(&recorder).await?;
    // All shards are with those that are there.
    let shared = cluster.running()?.ask(&["subscription", "get", "work"])?;
    let consumers = shared["consumers"].as_array().context("consumers")?;
    let held: u64 = consumers.iter().filter_map(|one| one["shards"].as_u64()).sum();
    ensure!(held == 4 && consumers.len() >= SHARERS, "{shared}");
    Ok(())
}
