//! Where the binary under test is: beside the tests, built if it is not there or not new.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow};

/// The `pollux` binary: `TEST_POLLUX` if set, otherwise this workspace's own, built once a run.
pub fn pollux() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.clone().map_err(|text| anyhow!(text))
}

fn build() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("TEST_POLLUX") {
        return Ok(PathBuf::from(given));
    }
    // target/<profile>/deps/<test> → target/<profile>/pollux
    let test = std::env::current_exe()?;
    let deps = test.parent().context("a test lies in a folder")?;
    let profile = deps.parent().context("a test's folder lies in the profile's")?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // As `cargo test --workspace` builds it for the binary's own tests: a plain build would give
    // dependencies other features, and compile all of them a second time.
    cargo.args(["test", "--workspace", "--no-run", "--test", "cli"]);
    cargo.arg("--target-dir").arg(profile.parent().context("a profile lies in the target")?);
    if profile.file_name().is_some_and(|name| name == "release") {
        cargo.arg("--release");
    }
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = cargo.output().context("run cargo")?;
    if !output.status.success() {
        return Err(anyhow!("build pollux: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(profile.join("pollux"))
}
