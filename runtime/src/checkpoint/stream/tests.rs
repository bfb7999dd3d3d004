//! Streams come back as they were written, and nothing else is taken.

use std::sync::Arc;

use bytes::Bytes;
use pollux_twin::{Epoch, Time, TwinKey};

use super::*;
use crate::limits::{IMAGE_BYTES_MAX, SNAPSHOT_CHUNK_BYTES};
use pollux_cluster::limits::SNAPSHOT_CHUNK_BYTES_MAX;

type Images = Vec<(TwinKey, Arc<[u8]>)>;

fn head() -> Head {
    let fence = Fence {
        epoch: Epoch { term: 4, leader: 5 },
        generation: 6,
        number: 7,
        time: Time::from_ms(8),
    };
    Head { shard: ShardId(9), position: Position { term: 1, leader: 2, index: 3 }, fence }
}

/// Images of these sizes; to the stream they are bytes.
fn images(sizes: &[usize]) -> Images {
    let image = |(n, size): (usize, &usize)| {
        let key = TwinKey::parse(&format!("tenant/device-{n}")).unwrap();
        let fill = |at: usize| u8::try_from((n + at) % 251).unwrap();
        (key, (0..*size).map(fill).collect())
    };
    sizes.iter().enumerate().map(image).collect()
}

const DIGEST: Digest = Digest { count: 3, sum: 77 };

fn written(images: &Images) -> Vec<Bytes> {
    let mut writer = Writer::new(head());
    let mut images = images.iter();
    let mut chunks = Vec::new();
    loop {
        while writer.is_hungry() {
            match images.next() {
                Some((key, image)) => writer.image(key, image),
                None => writer.end(DIGEST),
            }
        }
        match writer.chunk() {
            Some(chunk) => chunks.push(chunk),
            None => return chunks,
        }
    }
}

fn read(chunks: &[Bytes]) -> Result<(Head, Images, Digest), StreamFault> {
    let mut reader = Reader::new();
    let (mut head, mut images, mut digest) = (None, Vec::new(), None);
    for chunk in chunks {
        reader.push(chunk)?;
        while let Some(piece) = reader.record()? {
            match piece {
                Piece::Head(found) => head = Some(found),
                Piece::Image(key, image) => images.push((key, image.into())),
                Piece::End(found) => digest = Some(found),
            }
        }
    }
    reader.finish()?;
    Ok((head.unwrap(), images, digest.unwrap()))
}

#[test]
fn comes_back() {
    let large = 3 * SNAPSHOT_CHUNK_BYTES;
    let near = SNAPSHOT_CHUNK_BYTES - 100;
    for sizes in [vec![], vec![0], vec![1, 2, 3], vec![large, 5, large], vec![near; 4]] {
        let images = images(&sizes);
        let chunks = written(&images);
        let most = SNAPSHOT_CHUNK_BYTES + CHUNK_HEAD_BYTES;
        assert!(chunks.iter().all(|chunk| chunk.len() <= most));
        assert_eq!(read(&chunks), Ok((head(), images, DIGEST)));
    }
    // Boundaries of chunks fall everywhere within a record.
    for size in 0..80 {
        let images = images(&[SNAPSHOT_CHUNK_BYTES - 66 - 7 - 15 - size, 40]);
        assert_eq!(read(&written(&images)), Ok((head(), images, DIGEST)));
    }
}

#[test]
fn a_flipped_bit_a_missing_a_doubled_and_a_misplaced_chunk_are_found() {
    let chunks = written(&images(&[SNAPSHOT_CHUNK_BYTES; 4]));
    assert_eq!(chunks.len(), 5);
    for at in 0..chunks.len() {
        for byte in (0..chunks[at].len()).step_by(997).chain(0..20) {
            let mut broken = chunks.clone();
            let mut bytes = broken[at].to_vec();
            bytes[byte.min(chunks[at].len() - 1)] ^= 1;
            broken[at] = bytes.into();
            read(&broken).unwrap_err();
        }
        let mut missing = chunks.clone();
        missing.remove(at);
        read(&missing).unwrap_err();
        let mut doubled = chunks.clone();
        doubled.insert(at, chunks[at].clone());
        assert!(matches!(read(&doubled), Err(StreamFault::Order { .. })));
        let mut swapped = chunks.clone();
        swapped.swap(at, (at + 1) % chunks.len());
        assert!(matches!(read(&swapped), Err(StreamFault::Order { .. })));
        let mut short = chunks.clone();
        short[at] = chunks[at].slice(..chunks[at].len() - 1);
        read(&short).unwrap_err();
    }
    // A chunk of another stream, in its place.
    let other = written(&images(&[SNAPSHOT_CHUNK_BYTES - 1; 5]));
    let mut mixed = chunks.clone();
    mixed[1] = other[1].clone();
    assert_eq!(read(&mixed), Err(StreamFault::Checksum { number: 1 }));
    for end in 0..chunks.len() {
        assert_eq!(read(&chunks[..end]), Err(StreamFault::Cut));
    }
}

/// One chunk with these records, rightly numbered and summed.
fn chunk(records: &[u8]) -> Bytes {
    let mut bytes = vec![FORMAT, 0, 0, 0, 0];
    bytes.extend_from_slice(&checksum(0, 0, records).to_le_bytes());
    bytes.extend_from_slice(records);
    bytes.into()
}

#[test]
fn records_that_are_none_are_found_and_lengths_are_bounded() {
    let head = [&[HEAD][..], &head().to_bytes()].concat();
    let image = |key_len: u16, image_len: u32, rest: &[u8]| {
        let (key_len, image_len) = (key_len.to_le_bytes(), image_len.to_le_bytes());
        [&[IMAGE][..], &key_len, &image_len, rest].concat()
    };
    let end = [&[END][..], &[0; END_BYTES]].concat();
    let check = |records: &[&[u8]], expected: &str| {
        let error = read(&[chunk(&records.concat())]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(&[&end], "kind 101");
    check(&[&image(1, 0, b"a")], "kind 105");
    check(&[&head, &head], "kind 104");
    check(&[&head, b"?"], "kind 63");
    check(&[&head, &end, &end], "Over");
    check(&[&head, &image(3, 0, b"a/+"), &end], "key");
    check(&[&head, &image(1, 0, b"a"), &end], "key");
    check(&[&head, &image(3, 0, &[0xff; 3]), &end], "key");
    check(&[&head, &image(514, 0, b"")], "514 bytes");
    let most = u32::try_from(IMAGE_BYTES_MAX).unwrap();
    check(&[&head, &image(3, most + 1, b"a/b")], "at most");
    check(&[&head, &image(3, u32::MAX, b"a/b")], "at most");
    // Within its bound, and never there: nothing is taken for it.
    check(&[&head, &image(3, most, b"a/b")], "before its end");
    let large = vec![0; SNAPSHOT_CHUNK_BYTES_MAX + 1].into();
    assert!(matches!(read(&[large]), Err(StreamFault::Size { .. })));
    assert!(matches!(read(&[Bytes::new()]), Err(StreamFault::Size { .. })));
    let newer = Bytes::from_static(&[2; 9]);
    assert!(matches!(read(&[newer]), Err(StreamFault::Format { found: 2, .. })));
}
