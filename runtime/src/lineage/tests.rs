//! What is cut short leaves the old life, or can be ended.

use std::fs;
use std::path::{Path, PathBuf};

use pollux_cluster::{DataDir, Identity, NodeId, Standing, Uuid};

use super::recover::LineageFault;
use super::swap::{NEXT, begin, end, end_begun};

fn identity(node: u64, lineage: u64) -> Identity {
    Identity {
        cluster: Uuid(7),
        node_uuid: Uuid(u128::from(node)),
        node: NodeId(node),
        lineage,
        shards: 2,
        starts: 0,
        standing: Standing::Member,
    }
}

/// A directory whose parts say in which life they are.
fn directory(dir: &Path, node: u64, lineage: u64) -> DataDir {
    let mut held = DataDir::lock(dir).unwrap();
    for part in ["log", "checkpoints"] {
        fs::create_dir_all(dir.join(part)).unwrap();
        fs::write(dir.join(part).join("life"), lineage.to_string()).unwrap();
    }
    fs::write(dir.join("peers"), lineage.to_string()).unwrap();
    held.found(identity(node, lineage), &["log", "checkpoints", "peers"]).unwrap();
    held
}

/// Two directories with their next lives beside them.
fn two(at: &Path) -> Vec<PathBuf> {
    let make = |node: u64| {
        let path = at.join(format!("node-{node}"));
        drop(directory(&path, node, 1));
        drop(directory(&path.join(NEXT), node + 2, 2));
        path
    };
    [1, 2].map(make).into()
}

fn held(paths: &[PathBuf]) -> Vec<DataDir> {
    paths.iter().map(|path| DataDir::lock(path).unwrap()).collect()
}

fn check(path: &Path, node: u64, lineage: u64) {
    let dir = DataDir::lock(path).unwrap();
    assert_eq!(dir.identity(), Some(&identity(node, lineage)), "{}", path.display());
    for part in ["log/life", "checkpoints/life", "peers"] {
        assert_eq!(fs::read_to_string(path.join(part)).unwrap(), lineage.to_string(), "{part}");
    }
}

#[test]
fn the_next_life_takes_the_place_of_the_old_one_which_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let paths = two(dir.path());
    assert!(!end_begun(&paths).unwrap(), "nothing counts yet");
    let dirs = held(&paths);
    begin(&dirs).unwrap();
    end(&dirs).unwrap();
    drop(dirs);
    for (path, node) in paths.iter().zip([3, 4]) {
        check(path, node, 2);
        check(&path.join("before-lineage-2"), node - 2, 1);
        assert!(!path.join(NEXT).exists());
    }
    assert!(!end_begun(&paths).unwrap(), "it is over");
}

#[test]
fn what_was_cut_short_is_ended_wherever_it_was() {
    // Each of these is moved in one step; a crash comes before any of them.
    let steps: [(&str, &str); 5] = [
        ("identity", "before-lineage-2/identity"),
        ("log", "before-lineage-2/log"),
        ("next-life/log", "log"),
        ("checkpoints", "before-lineage-2/checkpoints"),
        ("next-life/checkpoints", "checkpoints"),
    ];
    for done in 0..=steps.len() {
        let dir = tempfile::tempdir().unwrap();
        let paths = two(dir.path());
        begin(&held(&paths)).unwrap();
        fs::create_dir_all(paths[0].join("before-lineage-2")).unwrap();
        for (from, to) in &steps[..done] {
            fs::rename(paths[0].join(from), paths[0].join(to)).unwrap();
        }
        if done > 0 {
            let held = DataDir::lock(&paths[0]).unwrap();
            assert!(held.identity().is_none(), "no node starts from what is half moved");
            let refused = held.holds_only(&["log", "checkpoints"]).unwrap_err().to_string();
            assert!(refused.contains("should be empty"), "{refused}");
        }
        let one = end_begun(&paths[..1]);
        assert!(matches!(one, Err(LineageFault::Begun { .. })), "the other has a part in it");
        assert!(end_begun(&paths).unwrap());
        check(&paths[0], 3, 2);
        check(&paths[1], 4, 2);
    }
}

#[test]
fn a_list_beside_one_of_them_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    let paths = two(dir.path());
    begin(&held(&paths)).unwrap();
    fs::remove_file(paths[0].join(NEXT).join("together")).unwrap();
    assert!(end_begun(&paths).unwrap());
    check(&paths[0], 3, 2);
    check(&paths[1], 4, 2);
}
