//! A flipped byte on disk: refused at the next start, with the place named.

use anyhow::{Context, Result};
use pollux_tests::node::NodeOptions;

#[test]
fn a_flipped_byte_in_the_log_is_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = NodeOptions::new(&dir.path().join("data"));
    let node = options.start()?;
    for lamp in 1..=8 {
        node.ask(&["twin", "patch", &format!("lamp{lamp}"), r#"{"level":1}"#])?;
    }
    node.kill()?;
    // Not the last record: that could be a torn tail, which is cut off.
    let path = dir.path().join("data/log/0000000000000001.log");
    let mut bytes = std::fs::read(&path)?;
    let at = bytes.windows(5).position(|bytes| bytes == b"lamp3").context("its entry")?;
    bytes[at] ^= 1;
    std::fs::write(&path, bytes)?;
    let said = options.refused()?;
    assert!(said.contains("0000000000000001.log is damaged at byte"), "{said}");
    Ok(())
}
