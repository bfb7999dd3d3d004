//! A flipped byte on disk, in the log or in a checkpoint: refused at the next start, with the place
//! named.

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

#[test]
fn a_flipped_byte_in_a_checkpoint_is_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = NodeOptions::new(&dir.path().join("data"));
    let node = options.start()?;
    node.ask(&["twin", "patch", "lamp1", r#"{"level":1}"#])?;
    // A stop in order writes a last checkpoint.
    node.stop()?;
    let tree = {
        let db = sled::open(dir.path().join("data/checkpoints"))?;
        let key = b"tdefault/lamp1";
        let names = db.tree_names();
        let mut trees = names.iter().map(|name| (name, db.open_tree(name)));
        let (name, tree) = trees
            .find(|(_, tree)| tree.as_ref().is_ok_and(|tree| tree.contains_key(key) == Ok(true)))
            .context("a tree that holds the twin")?;
        let tree = tree?;
        let mut image = tree.get(key)?.context("its image")?.to_vec();
        *image.last_mut().context("it has bytes")? ^= 1;
        tree.insert(key, image)?;
        db.flush()?;
        String::from_utf8(name.to_vec())?
    };
    let said = options.refused()?;
    assert!(said.contains(&format!("tree {tree}, key default/lamp1 is damaged")), "{said}");
    Ok(())
}
