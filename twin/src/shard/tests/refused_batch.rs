//! Safety rule 1: after a refused, lost or skipped batch nothing decided on top of it is seen.

use super::*;

fn two_on_their_way() -> (Shard<u32>, Slot) {
    let mut shard = opened(Options::default());
    let slot = shard.activate(at(0), key("one"));
    write(&mut shard, slot, 1);
    drain(&mut shard);
    shard.handed(id(1, 1));
    write(&mut shard, slot, 2);
    assert_eq!(drain(&mut shard), ["batch 1.2 of 1"]);
    read(&mut shard, slot, 3);
    (shard, slot)
}

#[test]
fn refused() {
    let (mut shard, slot) = two_on_their_way();
    shard.failed(at(2), id(1, 1));
    assert!(!shard.is_active(slot));
    assert_eq!(drain(&mut shard), ["reopen", "open 2"]);
    assert_eq!(shard.bytes(), 0);
    // The log accepts again: neither the old successor nor a late answer frees anything.
    shard.handed(id(1, 2));
    shard.applied(id(1, 2), TOOK);
    shard.applied(id(1, 1), TOOK);
    shard.barrier_passed(1);
    assert!(drain(&mut shard).is_empty());
    shard.applied(id(2, 0), TOOK);
    assert_eq!(drain(&mut shard), ["opened"]);
    let slot = shard.activate(at(3), key("one"));
    write(&mut shard, slot, 4);
    assert_eq!(drain(&mut shard), ["batch 2.1 of 1"]);
    shard.applied(id(1, 1), TOOK);
    assert!(drain(&mut shard).is_empty(), "of another generation");
    shard.applied(id(2, 1), TOOK);
    assert_eq!(drain(&mut shard), ["4"]);
}

#[test]
fn skipped() {
    let (mut shard, _) = two_on_their_way();
    shard.applied(id(1, 1), TOOK);
    shard.applied(id(1, 2), Outcome::Skipped);
    let said = drain(&mut shard);
    assert_eq!(said, ["1", "reopen", "open 2"], "what was committed leaves before the reopening");
}

#[test]
fn closed() {
    let (mut shard, slot) = two_on_their_way();
    shard.close();
    assert!(!shard.is_active(slot));
    shard.applied(id(1, 1), TOOK);
    assert!(drain(&mut shard).is_empty());
    assert!(!shard.is_open());
}

#[test]
#[should_panic(expected = "a slot is used only while its twin is active")]
fn an_actor_of_the_old_generation_is_caught() {
    let (mut shard, slot) = two_on_their_way();
    shard.failed(at(2), id(1, 1));
    drain(&mut shard);
    shard.applied(id(2, 0), TOOK);
    shard.activate(at(3), key("one"));
    write(&mut shard, slot, 4);
}
