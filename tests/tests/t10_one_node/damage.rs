//! A flipped byte on disk, in the log or in a checkpoint: refused at the next start, with the place
//! named.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use pollux_tests::node::{NodeOptions, NodeProcess};
use serde_json::Value;

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

/// Twins whose checkpoint is damaged below.
const TWINS: usize = 16;
/// Bytes flipped in each of sled's files.
const FLIPS: usize = 12;

fn small(data: &Path) -> NodeOptions {
    NodeOptions::new(data)
        .with("POLLUX_CLUSTER__SHARDS", "2")
        .with("POLLUX_LOG__SEGMENT_BYTES", "4194304")
}

fn documents(node: &NodeProcess) -> Result<Vec<Value>> {
    let one = |number| {
        let twin = node.twin(&format!("lamp{number}"))?;
        Ok(serde_json::json!([twin["desired"], twin["tags"], twin["versions"], twin["version"]]))
    };
    (0..TWINS).map(one).collect()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// sled's own files, as one checkpoint left them.
fn files(checkpoints: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(checkpoints)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// Places spread over what a file holds: most of sled's file is zeros that were never written.
fn places(bytes: &[u8]) -> Vec<usize> {
    let written: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let step = (written.len() / FLIPS).max(1);
    written.into_iter().step_by(step).take(FLIPS).collect()
}

/// sled takes much of its own damage for a torn end and goes on with what was before. A node that
/// starts over such a checkpoint must have made it good from its log, or refuse and say where.
#[test]
fn a_flipped_byte_in_sleds_own_files_is_refused_or_harmless() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (sound, data) = (dir.path().join("sound"), dir.path().join("data"));
    let node = small(&sound).start()?;
    for number in 0..TWINS {
        let pad = "p".repeat(40 * number);
        let patch = format!("{{\"level\":{number},\"pad\":\"{pad}\"}}");
        node.send_json("PATCH", &format!("/v1/twins/lamp{number}/desired"), &patch)?;
        node.send_json("PATCH", &format!("/v1/twins/lamp{number}/tags"), r#"{"room":1}"#)?;
    }
    let expected = documents(&node)?;
    ensure!(node.stop()?.success(), "it stops in order, with a last checkpoint");

    let (mut refused, mut harmless) = (0, 0);
    for file in files(&sound.join("checkpoints"))? {
        let name = file.file_name().context("a file has a name")?;
        let bytes = std::fs::read(&file)?;
        for at in places(&bytes) {
            let _none_yet = std::fs::remove_dir_all(&data);
            copy(&sound, &data)?;
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            std::fs::write(data.join("checkpoints").join(name), damaged)?;
            let what = format!("{} damaged at byte {at}", name.display());
            match small(&data).start() {
                Ok(node) => {
                    ensure!(documents(&node)? == expected, "{what}: served wrong");
                    harmless += 1;
                }
                Err(error) => {
                    let said = format!("{error:#}");
                    let named = said.contains("tree ") || said.contains("checkpoints");
                    ensure!(named && !said.contains("panicked"), "{what}: {said}");
                    refused += 1;
                }
            }
        }
    }
    eprintln!("sled's files: {refused} flips refused, {harmless} made good");
    ensure!(refused + harmless >= FLIPS, "sled's files were found");
    Ok(())
}
