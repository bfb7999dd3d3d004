//! Owners of a real cluster are killed under load, again and again, and one history of every call is
//! checked: nothing acknowledged is lost or doubled, every read was right.

use std::time::Duration;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use pollux_proto::v1;
use pollux_proto::v1::patch_twin_request::Change;
use pollux_tests::clients::{Crowd, Load, Way};
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

/// Twins that are written without keys, each by a service of its own.
const TWINS: u64 = 12;

/// A service that writes one twin without keys, again and again: how many writes were answered.
async fn write_without_keys(
    way: Way,
    twin: u64,
    done: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) -> Result<u64> {
    let mut version = 0;
    while !stop.load(Ordering::Relaxed) {
        let message = v1::PatchTwinRequest {
            device: format!("keyless-{twin}"),
            section: v1::Section::Desired.into(),
            change: Some(Change::WholeJson(format!("{{\"n\":{version}}}"))),
            ..Default::default()
        };
        let written = way.twins().patch(message).await;
        let written = written.with_context(|| format!("write {version} of twin {twin}"))?;
        version += 1;
        let at = written.into_inner().version;
        ensure!(at == version, "write {version} of twin {twin} gave version {at}");
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(version)
}

/// Whoever asks a node that stays up has each write carried out once, whichever owner dies meanwhile, and
/// hears so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_without_keys_are_carried_out_once() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    for round in 0..3 {
        let victim = cluster.busiest()?;
        let others: Vec<usize> =
            cluster.there().into_iter().filter(|node| *node != victim).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let done: Vec<Arc<AtomicU64>> = (0..TWINS).map(|_| Arc::default()).collect();
        let mut services = Vec::new();
        for (twin, done) in (round * TWINS..).zip(&done) {
            let node = others[usize::try_from(twin)? % others.len()];
            let way = Way::to(&cluster.options[node])?;
            let (done, stop) = (Arc::clone(done), Arc::clone(&stop));
            services.push(tokio::spawn(write_without_keys(way, twin, done, stop)));
        }
        answered(&done, 20).await;
        cluster.kill(victim)?;
        answered(&done, 20).await;
        stop.store(true, Ordering::Relaxed);
        for service in services {
            service.await??;
        }
        cluster.start(victim)?;
        cluster.settled()?;
    }
    Ok(())
}

/// Waits until each of these has gone up by so many, or does not any more.
async fn answered(done: &[Arc<AtomicU64>], more: u64) {
    let wanted: Vec<u64> = done.iter().map(|done| done.load(Ordering::Relaxed) + more).collect();
    for _ in 0..600 {
        if done.iter().zip(&wanted).all(|(done, wanted)| done.load(Ordering::Relaxed) >= *wanted) {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}
