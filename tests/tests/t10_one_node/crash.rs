//! A node that is killed, or stopped, under load: nothing acknowledged is lost or doubled, and
//! nothing that was accepted fails.

use std::time::Duration;

use anyhow::Result;
use pollux_tests::node::{Counters, Devices, NodeOptions};
use serde_json::Value;
use tokio::time::sleep;

const DEVICES: usize = 12;
const KILLS: u64 = 20;

/// Few shards and small segments: a quick start, and checkpoints while it runs.
fn options(dir: &std::path::Path) -> NodeOptions {
    NodeOptions::new(&dir.join("data"))
        .with("POLLUX_CLUSTER__SHARDS", "4")
        .with("POLLUX_LOG__SEGMENT_BYTES", "4194304")
        .with("POLLUX_CHECKPOINT__INTERVAL_MS", "1000")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_twenty_times_under_load() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut node = options(dir.path()).start()?;
    let counters = Counters::start(&node, DEVICES, 0)?;
    for kill in 0..KILLS {
        // Different places of a checkpoint's interval, without chance.
        sleep(Duration::from_millis(150 + kill * 37 % 400)).await;
        let again = node.again();
        node.kill()?;
        node = again.start()?;
    }
    let acked = counters.check(&node).await?;
    eprintln!("{acked} reports acknowledged over {KILLS} kills");
    assert!(acked > 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_under_load() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut node = options(dir.path()).start()?;
    let counters = Counters::start(&node, DEVICES, 0)?;
    for _ in 0..3 {
        sleep(Duration::from_millis(700)).await;
        let again = node.again();
        assert!(node.stop()?.success(), "the node stops in order: {}", again.said());
        node = again.start()?;
    }
    assert!(counters.check(&node).await? > 0);
    Ok(())
}

/// A restarted node does not know the connections of its life before, and says so at the first
/// packet: a device need not wait for silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_connection_is_reset() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = options(dir.path()).start()?;
    let devices = Devices::of(node.data())?;
    let mut raw = devices.raw(&node.devices, "pump").await?;
    raw.hello("pump").await?;
    assert_eq!(node.twin("pump")?["presence"]["connected"], true);
    let again = node.again();
    node.kill()?;
    let node = again.start()?;
    // Nobody knows yet whether the device is there, and readers of either kind are told so.
    for path in ["/v1/twins/pump", "/v1/twins/pump?stale"] {
        let shown = node.send("GET", path, &[], b"")?.json()?;
        let presence = &shown["presence"];
        assert_eq!((&presence["connected"], &presence["unknown"]), (&false.into(), &true.into()));
    }
    raw.say(&pollux_proto::device::DeviceFrame::Ping { nonce: 1 }).await?;
    let ended = raw.ended().await?;
    assert_eq!(ended.error, quinn::ConnectionError::Reset, "{ended:?}");
    let mut raw = devices.raw(&node.devices, "pump").await?;
    raw.hello("pump").await?;
    let presence = &node.twin("pump")?["presence"];
    assert_eq!((&presence["connected"], &presence["unknown"]), (&true.into(), &Value::Null));
    Ok(())
}

/// Devices that lost their power say nothing any more: a stop does not wait for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_the_dead() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = options(dir.path()).start()?;
    let devices = Devices::of(node.data())?;
    let (address, powered) = (node.devices.clone(), tokio::runtime::Runtime::new()?);
    let connected = powered.spawn(async move {
        let mut raw = devices.raw(&address, "pump").await?;
        raw.hello("pump").await?;
        Ok::<_, anyhow::Error>(raw)
    });
    // Its runtime goes first, so that its connection has no chance to say goodbye.
    let raw = connected.await??;
    powered.shutdown_background();
    let again = node.again();
    assert!(node.stop()?.success());
    assert!(!again.said().contains("linger"), "{}", again.said());
    drop(raw);
    Ok(())
}
