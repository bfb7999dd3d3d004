//! Safety rule 10: a change that breaks an invariant sets its twin aside, and nothing else.

use super::*;

#[test]
fn sets_one_twin_aside() {
    let mut table = opened(small());
    apply(&mut table, &[("a", set(1)), ("b", set(1))]);
    let events = apply(&mut table, &[("a", disconnected(3)), ("b", set(2)), ("a", set(3))]).events;
    let results: Vec<bool> = events.iter().map(|event| event.result.is_ok()).collect();
    assert_eq!(results, [false, true, false]);
    assert_eq!((n(&table, "a"), n(&table, "b")), (Some(1), Some(2)));
    assert!(table.view(&key("a")).unwrap().unwrap().quarantined);
    assert_eq!(table.counts().quarantined, 1);
}

#[test]
fn the_same_way_on_every_replica_and_after_a_restart() {
    let changes = [("a", set(1)), ("a", disconnected(3)), ("b", set(1)), ("c", set(1))];
    let (mut one, mut two) = (opened(small()), opened(Options::default()));
    apply(&mut one, &changes);
    apply(&mut two, &changes);
    let (images, header) = cut(&mut one);
    let mut three = restore(&images, &header);
    assert_eq!(three.counts().quarantined, 1);
    for table in [&mut one, &mut two, &mut three] {
        apply(table, &[("a", set(9)), ("b", set(2))]);
        assert_eq!(table.counts().quarantined, 1);
    }
    assert_eq!(everything(&one), everything(&two));
    assert_eq!(everything(&one), everything(&three));
}
