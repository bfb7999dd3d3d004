//! Safety rule 22: a checkpoint that is not whole is refused.

use super::super::RestoreError;
use super::*;
use crate::image::ImageError;

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
