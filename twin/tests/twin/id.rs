//! Known answers: where a device lies is part of the data on disk and must never change.

use pollux_twin::{DeviceId, ShardId, TenantId, TwinKey};

#[track_caller]
fn check(key: &str, slot: u16, of_16: u16, of_64: u16) {
    let key = TwinKey::parse(key).unwrap();
    let found = (key.slot(), key.shard(16), key.shard(64), key.shard(1));
    assert_eq!(found, (slot, ShardId(of_16), ShardId(of_64), ShardId(0)), "{key}");
}

#[test]
fn slots_and_shards() {
    // Computed by a second implementation of XXH3-64, written from its specification.
    check("default/thermostat-1", 1467, 5, 22);
    check("default/a", 2838, 11, 44);
    check("acme/pump:00:1b:44:11:3a:b7", 1777, 6, 27);
    check("default/d1", 3948, 15, 61);
}

#[test]
fn shards_are_ranges_of_slots_that_split() {
    for i in 0..1_000 {
        let key = TwinKey::parse(&format!("d{i}")).unwrap();
        assert_eq!(key.shard(64).0 / 4, key.shard(16).0);
        assert_eq!(key.shard(4096).0, key.slot());
    }
}

#[test]
fn ids_are_checked() {
    for bad in ["", "a b", "a+", "#", "$x", "ü", "a\n", "a/b/c", "/a", "a/", &"x".repeat(257)] {
        assert!(TwinKey::parse(bad).is_err(), "{bad:?}");
    }
    let long = "x".repeat(256);
    let key = TwinKey::new(&TenantId::parse(&long).unwrap(), &DeviceId::parse("d:1_%").unwrap());
    assert_eq!((key.tenant(), key.device()), (long.as_str(), "d:1_%"));
    assert_eq!(TwinKey::parse("d1").unwrap().as_str(), "default/d1");
}
