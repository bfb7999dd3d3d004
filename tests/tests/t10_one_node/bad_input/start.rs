//! What a node refuses to start with: configuration, directories, ports; each by name, and without
//! touching what is there.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use pollux_tests::node::NodeOptions;

use super::{House, small};

fn refused(options: &NodeOptions, words: &[&str]) -> Result<()> {
    let said = options.refused()?;
    for word in words {
        assert!(said.contains(word), "{word:?} is missing: {said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configuration_that_cannot_be() -> Result<()> {
    let house = House::open().await?;
    let dir = tempfile::tempdir()?;
    let options = small(dir.path());
    let with = |name: &str, value: &str| options.clone().with(name, value);
    refused(&with("POLLUX_LOG__SEGMENT_BYTE", "1"), &["log.segment_byte", "log.segment_bytes"])?;
    refused(&with("POLLUX_CLUSTER__SHARDS", "0"), &["cluster.shards", "1"])?;
    refused(&with("POLLUX_CLUSTER__SHARDS", "many"), &["cluster.shards"])?;
    refused(&with("POLLUX_RAFT__ELECTION_MIN_MS", "999999999999"), &["raft.election_min_ms"])?;
    refused(&with("POLLUX_TRACE__FORMAT", "xml"), &["trace.format", "json"])?;
    refused(&with("POLLUX_LISTEN__DEVICES", "nowhere"), &[])
        .expect_err("a flag wins over a variable");
    let file = dir.path().join("pollux.toml");
    std::fs::write(&file, "[log]\nsegment_bytes = -1\n[lgo]\nx = 1\n")?;
    let by_file = with("POLLUX_CONFIG", file.to_str().context("a path of text")?);
    refused(&by_file, &["lgo", "pollux.toml"])?;
    house.close(&["witness"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn directories_of_others() -> Result<()> {
    let mut house = House::open().await?;
    // In use: by the node that is there, which goes on.
    let here = NodeOptions::new(house.node.data());
    let data = house.node.data().display().to_string();
    refused(&here, &["in use", &data])?;
    house.witness.is_served().await?;
    // Of another cluster: this node's log and checkpoints under another identity.
    let dir = tempfile::tempdir()?;
    let (mine, theirs) = (dir.path().join("mine"), dir.path().join("theirs"));
    let write = |options: &NodeOptions| -> Result<()> {
        let node = options.start()?;
        node.ask(&["twin", "patch", "lamp", r#"{"level":1}"#])?;
        assert!(node.stop()?.success());
        Ok(())
    };
    let at = |path: &Path| NodeOptions { data: path.to_owned(), ..small(dir.path()) };
    write(&at(&mine))?;
    write(&at(&theirs))?;
    let identity: PathBuf = mine.join("identity");
    let own = std::fs::read(&identity)?;
    std::fs::copy(theirs.join("identity"), &identity)?;
    refused(&at(&mine), &["cluster"])?;
    // An identity that was damaged, or set back, is refused as well.
    let mut damaged = own.clone();
    damaged[30] ^= 1;
    std::fs::write(&identity, damaged)?;
    refused(&at(&mine), &["identity"])?;
    let again = String::from_utf8(own.clone())?;
    std::fs::write(&identity, again.replace("starts = 1", "starts = 9"))?;
    refused(&at(&mine), &["identity"])?;
    // Nothing of it harmed what is there.
    std::fs::write(&identity, own)?;
    let node = at(&mine).start()?;
    assert_eq!(node.twin("lamp")?["desired"]["level"], 1);
    drop(node);
    house.close(&["witness"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ports_that_are_taken() -> Result<()> {
    let mut house = House::open().await?;
    let dir = tempfile::tempdir()?;
    let any = small(dir.path());
    let devices = house.node.devices.clone();
    refused(
        &NodeOptions { devices: devices.clone(), ..any.clone() },
        &[&devices, "--devices-listen"],
    )?;
    let grpc = house.node.grpc.clone();
    refused(&NodeOptions { grpc: grpc.clone(), ..any.clone() }, &[&grpc, "--grpc-listen"])?;
    let http = house.node.http.clone();
    refused(&NodeOptions { http: http.clone(), ..any.clone() }, &[&http, "--http-listen"])?;
    house.witness.is_served().await?;
    // The directory is as good as new: a node starts in it.
    assert!(any.start()?.stop()?.success());
    house.close(&["witness"]).await
}
