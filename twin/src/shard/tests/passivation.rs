//! Safety rule 8: a twin is let go only when the table has all its changes and its outputs are out.

use super::*;

fn shard() -> Shard<u32> {
    opened(Options { idle_ms: 100, ..Options::default() })
}

#[test]
fn after_a_quiet_while() {
    let mut shard = shard();
    let slot = shard.activate(at(0), key("one"));
    assert_eq!(shard.next_deadline(), Some(100));
    shard.touch(at(50), slot);
    shard.handle_deadline(at(100));
    assert!(drain(&mut shard).is_empty());
    assert_eq!(shard.next_deadline(), Some(150));
    shard.handle_deadline(at(150));
    assert_eq!(drain(&mut shard), ["passivate 0"]);
    assert!(!shard.is_active(slot));
    assert_eq!(shard.active(), 0);
    let again = shard.activate(at(200), key("two"));
    assert_eq!(again.index(), slot.index());
    assert_ne!(again, slot);
}

#[test]
fn not_with_an_unapplied_change() {
    let mut shard = shard();
    let slot = shard.activate(at(0), key("one"));
    write(&mut shard, slot, 1);
    drain(&mut shard);
    shard.handed(id(1, 1));
    shard.handle_deadline(at(101));
    assert!(drain(&mut shard).is_empty());
    shard.applied(id(1, 1), TOOK);
    shard.handle_deadline(at(201));
    assert_eq!(drain(&mut shard), ["1", "passivate 0"]);
}

#[test]
fn not_with_a_waiting_read() {
    let mut shard = shard();
    let slot = shard.activate(at(0), key("one"));
    read(&mut shard, slot, 1);
    drain(&mut shard);
    shard.handle_deadline(at(101));
    assert!(drain(&mut shard).is_empty());
    shard.barrier_passed(1);
    shard.handle_deadline(at(201));
    assert_eq!(drain(&mut shard), ["1", "passivate 0"]);
}

#[test]
fn not_when_it_was_used_meanwhile() {
    let mut shard = shard();
    let slot = shard.activate(at(0), key("one"));
    shard.handle_deadline(at(100));
    shard.touch(at(101), slot);
    assert!(drain(&mut shard).is_empty());
    assert!(shard.is_active(slot));
    assert_eq!(shard.next_deadline(), Some(201));
}

#[test]
fn not_while_it_must_be_awake() {
    let mut shard = shard();
    let slot = shard.activate(at(0), key("one"));
    shard.keep_awake(at(10), slot);
    shard.handle_deadline(at(100));
    shard.handle_deadline(at(1000));
    assert!(drain(&mut shard).is_empty());
    assert_eq!(shard.next_deadline(), None);
    shard.may_sleep(at(1000), slot);
    shard.may_sleep(at(1010), slot);
    shard.handle_deadline(at(1100));
    shard.handle_deadline(at(1110));
    assert_eq!(drain(&mut shard), ["passivate 0"]);
}

#[test]
fn very_many_quiet_ones_take_several_turns() {
    let mut shard = shard();
    for n in 0..3000 {
        shard.activate(at(0), key(&format!("device-{n}")));
    }
    let mut turns = 0;
    while shard.next_deadline().is_some() {
        shard.handle_deadline(at(100));
        turns += 1;
        assert!(drain(&mut shard).len() <= 1024);
    }
    assert_eq!((turns, shard.active()), (3, 0));
}
