//! Safety rule 21: images carry positions, and a replay skips what they have.

use super::*;

#[test]
fn a_replay_over_newer_images_comes_to_the_same() {
    let mut table = opened(small());
    let first = [("a", set(1)), ("b", set(1)), ("a", set(2))];
    let second = [("b", set(2)), ("a", set(3)), ("a", connected(1)), ("c", set(1))];
    let third = [("a", set(4)), ("b", disconnected(9)), ("c", set(2))];
    apply(&mut table, &first);
    let (_, early) = cut(&mut table);
    apply(&mut table, &second);
    // Images of now under the header of then; only the digest must be theirs.
    let (images, header) = (everything(&table), early);
    let mut digest = Restore::new();
    for (key, image) in &images {
        digest.add(key.clone(), Arc::clone(image)).unwrap();
    }
    let mut again = restore(&images, &Header { digest: digest.digest(), ..header });
    assert_eq!(again.index(), 2);
    apply(&mut again, &second);
    assert_eq!(everything(&again), everything(&table));
    assert_eq!(again.counts(), table.counts());
    apply(&mut table, &third);
    apply(&mut again, &third);
    assert_eq!(everything(&again), everything(&table));
    assert_eq!(again.counts(), table.counts());
    assert_eq!(cut(&mut again).1, cut(&mut table).1);
}

#[test]
fn half_an_entry_is_never_an_image() {
    let mut table = opened(Options { hot_twins_max: 0, ..Options::default() });
    apply(&mut table, &[("a", set(1)), ("b", set(1)), ("a", set(2)), ("b", set(2)), ("a", set(3))]);
    assert_eq!((n(&table, "a"), n(&table, "b")), (Some(3), Some(2)));
    assert_eq!(table.view(&key("a")).unwrap().unwrap().version, 3);
}
