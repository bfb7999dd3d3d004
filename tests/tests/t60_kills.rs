//! Owners of a real cluster are killed under load, again and again, and one history of every call is
//! checked: nothing acknowledged is lost or doubled, every read was right.

use std::time::Duration;

use anyhow::Result;
use pollux_tests::clients::{Crowd, Load};
use pollux_tests::node::Devices;
use pollux_tests::node::cluster::{Cluster, QUICK};
use tokio::time::sleep;

/// Kills of one run, unless `CHAOS_KILLS` says another number.
const KILLS: u64 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_are_killed_and_every_call_is_right() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    let devices = Devices::of(cluster.node(0)?.data())?;
    let load = Load::start(&cluster.options, &devices, Crowd::default())?;
    load.all_served().await?;
    let kills = std::env::var("CHAOS_KILLS").ok().and_then(|kills| kills.parse().ok());
    for kill in 0..kills.unwrap_or(KILLS) {
        // Different places of elections and checkpoints, without chance.
        sleep(Duration::from_millis(kill * 137 % 700)).await;
        let victim = cluster.busiest()?;
        cluster.kill(victim)?;
        // Without it: everybody finds another owner.
        load.all_served().await?;
        cluster.start(victim)?;
        cluster.settled()?;
    }
    load.check(&cluster.there()).await?;
    Ok(())
}
