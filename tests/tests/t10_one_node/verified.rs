//! A simulated fleet with services, which check all that they were acknowledged, against a node that
//! is overloaded and killed again and again.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pollux_tests::node::{NodeOptions, NodeProcess, program};
use serde_json::Value;

const KILLS: u32 = 5;

/// A gate of the smallest size and one shard: many calls are refused, or never answered.
fn options(dir: &std::path::Path) -> NodeOptions {
    NodeOptions::new(&dir.join("data"))
        .with("POLLUX_CLUSTER__SHARDS", "1")
        .with("POLLUX_LOG__SEGMENT_BYTES", "4194304")
        .with("POLLUX_TWINS__GATE_BYTES", "1048576")
        .with("POLLUX_CHECKPOINT__INTERVAL_MS", "1000")
}

fn fleet(node: &NodeProcess) -> Result<std::process::Child> {
    Command::new(program()?)
        .args(["sim", "--verify", "--output", "json", "--seed", "3", "--duration", "14s"])
        .args(["--devices", "60", "--rate", "600", "--warm-up", "1s", "--prefix", "unit-"])
        .args(["--desired-rate", "300", "--command-rate", "20", "--drop-rate", "5"])
        .args(["--target", &node.devices, "--grpc", &format!("http://{}", node.grpc)])
        .arg("--pki")
        .arg(node.data().join("pki"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start the fleet")
}

#[test]
fn nothing_is_lost_or_doubled_under_overload_and_kills() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut node = options(dir.path()).start()?;
    let fleet = fleet(&node)?;
    sleep(Duration::from_secs(2));
    for kill in 0..KILLS {
        sleep(Duration::from_millis(900 + u64::from(kill) * 170));
        let again = node.again();
        node.kill()?;
        node = again.start()?;
    }
    let output = fleet.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout).with_context(|| said.to_string())?;
    ensure!(output.status.success(), "{said}: {report}");
    let count = |name: &str| report[name].as_u64();
    ensure!((count("lost"), count("doubled")) == (Some(0), Some(0)), "{report}");
    ensure!(count("acked") > Some(0) && count("errors") > Some(0), "there was trouble: {report}");
    eprintln!("{} acked, {} errors, none lost or doubled", report["acked"], report["errors"]);
    Ok(())
}
