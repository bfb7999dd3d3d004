//! Verbs of the command line that need no running node.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use serde_json::Value;

use super::binary;

/// Runs a verb; the JSON that it prints.
pub fn offline(verb: &[&str], variables: &[(&str, &str)]) -> Result<Value> {
    let output = Command::new(binary::pollux()?)
        .args(verb)
        .args(["--output", "json"])
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{verb:?}: {}; it said: {said}", output.status);
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
