//! Whenever a crash comes while a state is taken in, the old one or the new one is there, whole.

use std::fs;

use super::*;

/// The directory as a process that is killed now would leave it.
fn killed(dir: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                fs::create_dir(&to).unwrap();
                copy(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    let left = tempfile::tempdir().unwrap();
    copy(dir, left.path());
    left
}

#[test]
fn the_old_or_the_new_state_is_whole_after_a_crash() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (mut a, mut b) = (Node::open(dirs[0].path()), Node::open(dirs[1].path()));
    let mut entries = Entries::new(8, 300, 8_000);
    for node in [&mut a, &mut b] {
        node.apply(&Entries::open());
    }
    let mut own = Entries::new(1, 20, 10);
    (0..20).for_each(|_| b.apply(&own.next()));
    (0..300).for_each(|_| a.apply(&entries.next()));
    b.keep.write(&b.replica).unwrap();
    let old = b.picture();
    let (position, chunks) = (a.replica.place().0.unwrap(), drained(a.machine.snapshot().unwrap()));
    let mut left = Vec::new();
    b.take_in_from(position, chunks.clone(), || left.push(killed(dirs[1].path()))).unwrap();
    let new = b.picture();
    assert_eq!(left.len(), chunks.len() + 2);
    for (step, left) in left.iter().enumerate() {
        let mut again = Node::open(left.path());
        assert_eq!(again.picture(), old, "step {step}");
        if step % 3 == 0 {
            // It is tried again, and that holds.
            again.take_in(position, chunks.clone()).unwrap();
            drop(again);
            assert_eq!(Node::open(left.path()).picture(), new, "step {step}");
        }
    }
    assert_eq!(Node::open(killed(dirs[1].path()).path()).picture(), new);
}

#[test]
fn a_crash_around_the_flip_leaves_one_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let name = "shard-3";
    let header = |tree: &str, store: &Store| {
        let header = store.tree(name).unwrap().header().unwrap();
        assert_eq!(header.as_deref(), Some(tree.as_bytes()), "{tree}");
    };
    let store = opened(dir.path());
    let values = || [("a/x", Some("1"))].into_iter();
    store.tree(name).unwrap().write(b"old", values()).unwrap();
    store.sync().unwrap();
    let fresh = store.fresh(name).unwrap();
    fresh.fill([("a/y", b"1".as_slice())].into_iter()).unwrap();
    store.sync().unwrap();
    header("old", &opened(killed(dir.path()).path()));
    fresh.write(b"new", values()).unwrap();
    store.sync().unwrap();
    header("old", &opened(killed(dir.path()).path()));
    let old = store.flip(name, &fresh).unwrap();
    header("new", &opened(killed(dir.path()).path()));
    store.discard(old).unwrap();
    header("new", &opened(killed(dir.path()).path()));
    store.sync().unwrap();
    header("new", &opened(killed(dir.path()).path()));
}
