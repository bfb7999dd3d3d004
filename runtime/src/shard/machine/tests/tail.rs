//! A state taken while entries are applied, and the log's tail after it, come to the same bytes.

use super::*;
use crate::watch::Need;

#[test]
fn a_state_and_the_tail_after_it_come_to_the_same() {
    for seed in 1..=6 {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let (mut a, mut b) = (Node::open(dirs[0].path()), Node::open(dirs[1].path()));
        let mut entries = Entries::new(seed, 400, 2000);
        a.apply(&Entries::open());
        // One was here before: what it holds must not shine through.
        b.apply(&Entries::open());
        for _ in 0..300 {
            let entry = entries.next();
            if entries.number < 40 {
                b.apply(&entry);
            }
            a.apply(&entry);
            if entries.number.is_multiple_of(100) {
                a.keep.write(&a.replica).unwrap();
                b.keep.write(&b.replica).unwrap();
            }
        }
        let position = a.replica.place().0.unwrap();
        let mut source = a.machine.snapshot().unwrap();
        let then = a.picture();
        let (mut chunks, mut tail) = (Vec::new(), Vec::new());
        while let Some(chunk) = source.next_chunk().unwrap() {
            chunks.push(chunk);
            for _ in 0..20 {
                let entry = entries.next();
                a.apply(&entry);
                tail.push(entry);
            }
            a.keep.write(&a.replica).unwrap();
        }
        assert!(chunks.len() > 2, "{} chunks are too few to fall between", chunks.len());
        b.take_in(position, chunks).unwrap();
        assert_eq!(b.picture(), then, "seed {seed}");
        assert_eq!(b.replica.place().1, "members");
        let (first, last) = tail.split_at(tail.len() / 2);
        first.iter().for_each(|entry| b.apply(entry));
        // What is on the disk is as good: one restart right after, one in the middle of the tail.
        b.keep.write(&b.replica).unwrap();
        drop(b);
        let mut b = Node::open(dirs[1].path());
        last.iter().for_each(|entry| b.apply(entry));
        assert_eq!(b.picture(), a.picture(), "seed {seed}");
        assert_eq!(a.picture().counts.quarantined, 0, "changes must fit their twins");
        // And it can bring up a third.
        let dir = tempfile::tempdir().unwrap();
        let mut c = Node::open(dir.path());
        let chunks = drained(b.machine.snapshot().unwrap());
        c.take_in(b.replica.place().0.unwrap(), chunks).unwrap();
        drop(c);
        assert_eq!(Node::open(dir.path()).picture(), a.picture(), "seed {seed}");
    }
}

#[test]
fn pictures_go_beside_each_other_and_end_with_their_table() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (mut a, mut b) = (Node::open(dirs[0].path()), Node::open(dirs[1].path()));
    assert!(a.machine.snapshot().is_err(), "there is nothing yet");
    let mut entries = Entries::new(5, 50, 30_000);
    a.apply(&Entries::open());
    (0..100).for_each(|_| a.apply(&entries.next()));
    let position = a.replica.place().0.unwrap();
    let mut sources = [a.machine.snapshot().unwrap(), a.machine.snapshot().unwrap()];
    let first: Vec<_> = sources.iter_mut().map(|s| s.next_chunk().unwrap().unwrap()).collect();
    assert_eq!(first[0], first[1]);
    let [mut one, other] = sources;
    b.take_in(position, drained(a.machine.snapshot().unwrap())).unwrap();
    // Another state takes the place of the one that is being sent.
    b.apply(&entries.next());
    a.take_in(b.replica.place().0.unwrap(), drained(b.machine.snapshot().unwrap())).unwrap();
    let error = one.next_chunk().and_then(|_| one.next_chunk()).unwrap_err().to_string();
    assert!(error.contains("has ended"), "{error}");
    drop((one, other));
    assert_eq!(a.picture(), b.picture());
}

#[test]
fn whoever_watches_begins_again() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (mut a, mut b) = (Node::open(dirs[0].path()), Node::open(dirs[1].path()));
    let mut entries = Entries::new(5, 10, 10);
    for node in [&mut a, &mut b] {
        node.apply(&Entries::open());
    }
    let first = entries.next();
    a.apply(&first);
    b.apply(&first);
    let before = b.replica.hub().head();
    (0..20).for_each(|_| a.apply(&entries.next()));
    let position = a.replica.place().0.unwrap();
    b.take_in(position, drained(a.machine.snapshot().unwrap())).unwrap();
    assert!(b.replica.hub().after(before, 9, Need::Changes).is_err(), "what it missed is not kept");
    let now = b.replica.hub().head();
    assert_eq!(now.index, position.index);
    let next = entries.next();
    let Entry::Batch { changes, .. } = &next else { unreachable!("entries are batches") };
    b.apply(&next);
    let (events, _) = b.replica.hub().after(now, 99, Need::Changes).unwrap();
    assert_eq!(events.len(), changes.len());
    assert_eq!(b.picture().counts.quarantined, 0, "changes must fit their twins");
}
