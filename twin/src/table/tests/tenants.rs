//! What each tenant has is known at any time, whatever happens to its twins.

use super::*;
use crate::table::TenantCounts;

/// Counted by hand from all images.
fn counted(table: &Table, tenant: &str) -> u64 {
    let all = everything(table);
    all.iter().filter(|(key, _)| key.tenant() == tenant && table.is_alive(key)).count() as u64
}

#[test]
fn twins_of_a_tenant_are_counted_as_they_come_and_go() {
    let mut table = opened(small());
    let check = |table: &Table, tenant: &str, alive: u64| {
        let counts = table.tenant(tenant);
        assert_eq!((counts.alive, counted(table, tenant)), (alive, alive), "{tenant}");
        assert_eq!(counts.bytes > 0, alive > 0, "{tenant}: {counts:?}");
    };
    for name in ["acme/a", "acme/b", "acme/c", "acme/d", "other/a"] {
        apply(&mut table, &[(name, set(1))]);
    }
    check(&table, "acme", 4);
    check(&table, "other", 1);
    assert_eq!(table.tenant("nobody"), TenantCounts::default());
    let before = table.tenant("acme").bytes + table.tenant("other").bytes;
    assert_eq!(before, u64::try_from(table.bytes()).unwrap());
    // Only two are unpacked at a time; a change counts once.
    apply(&mut table, &[("acme/a", set(2)), ("acme/a", set(3)), ("acme/d", deleted())]);
    check(&table, "acme", 3);
    assert!(!table.is_alive(&key("acme/d")) && !table.is_alive(&key("acme/none")));
    apply(&mut table, &[("acme/d", set(1))]);
    check(&table, "acme", 4);
    let (images, header) = cut(&mut table);
    let again = restore(&images, &header);
    assert_eq!(again.tenant("acme").alive, 4);
    let all = again.tenant("acme").bytes + again.tenant("other").bytes;
    assert_eq!(all, u64::try_from(again.bytes()).unwrap());
}
