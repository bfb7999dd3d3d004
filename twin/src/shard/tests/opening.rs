//! Safety rule 4: a generation begins with an opening, and nothing is served before it is applied.

use super::*;

#[test]
fn above_what_the_table_saw() {
    let mut shard = Shard::<u32>::new(Options::default());
    let fence = Fence { epoch: EPOCH, generation: 7, number: 3, time: Time::from_ms(9) };
    shard.open(at(0), EPOCH, &fence);
    assert_eq!(drain(&mut shard), ["open 8"]);
    assert!(!shard.is_open());
    shard.close();
    shard.open(at(0), EPOCH, &fence);
    assert_eq!(drain(&mut shard), ["open 9"], "the first opening may still be applied");
}

#[test]
fn a_failed_opening_is_tried_again_as_a_new_generation() {
    let mut shard = Shard::<u32>::new(Options::default());
    shard.open(at(0), EPOCH, &Fence::default());
    assert_eq!(drain(&mut shard), ["open 1"]);
    shard.failed(at(10), id(1, 0));
    assert!(drain(&mut shard).is_empty());
    assert_eq!(shard.next_deadline(), Some(60));
    shard.handle_deadline(at(60));
    assert_eq!(drain(&mut shard), ["open 2"]);
    shard.applied(id(1, 0), TOOK);
    assert!(!shard.is_open(), "generation 1 was given up");
    shard.applied(id(2, 0), TOOK);
    assert!(shard.is_open());
}

#[test]
fn a_skipped_opening_closes() {
    let mut shard = Shard::<u32>::new(Options::default());
    shard.open(at(0), EPOCH, &Fence::default());
    drain(&mut shard);
    shard.applied(id(1, 0), Outcome::Skipped);
    assert_eq!(drain(&mut shard), ["reopen"]);
    assert!(!shard.is_open());
    shard.open(at(1), EPOCH, &Fence::default());
    assert_eq!(drain(&mut shard), ["open 2"]);
}

#[test]
fn time_goes_on_from_the_log() {
    let mut shard = Shard::<u32>::new(Options::default());
    shard.open(at(0), EPOCH, &Fence { time: Time::from_ms(2_000_000), ..Fence::default() });
    assert_eq!(shard.time(at(10)), Time::from_ms(2_000_005));
    drain(&mut shard);
    shard.applied(id(1, 0), Outcome::Took { time: Time::from_ms(3_000_000) });
    assert_eq!(shard.time(at(10)), Time::from_ms(3_000_000));
}

#[test]
#[should_panic(expected = "open shard only")]
fn no_actor_before_it_is_applied() {
    let mut shard = Shard::<u32>::new(Options::default());
    shard.open(at(0), EPOCH, &Fence::default());
    shard.activate(at(0), key("one"));
}
