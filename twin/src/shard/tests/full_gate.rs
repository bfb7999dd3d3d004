//! Safety rule 19: the gate is bounded in bytes, and says when there is room again.

use super::*;

#[test]
fn refuses_until_half_is_free() {
    let mut shard = opened(Options { gate_bytes_max: 10_000, ..Options::default() });
    let slot = shard.activate(at(0), key("one"));
    assert!(shard.admit(20_000), "a lone one may always pass");
    let mut taken = 0;
    while shard.admit(1000) {
        shard.decided(at(1), slot, [change(500)], [(taken, 500)], Wait::Changes);
        taken += 1;
    }
    assert!((5..10).contains(&taken), "{taken}");
    assert!(shard.bytes() <= 10_000 + 1000);
    assert_eq!(drain(&mut shard), ["batch 1.1 of 7"]);
    shard.applied(id(1, 1), TOOK);
    let said = drain(&mut shard);
    assert_eq!(said, ["0", "1", "2", "3", "4", "5", "6", "room"]);
    assert!(drain(&mut shard).is_empty(), "said once");
    assert!(shard.admit(1000));
}

#[test]
fn closing_makes_room() {
    let mut shard = opened(Options { gate_bytes_max: 1000, ..Options::default() });
    let slot = shard.activate(at(0), key("one"));
    write(&mut shard, slot, 1);
    assert!(!shard.admit(1000));
    shard.close();
    assert_eq!(shard.bytes(), 0);
    assert_eq!(drain(&mut shard), ["room"]);
}
