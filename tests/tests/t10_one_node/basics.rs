//! One node as a real process: what each door does, and what it refuses to start over.

use std::time::Duration;

use anyhow::Result;
use pollux_proto::device::CloseCode;
use pollux_tests::node::{Devices, NodeOptions, raw};
use pollux_twin::Value;
use serde_json::json;
use tokio::time::timeout;

/// Longest that one step may take on a busy machine.
const STEP: Duration = Duration::from_secs(60);

fn object(text: &str) -> Value {
    Value::from_json(text.as_bytes(), &pollux_twin::JsonLimits::default()).expect("good JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_reports_and_is_told() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = NodeOptions::new(&dir.path().join("data")).start()?;
    let devices = Devices::of(node.data())?;
    let device = devices.start(&node.devices, "lamp")?;
    device.on_command(|_| async { Ok(Value::from("done")) });
    timeout(STEP, device.online()).await??;

    let acked = timeout(STEP, device.report(object(r#"{"level":7}"#))).await??;
    assert_eq!(acked.version, 1);
    let twin = node.twin("lamp")?;
    assert_eq!(twin["reported"], json!({"level": 7}));
    let over_http = serde_json::from_str::<serde_json::Value>(&node.get("/v1/twins/lamp")?)?;
    assert_eq!(over_http["reported"], json!({"level": 7}));

    node.ask(&["twin", "patch", "lamp", r#"{"level":9}"#])?;
    let mut tries = 0;
    while device.desired().is_none_or(|desired| *desired.value != object(r#"{"level":9}"#)) {
        tries += 1;
        assert!(tries < 600, "desired never came");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(node.twin("lamp")?["delta"], json!({"level": 9}));
    node.ask(&["command", "send", "lamp", "blink"])?;

    device.close();
    assert!(node.stop()?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_sees_what_came_as_a_datagram() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = NodeOptions::new(&dir.path().join("data")).start()?;
    let devices = Devices::of(node.data())?;
    let device = devices.start(&node.devices, "lamp")?;
    timeout(STEP, device.online()).await??;
    timeout(STEP, device.report(object(r#"{"level":7}"#))).await??;
    let mut tries = 0;
    loop {
        // A datagram may be lost; a newer one takes its place.
        device.telemetry_volatile(vec![("rssi".into(), Value::from(-61_i64))])?;
        let twin = node.twin("lamp")?;
        if twin["telemetry"]["rssi"]["value"] == json!(-61) {
            assert_eq!(twin["telemetry"]["rssi"]["volatile"], json!(true));
            assert_eq!(twin["reported"], json!({"level": 7}));
            break;
        }
        tries += 1;
        assert!(tries < 200, "it is never seen: {twin}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    device.close();
    assert!(node.stop()?.success());
    Ok(())
}

/// Connections made ahead of a move say nothing until the shard moves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_nothing_does_not_keep_a_node_from_stopping() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let node = NodeOptions::new(&dir.path().join("data")).start()?;
    let devices = Devices::of(node.data())?;
    let silent = devices.raw(&node.devices, "silent").await?;
    let mut begun = devices.raw(&node.devices, "begun").await?;
    let hello = raw::bytes_of(&raw::hello("begun"));
    begun.write(&hello[..hello.len() / 2]).await?;
    let options = node.again();
    assert!(tokio::task::spawn_blocking(move || node.stop()).await??.success());
    for device in [silent, begun] {
        let ended = device.ended().await?;
        assert_eq!(ended.close().map(|(code, _)| code), Some(u64::from(CloseCode::Bye.code())));
    }
    assert!(!options.said().contains("linger"), "it waited for them: {}", options.said());
    Ok(())
}

#[test]
fn a_data_directory_is_used_once() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let node = NodeOptions::new(&data).start()?;
    let said = NodeOptions { devices: "127.0.0.1:0".into(), ..NodeOptions::new(&data) };
    let said = said.refused()?;
    assert!(said.contains("in use"), "{said}");
    assert!(node.get("/healthz").is_ok(), "the first node goes on");
    node.kill()
}

#[test]
fn a_shard_count_is_for_ever() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    NodeOptions::new(&data).with("POLLUX_CLUSTER__SHARDS", "4").start()?.kill()?;
    let said = NodeOptions::new(&data).with("POLLUX_CLUSTER__SHARDS", "8").refused()?;
    assert!(said.contains("shard"), "{said}");
    Ok(())
}

#[test]
fn a_port_that_is_taken_is_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let options =
        NodeOptions { http: address.clone(), ..NodeOptions::new(&dir.path().join("data")) };
    let said = options.refused()?;
    assert!(said.contains(&address), "{said}");
    Ok(())
}
