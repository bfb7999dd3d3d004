//! Bad input against a real node, at each of its doors: a clear refusal each time, and no effect on
//! anyone else, for which a witness is served all the while.

mod certificates;
mod frames;
mod grpc;
mod http;
mod start;

use std::path::Path;

use anyhow::Result;
use pollux_tests::node::{Devices, NodeOptions, NodeProcess, Witness};

/// A node with its witness.
struct House {
    node: NodeProcess,
    devices: Devices,
    witness: Witness,
    _dir: tempfile::TempDir,
}

impl House {
    async fn open() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let node = small(dir.path()).start()?;
        let devices = Devices::of(node.data())?;
        let mut witness = Witness::start(&devices, &node.devices).await?;
        witness.is_served().await?;
        Ok(Self { node, devices, witness, _dir: dir })
    }

    /// All was refused, so there is nothing but the witness; and the node stops in order.
    async fn close(mut self, known: &[&str]) -> Result<()> {
        self.witness.is_served().await?;
        let listed = self.node.ask(&["twin", "list"])?;
        let twins = listed["twins"].as_array().cloned().unwrap_or_default();
        let names: Vec<_> = twins.iter().filter_map(|twin| twin["device"].as_str()).collect();
        assert_eq!(names, known, "{listed}");
        assert!(self.node.stop()?.success());
        Ok(())
    }
}

/// Few shards and small segments: a quick start.
fn small(dir: &Path) -> NodeOptions {
    NodeOptions::new(&dir.join("data"))
        .with("POLLUX_CLUSTER__SHARDS", "2")
        .with("POLLUX_LOG__SEGMENT_BYTES", "4194304")
}
