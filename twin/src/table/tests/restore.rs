//! Safety rule 22: a checkpoint that is not whole is refused.

use alloc::format;

use super::super::RestoreError;
use super::*;
use crate::image::ImageError;
use crate::twin::Restorable;

fn stored() -> (Images, Header) {
    let mut table = opened(small());
    apply(&mut table, &[("a", set(1)), ("b", connected(1)), ("c", set(1)), ("c", deleted())]);
    cut(&mut table)
}

#[test]
fn comes_back_as_it_was() {
    let (images, header) = stored();
    let table = restore(&images, &header);
    assert_eq!((table.index(), table.fence()), (header.index, header.fence));
    assert_eq!(n(&table, "a"), Some(1));
    let counts = table.counts();
    assert_eq!((counts.twins, counts.alive, counts.connected), (3, 2, 1));
    assert_eq!(table.wakeful().collect::<Vec<_>>(), [&key("b")]);
}

#[test]
fn a_flipped_bit_is_found() {
    let (images, _) = stored();
    for (key, image) in &images {
        for at in 0..image.len() {
            let mut bytes = image.to_vec();
            bytes[at] ^= 4;
            let broken = Restore::new().add(key.clone(), bytes.into());
            assert!(matches!(broken, Err(RestoreError::Image { .. })));
        }
        let short = Restore::new().add(key.clone(), image[..8].into());
        let error = ImageError::Short;
        assert_eq!(short, Err(RestoreError::Image { key: key.clone(), error }));
    }
}

#[test]
fn a_missing_a_doubled_and_an_old_image_are_found() {
    let (images, header) = stored();
    let try_with = |images: &[(TwinKey, Arc<[u8]>)]| {
        let mut restore = Restore::new();
        for (key, image) in images {
            restore.add(key.clone(), Arc::clone(image)).unwrap();
        }
        restore.finish(&header, small()).map(|_| ())
    };
    assert_eq!(try_with(&images), Ok(()));
    assert!(matches!(try_with(&images[1..]), Err(RestoreError::Digest { .. })));
    let mut swapped = images.clone();
    swapped[0].1 = Arc::clone(&images[1].1);
    assert!(matches!(try_with(&swapped), Err(RestoreError::Digest { .. })));
    swapped[0] = images[1].clone();
    assert!(matches!(try_with(&swapped), Err(RestoreError::Digest { .. })));
}

#[test]
fn headers_come_back_from_bytes() {
    let (_, header) = stored();
    let bytes = header.to_bytes();
    assert_eq!(Header::from_bytes(&bytes), Some(header));
    assert_eq!(Header::from_bytes(&bytes[1..]), None);
    for at in 0..bytes.len() {
        let mut broken = bytes;
        broken[at] ^= 1;
        assert_eq!(Header::from_bytes(&broken), None, "byte {at}");
    }
}

fn buried(until: u64) -> Change {
    effect(Effect::Buried { until: Time::from_ms(until) })
}

#[test]
fn what_can_be_brought_back_is_found_in_order_also_after_a_restore() {
    let mut table = opened(small());
    let changes = [
        ("a/x", set(1)),
        ("b/c", set(1)),
        ("b/a", set(1)),
        ("b/b", set(1)),
        ("b/d", set(1)),
        ("a/x", buried(90)),
        ("a/x", deleted()),
        ("b/c", buried(50)),
        ("b/c", deleted()),
        ("b/a", buried(90)),
        ("b/a", deleted()),
        ("b/b", buried(70)),
        ("b/b", deleted()),
        ("b/b", set(2)),
        ("b/d", deleted()),
    ];
    apply(&mut table, &changes);
    let (images, header) = cut(&mut table);
    for table in [&table, &restore(&images, &header)] {
        let found = |prefix, after: Option<&str>, now, limit| {
            let after = after.map(key);
            let found =
                table.restorable(prefix, after.as_ref(), Time::from_ms(now), limit).unwrap();
            let shown = |(key, one): &(TwinKey, Restorable)| {
                format!("{} {} {}", key.as_str(), one.until.ms, one.deleted.is_some())
            };
            found.iter().map(shown).collect::<Vec<_>>()
        };
        assert_eq!(found("b/", None, 40, 9), ["b/a 90 true", "b/b 70 false", "b/c 50 true"]);
        assert_eq!(found("b/", None, 40, 2), ["b/a 90 true", "b/b 70 false"]);
        assert_eq!(found("b/", Some("b/a"), 40, 1), ["b/b 70 false"]);
        assert_eq!(found("b/", None, 50, 9), ["b/a 90 true", "b/b 70 false"]);
        assert_eq!(found("", None, 89, 9), ["a/x 90 true", "b/a 90 true"]);
        assert!(found("", None, 90, 9).is_empty());
        let (_, one) = &table.restorable("b/c", None, Time::from_ms(0), 1).unwrap()[0];
        assert_eq!(one.deleted, Some((Time::from_ms(7), "someone".into())));
    }
}
