//! A disk that fills up under a running node: by its reserves the node refuses writes with a clear
//! word, goes on serving reads, and takes writes again when there is room; nothing is lost.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pollux_proto::device::{NodeFrame, RefusedReason};
use pollux_tests::node::{Counters, Devices, NodeOptions, NodeProcess, SmallDisk, hello};
use tokio::time::sleep;

/// How often a change of mind of the node is looked for, and how long.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: usize = 600;

fn options(disk: &Path) -> NodeOptions {
    NodeOptions::new(&disk.join("data"))
        .with("POLLUX_CLUSTER__SHARDS", "2")
        .with("POLLUX_LOG__SEGMENT_BYTES", "4194304")
        .with("POLLUX_CHECKPOINT__INTERVAL_MS", "1000")
        .with("POLLUX_CHECKPOINT__RESERVE_BYTES", "16777216")
}

/// Waits until a write of a service ends with `status`.
async fn until_written(node: &NodeProcess, status: u16) -> Result<()> {
    let mut last = None;
    for look in 0..LOOKS {
        let body = format!("{{\"look\":{look}}}");
        let reply = node.send_json("PATCH", "/v1/twins/valve/desired", &body)?;
        if reply.status == status {
            return Ok(());
        }
        last = Some(reply);
        sleep(LOOK).await;
    }
    anyhow::bail!("a write never ended with {status}, but with {last:?}")
}

/// A full disk as each door says it.
async fn refuses_writes(node: &NodeProcess) -> Result<()> {
    let reply = node.send_json("PATCH", "/v1/twins/valve/desired", r#"{"full":true}"#)?;
    ensure!(reply.status == 507 && reply.reason() == "out_of_space", "{reply:?}");
    ensure!(reply.json()?["retry_after_ms"].is_u64(), "says when to come back: {reply:?}");
    let said = node.ask(&["twin", "patch", "valve", "{}"]).err().context("it was written")?;
    ensure!(said.to_string().contains("out_of_space"), "{said}");
    let mut raw = Devices::of(node.data())?.raw(&node.devices, "late").await?;
    raw.say(&hello("late")).await?;
    let frame = raw.frame().await?;
    let NodeFrame::Refused { reason, message, retry_after_ms } = frame else {
        anyhow::bail!("a new device is not refused: {frame:?}")
    };
    ensure!(reason == RefusedReason::Busy && retry_after_ms.is_some(), "{message}");
    ensure!(message.contains("space"), "{message}");
    Ok(())
}

/// Reads by every door show at least what was acknowledged.
fn serves_reads(node: &NodeProcess, known: &[(String, u64)]) -> Result<()> {
    for (name, acked) in known {
        let by_grpc = node.twin(name)?;
        let by_http = node.send("GET", &format!("/v1/twins/{name}"), &[], b"")?.json()?;
        for twin in [by_grpc, by_http] {
            let shown = twin["reported"]["n"].as_u64().unwrap_or(0);
            ensure!(shown >= *acked, "{name}: {acked} were acknowledged, {shown} are there");
        }
    }
    let listed = node.ask(&["twin", "list"])?;
    let count = listed["twins"].as_array().map_or(0, Vec::len);
    ensure!(count > known.len(), "all are listed: {listed}");
    ensure!(node.get("/metrics")?.contains("pollux_rejections_total"), "metrics are there");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_and_nothing_is_lost() -> Result<()> {
    let Some(disk) = SmallDisk::mount()? else { return Ok(()) };
    let mut node = options(disk.place()).start()?;
    until_written(&node, 200).await?;
    let counters = Counters::start(&node, 6, 1_500)?;
    while counters.acked() < 100 {
        sleep(LOOK).await;
    }

    // Below the reserve, with some room left: checkpoints still go.
    disk.fill(8 << 20)?;
    until_written(&node, 507).await?;
    refuses_writes(&node).await?;
    serves_reads(&node, &counters.must_be_there())?;

    // Not a byte left.
    disk.fill(0)?;
    refuses_writes(&node).await?;
    serves_reads(&node, &counters.must_be_there())?;
    sleep(Duration::from_secs(3)).await;
    refuses_writes(&node).await?;

    // There is room again, and the devices' own resends go through.
    let before = counters.acked();
    disk.make_room()?;
    until_written(&node, 200).await?;
    while counters.acked() < before + 50 {
        sleep(LOOK).await;
    }

    // Killed while full: it starts, serves reads, and still refuses writes.
    disk.fill(1 << 20)?;
    until_written(&node, 507).await?;
    let known = counters.must_be_there();
    let again = node.again();
    node.kill()?;
    node = again.start()?;
    until_written(&node, 507).await?;
    serves_reads(&node, &known)?;
    refuses_writes(&node).await?;
    disk.make_room()?;
    until_written(&node, 200).await?;
    let acked = counters.check(&node).await?;
    eprintln!("{acked} reports acknowledged around a full disk");
    ensure!(acked > before, "it went on after there was room");

    // Everything is on the disk: the next start has it all.
    let known = vec![("valve".to_owned(), 0)];
    let again = node.again();
    assert!(node.stop()?.success(), "{}", again.said());
    serves_reads(&again.start()?, &known)?;
    Ok(())
}
