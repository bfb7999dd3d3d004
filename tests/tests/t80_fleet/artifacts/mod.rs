//! Artifacts through the real program: every door, ranges, digests and signatures, names that must not be, three nodes
//! of which some are killed, devices that come for them over QUIC, and jobs that have them come.

mod bytes;
mod devices;
mod nodes;
mod refused;

use anyhow::{Context, Result, ensure};
use pollux_device::digest::Sha256;
use pollux_proto::hex::hex;
use pollux_tests::node::{NodeProcess, Reply};
use serde_json::Value;

/// Text that is not the same for any two seeds, of so many bytes.
fn content(seed: u64, bytes: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:016x}"));
    }
    text.truncate(bytes);
    text
}

fn digest(text: &str) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(text.as_bytes());
    hasher.finish()
}

fn put(node: &NodeProcess, named: &str, headers: &[(&str, &str)], body: &str) -> Result<Reply> {
    node.send("PUT", &format!("/v1/artifacts/{named}"), headers, body.as_bytes())
}

fn get(node: &NodeProcess, named: &str, headers: &[(&str, &str)]) -> Result<Reply> {
    node.send("GET", &format!("/v1/artifacts/{named}"), headers, b"")
}

fn ok(reply: &Reply) -> Result<Value> {
    ensure!(reply.status == 200, "{reply:?}");
    reply.json()
}

/// Whether an answer is a refusal that says so.
fn refuses(reply: &Reply, status: u16, said: &str) -> Result<()> {
    ensure!(reply.status == status && reply.body.contains(said), "not {status}, {said}: {reply:?}");
    Ok(())
}

/// The names of the artifacts that a node knows.
fn listed(node: &NodeProcess) -> Result<Vec<String>> {
    let found = node.ask(&["artifact", "list"])?;
    let all = found["artifacts"].as_array().context("artifacts")?;
    let name = |one: &Value| format!("{}@{}", one["name"], one["version"]).replace('"', "");
    Ok(all.iter().map(name).collect())
}

/// The files of artifacts on a node's disk.
fn files(node: &std::path::Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(node.join("artifacts"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn sha256(text: &str) -> String {
    hex(&digest(text))
}
