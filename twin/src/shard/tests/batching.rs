//! When a batch goes: the last was handed to the log, or this one is full; at most two on their way.

use super::*;

#[test]
fn a_turn_is_one_batch_and_the_next_waits_for_the_log() {
    let mut shard = opened(Options::default());
    let one = shard.activate(at(0), key("one"));
    let two = shard.activate(at(0), key("two"));
    write(&mut shard, one, 11);
    write(&mut shard, two, 21);
    assert_eq!(drain(&mut shard), ["batch 1.1 of 2"]);
    write(&mut shard, one, 12);
    assert!(drain(&mut shard).is_empty(), "the first was not handed over");
    write(&mut shard, two, 22);
    shard.handed(id(1, 1));
    assert_eq!(drain(&mut shard), ["batch 1.2 of 2"]);
    write(&mut shard, one, 13);
    shard.handed(id(1, 2));
    assert!(drain(&mut shard).is_empty(), "two are on their way");
    shard.applied(id(1, 1), TOOK);
    assert_eq!(drain(&mut shard), ["batch 1.3 of 1", "11", "21"]);
    shard.applied(id(1, 2), TOOK);
    shard.applied(id(1, 3), TOOK);
    assert_eq!(drain(&mut shard), ["12", "22", "13"]);
    assert!(shard.is_drained());
    assert_eq!(shard.bytes(), 0);
}

#[test]
fn a_full_batch_does_not_wait_to_follow() {
    let mut shard = opened(Options { batch_bytes_max: 2000, ..Options::default() });
    let slot = shard.activate(at(0), key("one"));
    for output in 0..4 {
        shard.decided(at(1), slot, [change(1000)], [(output, 10)], Wait::Changes);
    }
    assert_eq!(drain(&mut shard), ["batch 1.1 of 2", "batch 1.2 of 2"]);
}

#[test]
fn the_changes_of_a_decision_stay_together() {
    let mut shard = opened(Options { batch_bytes_max: 500, ..Options::default() });
    let slot = shard.activate(at(0), key("one"));
    shard.decided(at(1), slot, [change(400), change(400), change(400)], [(1, 1)], Wait::Changes);
    assert_eq!(drain(&mut shard), ["batch 1.1 of 3"]);
}

#[test]
fn answers_may_come_in_any_order() {
    let mut shard = opened(Options::default());
    let slot = shard.activate(at(0), key("one"));
    write(&mut shard, slot, 1);
    assert_eq!(drain(&mut shard), ["batch 1.1 of 1"]);
    shard.handed(id(1, 1));
    write(&mut shard, slot, 2);
    assert_eq!(drain(&mut shard), ["batch 1.2 of 1"]);
    shard.applied(id(1, 2), TOOK);
    assert!(drain(&mut shard).is_empty(), "a slot's outputs leave in order");
    shard.applied(id(1, 1), TOOK);
    assert_eq!(drain(&mut shard), ["1", "2"]);
    shard.handed(id(1, 2));
}
