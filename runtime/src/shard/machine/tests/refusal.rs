//! A state that is not whole is not taken, and the old one stays as it was: in memory and on the disk.

use super::*;

/// A replica that has something else, and the state of another.
fn two() -> (tempfile::TempDir, Node, Position, Vec<Bytes>) {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (mut a, mut b) = (Node::open(dirs[0].path()), Node::open(dirs[1].path()));
    let mut entries = Entries::new(8, 60, 20_000);
    for node in [&mut a, &mut b] {
        node.apply(&Entries::open());
    }
    let mut own = Entries::new(1, 20, 10);
    (0..10).for_each(|_| b.apply(&own.next()));
    (0..150).for_each(|_| a.apply(&entries.next()));
    b.keep.write(&b.replica).unwrap();
    let (position, chunks) = (a.replica.place().0.unwrap(), drained(a.machine.snapshot().unwrap()));
    assert!(chunks.len() > 3);
    let [_, dir] = dirs;
    (dir, b, position, chunks)
}

#[test]
fn damaged_cut_doubled_and_reordered_chunks_leave_the_old_state_whole() {
    let (dir, mut b, position, chunks) = two();
    let old = b.picture();
    let mut damaged = chunks.clone();
    let mut bytes = damaged[2].to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    damaged[2] = bytes.into();
    let mut missing = chunks.clone();
    missing.remove(1);
    let mut doubled = chunks.clone();
    doubled.insert(2, chunks[2].clone());
    let mut reordered = chunks.clone();
    reordered.swap(1, 2);
    let cut = chunks[..chunks.len() - 1].to_vec();
    let mut more = chunks.clone();
    more.push(chunks[0].clone());
    for bad in [damaged, missing, doubled, reordered, cut, more, Vec::new()] {
        let error = b.take_in(position, bad).unwrap_err();
        assert!(matches!(error, Fault::StateMachine(_)), "{error}");
        assert_eq!(b.picture(), old);
    }
    let elsewhere = Position { index: position.index + 1, ..position };
    let error = b.take_in(elsewhere, chunks.clone()).unwrap_err().to_string();
    assert!(error.contains("should be of shard"), "{error}");
    assert_eq!(b.picture(), old);
    b.free.store(1 << 20, Relaxed);
    let error = b.take_in(position, chunks.clone()).unwrap_err().to_string();
    assert!(error.contains("make room"), "{error}");
    assert_eq!(b.picture(), old);
    drop(b);
    let mut b = Node::open(dir.path());
    assert_eq!(b.picture(), old);
    // The old state goes on, and the whole one is taken in the end.
    b.apply(&Entries::new(1, 20, 10).next());
    b.keep.write(&b.replica).unwrap();
    b.take_in(position, chunks).unwrap();
    let new = b.picture();
    assert_ne!(new, old);
    drop(b);
    assert_eq!(Node::open(dir.path()).picture(), new);
}

#[test]
fn a_source_that_fails_leaves_the_old_state_whole() {
    struct Failing(std::vec::IntoIter<Bytes>);
    impl SnapshotSource for Failing {
        fn next_chunk(&mut self) -> Result<Option<Bytes>, Fault> {
            self.0.next().map(Some).ok_or(Fault::Closed("the link"))
        }
    }
    let (dir, mut b, position, mut chunks) = two();
    let old = b.picture();
    chunks.truncate(2);
    let source = Box::new(Failing(chunks.into_iter()));
    assert!(b.machine.install(position, Bytes::new(), source).is_err());
    assert_eq!(b.picture(), old);
    drop(b);
    assert_eq!(Node::open(dir.path()).picture(), old);
}
