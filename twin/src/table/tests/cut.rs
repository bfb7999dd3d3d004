//! Safety rule 21: a cut is fixed, whatever is applied while it is taken.

use super::*;
use crate::image;

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn six() -> Table {
    let mut table = opened(small());
    apply(&mut table, &NAMES.map(|name| (name, set(1))));
    table
}

#[test]
fn has_what_changed_since_the_last() {
    let mut table = six();
    let (images, header) = cut(&mut table);
    assert_eq!((images.len(), header.digest.count, header.index), (6, 6, 2));
    assert_eq!(cut(&mut table).0.len(), 0);
    apply(&mut table, &[("a", set(2)), ("g", set(1))]);
    apply(&mut table, &[("a", set(3)), ("b", set(2)), ("c", set(2)), ("a", set(4))]);
    let (images, header) = cut(&mut table);
    let mut names: Vec<_> = images.iter().map(|(key, _)| key.device()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b", "c", "g"]);
    assert_eq!((header.digest.count, header.index), (7, 4));
}

#[test]
fn does_not_see_later_changes() {
    let mut table = six();
    cut(&mut table);
    apply(&mut table, &NAMES.map(|name| (name, set(2))));
    let then = everything(&table);
    table.begin_cut();
    let mut images = table.take_cut(2);
    assert_eq!(images.len(), 2);
    apply(&mut table, &NAMES.map(|name| (name, set(3))));
    apply(&mut table, &[("a", set(4)), ("new", set(1))]);
    loop {
        let more = table.take_cut(1);
        if more.is_empty() {
            break;
        }
        images.extend(more);
    }
    let header = table.end_cut();
    images.sort();
    assert_eq!(images, then);
    assert!(images.iter().all(|(_, bytes)| image::applied_index(bytes) == Ok(3)));
    assert_eq!((header.index, header.fence.number), (3, 2));
    let restored = restore(&images, &header);
    assert_eq!(restored.fence(), header.fence);

    // And the next cut has all of it, with a digest that fits.
    let (newer, header) = cut(&mut table);
    assert_eq!(newer.len(), 7);
    let mut newer = newer;
    newer.sort();
    assert_eq!(newer, everything(&table));
    restore(&newer, &header);
}

#[test]
fn digests_fit_over_many_cuts() {
    let mut table = six();
    let mut store = alloc::collections::BTreeMap::new();
    let mut seed = 7_u64;
    for round in 0..200 {
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        let name = NAMES[usize::try_from(random(6)).unwrap()];
        apply(&mut table, &[(name, set(round))]);
        table.begin_cut();
        loop {
            if random(2) == 0 {
                let name = NAMES[usize::try_from(random(6)).unwrap()];
                apply(&mut table, &[(name, set(round))]);
            }
            let images = table.take_cut(1);
            if images.is_empty() {
                break;
            }
            store.extend(images);
        }
        let header = table.end_cut();
        let images: Images = store.iter().map(|(k, v)| (k.clone(), Arc::clone(v))).collect();
        restore(&images, &header);
    }
}
