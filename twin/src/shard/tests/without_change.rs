//! Safety rule 3: what tells a twin's state waits for its newest change and for a later barrier.

use super::*;

#[test]
fn a_read_waits_for_a_barrier_that_began_after_it() {
    let mut shard = opened(Options::default());
    let slot = shard.activate(at(0), key("one"));
    read(&mut shard, slot, 1);
    read(&mut shard, slot, 2);
    assert_eq!(drain(&mut shard), ["barrier 1"], "reads of a turn share one");
    read(&mut shard, slot, 3);
    assert!(drain(&mut shard).is_empty(), "one barrier at a time");
    shard.barrier_passed(1);
    assert_eq!(drain(&mut shard), ["barrier 2", "1", "2"]);
    shard.barrier_passed(1);
    assert!(drain(&mut shard).is_empty(), "an answer counts once");
    shard.barrier_passed(2);
    assert_eq!(drain(&mut shard), ["3"]);
    assert!(shard.is_drained());
}

#[test]
fn a_read_waits_for_what_it_saw() {
    let mut shard = opened(Options::default());
    let slot = shard.activate(at(0), key("one"));
    write(&mut shard, slot, 1);
    read(&mut shard, slot, 2);
    assert_eq!(drain(&mut shard), ["batch 1.1 of 1", "barrier 1"]);
    shard.barrier_passed(1);
    assert!(drain(&mut shard).is_empty());
    shard.applied(id(1, 1), TOOK);
    assert_eq!(drain(&mut shard), ["1", "2"]);
}

#[test]
fn later_outputs_of_the_twin_do_not_overtake_a_read() {
    let mut shard = opened(Options::default());
    let (one, two) = (shard.activate(at(0), key("one")), shard.activate(at(0), key("two")));
    write(&mut shard, one, 1);
    read(&mut shard, one, 2);
    write(&mut shard, one, 3);
    write(&mut shard, two, 21);
    drain(&mut shard);
    shard.applied(id(1, 1), TOOK);
    assert_eq!(drain(&mut shard), ["1", "21"]);
    read(&mut shard, one, 4);
    shard.barrier_passed(1);
    assert_eq!(drain(&mut shard), ["barrier 2", "2", "3"]);
    write(&mut shard, one, 5);
    drain(&mut shard);
    shard.applied(id(1, 2), TOOK);
    assert!(drain(&mut shard).is_empty(), "5 comes after 4");
    shard.barrier_passed(2);
    assert_eq!(drain(&mut shard), ["4", "5"]);
}

#[test]
fn a_failed_barrier_is_tried_again_after_a_pause() {
    let mut shard = opened(Options::default());
    let slot = shard.activate(at(0), key("one"));
    read(&mut shard, slot, 1);
    drain(&mut shard);
    read(&mut shard, slot, 2);
    shard.barrier_failed(at(10), 1);
    assert!(drain(&mut shard).is_empty());
    assert_eq!(shard.next_deadline(), Some(60));
    shard.handle_deadline(at(59));
    assert!(drain(&mut shard).is_empty());
    shard.handle_deadline(at(60));
    assert_eq!(drain(&mut shard), ["barrier 1"]);
    shard.barrier_passed(1);
    assert_eq!(drain(&mut shard), ["barrier 2", "1"]);
}

#[test]
fn an_answer_to_a_dropped_barrier_does_not_pass_a_later_one() {
    let mut shard = opened(Options::default());
    let slot = shard.activate(at(0), key("one"));
    read(&mut shard, slot, 1);
    assert_eq!(drain(&mut shard), ["barrier 1"]);
    shard.close();
    shard.open(at(1), EPOCH, &Fence::default());
    assert_eq!(drain(&mut shard), ["open 2"]);
    shard.applied(id(2, 0), TOOK);
    let slot = shard.activate(at(0), key("one"));
    read(&mut shard, slot, 2);
    assert_eq!(drain(&mut shard), ["barrier 2", "opened"]);
    shard.barrier_passed(1);
    assert!(drain(&mut shard).is_empty());
    shard.barrier_passed(2);
    assert_eq!(drain(&mut shard), ["2"]);
}
