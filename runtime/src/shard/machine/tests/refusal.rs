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
fn a_state_that_does_not_come_to_its_end_leaves_the_old_one_whole() {
    let (dir, mut b, position, chunks) = two();
    let old = b.picture();
    for some in 0..chunks.len() {
        let mut sink = b.machine.sinks()().unwrap();
        chunks[..some].iter().for_each(|chunk| sink.push(chunk.clone()).unwrap());
        assert_eq!(b.picture(), old, "nothing of it is seen");
        assert!(b.machine.install(position, Bytes::new(), sink).is_err(), "it never ended");
        assert_eq!(b.picture(), old);
    }
    drop(b);
    assert_eq!(Node::open(dir.path()).picture(), old);
}

#[test]
fn what_comes_goes_to_the_disk_and_the_old_state_goes_on() {
    let (dir, mut b, position, chunks) = two();
    let mut sink = b.machine.sinks()().unwrap();
    let mut own = Entries::new(1, 20, 10);
    (0..10).for_each(|_| drop(own.next()));
    for chunk in chunks {
        sink.push(chunk).unwrap();
        // Entries are applied and checkpoints made meanwhile.
        b.apply(&own.next());
        b.keep.write(&b.replica).unwrap();
    }
    sink.end(position).unwrap();
    let old = b.picture();
    b.machine.install(position, Bytes::new(), sink).unwrap();
    let new = b.picture();
    assert_ne!(new, old);
    drop(b);
    assert_eq!(Node::open(dir.path()).picture(), new);
}
