//! Safety rule 21: a picture for another replica is a fixed cut, whatever is applied meanwhile.

use super::super::{PictureFault, PictureId};
use super::*;
use crate::limits::PICTURES_MAX;

/// Takes what is left of a picture, calling `between` after each turn.
fn take(table: &mut Table, id: PictureId, mut between: impl FnMut(&mut Table)) -> (Images, Header) {
    let mut all = Vec::new();
    while let Some(images) = table.take_picture(id, 1).unwrap() {
        all.extend(images);
        between(table);
    }
    (all, table.end_picture(id).unwrap())
}

fn sorted(mut images: Images) -> Images {
    images.sort();
    images
}

#[test]
fn is_all_there_is() {
    let mut table = opened(small());
    let id = table.begin_picture().unwrap();
    assert_eq!(take(&mut table, id, |_| ()).0, []);
    apply(&mut table, &[("c", set(1)), ("a", connected(1)), ("b", set(1)), ("b", deleted())]);
    let id = table.begin_picture().unwrap();
    let (images, header) = take(&mut table, id, |_| ());
    assert_eq!(images, everything(&table));
    let again = restore(&images, &header);
    assert_eq!((again.fence(), again.counts()), (table.fence(), table.counts()));
    assert!(again.wakeful().eq(table.wakeful()));
}

#[test]
fn does_not_see_later_changes_wherever_they_fall() {
    let names = ["a", "b", "c", "d", "e", "f"];
    // A change, and new twins before and after all others, once `turns` images were taken.
    for turns in 0..8 {
        for name in names {
            let mut table = opened(small());
            apply(&mut table, &names.map(|name| (name, set(1))));
            apply(&mut table, &[("c", deleted())]);
            let then = everything(&table);
            let (fence, index) = (table.fence(), table.index());
            let id = table.begin_picture().unwrap();
            let mut turn = 0;
            let mut change = |table: &mut Table| {
                if turn == turns {
                    apply(table, &[(name, set(2)), ("0", set(1)), ("z", set(1))]);
                    apply(table, &[(name, deleted()), ("0", set(2))]);
                    table.begin_cut();
                }
                turn += 1;
            };
            change(&mut table);
            let (images, header) = take(&mut table, id, change);
            assert_eq!(sorted(images.clone()), then, "{name} after {turns}");
            assert_eq!((header.fence, header.index), (fence, index));
            // The log's tail brings the other replica to the same.
            let mut again = restore(&images, &header);
            for (index, changes) in [
                (index + 1, [(name, set(2)), ("0", set(1)), ("z", set(1))].to_vec()),
                (index + 2, [(name, deleted()), ("0", set(2))].to_vec()),
            ] {
                again.apply(index, batch(1, again.fence().number + 1, &changes)).unwrap();
            }
            if turn <= turns {
                continue;
            }
            assert_eq!(everything(&again), everything(&table), "{name} after {turns}");
            assert_eq!((again.fence(), again.counts()), (table.fence(), table.counts()));
        }
    }
}

#[test]
fn goes_beside_others_and_beside_cuts() {
    let mut table = opened(small());
    let mut store = alloc::collections::BTreeMap::new();
    let mut seed = 11_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % below
    };
    let mut pictures: Vec<(PictureId, Images, Images)> = Vec::new();
    let mut finished = 0;
    for round in 0..3000 {
        let name = alloc::format!("twin-{}", random(40));
        let change = if random(9) == 0 { deleted() } else { set(round) };
        apply(&mut table, &[(name.as_str(), change)]);
        if random(40) == 0 && pictures.len() < PICTURES_MAX {
            let id = table.begin_picture().unwrap();
            pictures.push((id, Vec::new(), everything(&table)));
        }
        if random(60) == 0 {
            let (images, header) = cut(&mut table);
            store.extend(images);
            let images = store.iter().map(|(k, v): (&TwinKey, &Arc<[u8]>)| (k.clone(), v.clone()));
            restore(&images.collect(), &header);
        }
        if pictures.is_empty() {
            continue;
        }
        let at = usize::try_from(random(pictures.len() as u64)).unwrap();
        let (id, images, _) = &mut pictures[at];
        match table.take_picture(*id, 300).unwrap() {
            Some(more) => images.extend(more),
            None => {
                let (id, images, then) = pictures.swap_remove(at);
                let header = table.end_picture(id).unwrap();
                restore(&images, &header);
                assert_eq!(sorted(images), then);
                finished += 1;
            }
        }
    }
    assert!(finished > 20, "{finished}");
}

#[test]
fn ends_before_its_end_without_a_header() {
    let mut table = opened(small());
    apply(&mut table, &[("a", set(1)), ("b", set(1))]);
    let id = table.begin_picture().unwrap();
    table.take_picture(id, 1).unwrap();
    assert_eq!(table.end_picture(id), None);
    assert_eq!(table.take_picture(id, 1), Err(PictureFault::Ended));
    let many: Vec<_> = (0..PICTURES_MAX).map(|_| table.begin_picture().unwrap()).collect();
    assert_eq!(table.begin_picture(), None);
    for id in many {
        assert_eq!(table.end_picture(id), None);
    }
    assert!(table.begin_picture().is_some());
}
