//! Safety rule 2: an output leaves by the answer to its own batch, and by no other.

use super::*;

#[test]
fn not_by_the_answer_of_a_neighbour() {
    let mut shard = opened(Options::default());
    let (one, two) = (shard.activate(at(0), key("one")), shard.activate(at(0), key("two")));
    write(&mut shard, one, 1);
    drain(&mut shard);
    shard.handed(id(1, 1));
    write(&mut shard, two, 2);
    drain(&mut shard);
    shard.applied(id(1, 1), TOOK);
    assert_eq!(drain(&mut shard), ["1"]);
    shard.applied(id(1, 2), TOOK);
    assert_eq!(drain(&mut shard), ["2"]);
}

#[test]
fn being_handed_to_the_log_releases_nothing() {
    let mut shard = opened(Options::default());
    let slot = shard.activate(at(0), key("one"));
    write(&mut shard, slot, 1);
    drain(&mut shard);
    shard.handed(id(1, 1));
    assert!(drain(&mut shard).is_empty());
}

#[test]
fn a_repetition_waits_for_the_original() {
    let mut shard = opened(Options::default());
    let slot = shard.activate(at(0), key("one"));
    write(&mut shard, slot, 1);
    shard.decided(at(1), slot, empty(), [(1, 10)], Wait::Changes);
    assert_eq!(drain(&mut shard), ["batch 1.1 of 1"]);
    shard.applied(id(1, 1), TOOK);
    assert_eq!(drain(&mut shard), ["1", "1"]);
    shard.decided(at(1), slot, empty(), [(1, 10)], Wait::Changes);
    assert_eq!(drain(&mut shard), ["1"], "nothing is on its way");
}
