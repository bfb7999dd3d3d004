//! A cluster of real processes gets a new CA while it runs: two are accepted for a while, then one, and at
//! no moment does a node lose the others.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use pollux_tests::node::NodeOptions;
use pollux_tests::node::cluster::{self, Cluster};

/// Few shards, small segments: much happens in little time.
const QUICK: &[(&str, &str)] = &[
    ("POLLUX_CLUSTER__SHARDS", "4"),
    ("POLLUX_LOG__SEGMENT_BYTES", "4194304"),
    ("POLLUX_CHECKPOINT__INTERVAL_MS", "1000"),
];

/// A file of a node's CAs; empty if it has none.
fn file(options: &NodeOptions, name: &str) -> String {
    std::fs::read_to_string(options.data.join("pki").join(name)).unwrap_or_default()
}

/// Kills a node and starts it again: it must find the others by the certificates that are in force.
fn again(cluster: &mut Cluster, at: usize) -> Result<()> {
    cluster.kill(at)?;
    cluster.start(at)?;
    cluster.settled().map(drop)
}

fn fresh(dir: &Path, like: &NodeOptions, name: &str) -> NodeOptions {
    let mut options = NodeOptions::new(&dir.join(name));
    options.variables = like.variables.clone();
    let named = |(key, _): &&mut (String, String)| key == "POLLUX_NODE__NAME";
    if let Some((_, value)) = options.variables.iter_mut().find(named) {
        *value = name.to_owned();
    }
    options
}

#[test]
fn a_new_authority_takes_the_place_of_the_old_one() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::form(dir.path(), 3, QUICK)?;
    let old = file(&cluster.options[0], "cluster-ca.pem");
    let token = cluster.running()?.ask(&["cluster", "token"])?;
    let token = token["token"].as_str().context("a token")?.to_owned();

    // All nodes have to take part; what was begun goes on with the same command.
    cluster.kill(2)?;
    let said = cluster.running()?.ask(&["cluster", "ca", "rotate"]).unwrap_err();
    let said = format!("{said:#}");
    assert!(said.contains("node 3") && said.contains("start it"), "{said}");
    assert_eq!(file(&cluster.options[0], "cluster-ca.pem"), old, "nobody issues with it yet");
    cluster.start(2)?;
    cluster.settled()?;
    cluster.running()?.ask(&["cluster", "ca", "rotate"])?;
    let new = file(&cluster.options[0], "cluster-ca.pem");
    assert_ne!(new, old);
    for options in &cluster.options {
        assert_eq!(file(options, "cluster-ca.pem"), new);
        assert_eq!(file(options, "cluster-ca-before.pem"), old);
        assert_eq!(file(options, "cluster-ca-next.pem"), "");
    }
    let twice = format!("{:#}", cluster.running()?.ask(&["cluster", "ca", "rotate"]).unwrap_err());
    assert!(twice.contains("--finish"), "{twice}");
    again(&mut cluster, 1)?;

    // A token that names the CA before lets nobody in; a new one does.
    let fourth = fresh(dir.path(), &cluster.options[0], "fourth");
    cluster::join(&fourth, &cluster.running()?.peers, &token).expect_err("the CA is another one");
    cluster.join(fourth)?;
    cluster.settled()?;
    cluster.running()?.ask(&["cluster", "ca", "rotate", "--finish"])?;
    for options in &cluster.options {
        assert_eq!(file(options, "cluster-ca.pem"), new);
        assert_eq!(file(options, "cluster-ca-before.pem"), "");
    }
    for at in 0..3 {
        again(&mut cluster, at)?;
    }
    cluster.running()?.ask(&["twin", "patch", "lamp", r#"{"level":1}"#])?;
    let metrics = cluster.running()?.get("/metrics")?;
    let line = "pollux_certificate_end_timestamp_seconds{certificate=\"cluster-ca\"} ";
    let end = metrics.lines().find_map(|found| found.strip_prefix(line)).context("its end")?;
    ensure!(end.parse::<u64>()? > 1_800_000_000, "{end}");
    Ok(())
}
