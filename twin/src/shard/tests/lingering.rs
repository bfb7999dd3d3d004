//! Ends of sessions, which nobody waits for, go along with the next change or after a moment.

use super::*;

fn disconnected(session: u64) -> Change {
    let effect = Effect::Disconnected { session };
    Change { at: Time::from_ms(5), mark: Mark::None, effect }
}

fn leaves(shard: &mut Shard<u32>, slot: Slot, ms: u64) {
    shard.decided(at(ms), slot, [disconnected(1)], empty::<(u32, usize)>(), Wait::Changes);
}

fn two_twins(linger_ms: u64) -> (Shard<u32>, Slot, Slot) {
    let mut shard = opened(Options { linger_ms, ..Options::default() });
    let one = shard.activate(at(1), key("one"));
    let two = shard.activate(at(1), key("two"));
    (shard, one, two)
}

#[test]
fn the_end_of_a_session_goes_when_it_is_due() {
    let (mut shard, one, two) = two_twins(100);
    leaves(&mut shard, one, 10);
    leaves(&mut shard, two, 60);
    assert!(drain(&mut shard).is_empty());
    assert_eq!(shard.next_deadline(), Some(110));
    shard.handle_deadline(at(109));
    assert!(drain(&mut shard).is_empty());
    assert!(!shard.is_drained());
    shard.handle_deadline(at(110));
    assert_eq!(drain(&mut shard), ["batch 1.1 of 2"]);
}

#[test]
fn another_change_takes_it_along() {
    let (mut shard, one, two) = two_twins(100);
    leaves(&mut shard, one, 10);
    write(&mut shard, two, 7);
    leaves(&mut shard, one, 10);
    assert_eq!(drain(&mut shard), ["batch 1.1 of 3"]);
    shard.handed(id(1, 1));
    shard.applied(id(1, 1), TOOK);
    assert_eq!(drain(&mut shard), ["7"]);
}

#[test]
fn a_read_that_must_see_it_does_not_wait_for_the_linger() {
    let (mut shard, one, _) = two_twins(100);
    leaves(&mut shard, one, 10);
    read(&mut shard, one, 8);
    assert_eq!(drain(&mut shard), ["batch 1.1 of 1", "barrier 1"]);
    shard.barrier_passed(1);
    assert!(drain(&mut shard).is_empty(), "it shows a change that may still be lost");
    shard.handed(id(1, 1));
    shard.applied(id(1, 1), TOOK);
    assert_eq!(drain(&mut shard), ["8"]);
}

#[test]
fn in_a_hurry_nothing_lingers() {
    let (mut shard, one, two) = two_twins(100);
    leaves(&mut shard, one, 10);
    shard.hurry();
    assert_eq!(drain(&mut shard), ["batch 1.1 of 1"]);
    shard.handed(id(1, 1));
    leaves(&mut shard, two, 20);
    shard.handle_deadline(at(20));
    assert_eq!(drain(&mut shard), ["batch 1.2 of 1"]);
}
