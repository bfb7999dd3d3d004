//! Owners of a real cluster are killed and frozen under load while a service consumes a durable subscription, and breaks
//! down itself: it sees each change of every twin, in order, and none is missing.

use std::time::Duration;

use anyhow::Result;
use pollux_tests::clients::{Crowd, Load, Subscriber};
use pollux_tests::node::Devices;
use pollux_tests::node::cluster::{Cluster, QUICK};
use pollux_twin::TwinKey;
use tokio::time::sleep;

/// Longer than any lease.
const FROZEN: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_has_no_gap_whatever_is_lost() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    cluster.settled()?;
    let devices = Devices::of(cluster.node(0)?.data())?;
    let mut subscriber = Subscriber::open(&cluster.options, "ledger").await?;
    let load = Load::start(&cluster.options, &devices, Crowd::default())?;
    load.all_served().await?;
    subscriber.sees_all(load.recorder()).await?;

    // The owner of the most twins, and that of the subscription itself.
    let shard = usize::from(TwinKey::parse("_pollux/subscription:default:ledger")?.shard(4).0);
    for own in [false, true, false] {
        let victim = if own { cluster.owner(shard)? } else { cluster.busiest()? };
        cluster.kill(victim)?;
        load.all_served().await?;
        subscriber.sees_all(load.recorder()).await?;
        cluster.start(victim)?;
        cluster.settled()?;
    }

    // One that stands still must not hand out, or remember, what another already did.
    let victim = cluster.owner(shard)?;
    cluster.node(victim)?.freeze()?;
    sleep(FROZEN).await;
    cluster.node(victim)?.go_on()?;
    load.all_served().await?;
    subscriber.sees_all(load.recorder()).await?;
    let recorder = load.recorder().clone();
    load.check(&cluster.there()).await?;
    subscriber.sees_all(&recorder).await
}
