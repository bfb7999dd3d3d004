//! Backups come back as they were written, into any number of shards, and whatever is damaged is refused
//! with its place.

use std::collections::BTreeMap;

use pollux_cluster::Position;
use pollux_twin::lineage::LINEAGE_STRIDE;
use pollux_twin::table::{Digest, Fence};
use pollux_twin::twin::Twin;
use pollux_twin::{Epoch, ShardId, Time, TwinKey, image};
use tempfile::TempDir;

use super::*;
use crate::checkpoint::{Store, StreamHead, StreamWriter, restore_shard};
use crate::config::{Checked, Layers};

const SHARDS: u16 = 3;
const TWINS: u16 = 200;

fn origin() -> Origin {
    Origin { cluster: "c".repeat(32), lineage: 1, shards: SHARDS, now_ms: 5 }
}

fn key(number: u16) -> TwinKey {
    TwinKey::parse(&format!("tenant/device-{number}")).unwrap()
}

/// The chunks of a shard as a node sends them.
fn chunks(shard: u16) -> Vec<bytes::Bytes> {
    let fence = Fence {
        epoch: Epoch { term: 2, leader: 1 },
        generation: 1,
        number: 9,
        time: Time::from_ms(1000 + u64::from(shard)),
    };
    let position = Position { term: 2, leader: 1, index: 500 + u64::from(shard) };
    let mut writer = StreamWriter::new(StreamHead { shard: ShardId(shard), position, fence });
    let mut digest = Digest::default();
    for number in (0..TWINS).filter(|number| key(*number).shard(SHARDS).0 == shard) {
        let image = image::pack(&Twin::absent_above(number.into()), u64::from(number) + 1);
        digest.count(&key(number), &image).unwrap();
        writer.image(&key(number), &image);
    }
    writer.end(digest);
    std::iter::from_fn(|| writer.chunk()).collect()
}

fn backup(dir: &Path) -> Manifest {
    let mut writer = BackupWriter::begin(dir, &origin()).unwrap();
    for shard in 0..SHARDS {
        let mut file = writer.shard().unwrap();
        chunks(shard).iter().for_each(|chunk| file.push(chunk).unwrap());
        writer.take(file, true).unwrap();
    }
    writer.finish().unwrap()
}

fn config(dir: &TempDir, shards: u16) -> Checked {
    let data_dir = dir.path().join(format!("data-{shards}")).display().to_string();
    let layers = Layers::new().flag("data_dir", Some(data_dir), "--data-dir");
    layers.flag("cluster.shards", Some(i64::from(shards)), "--shards").check().unwrap()
}

#[test]
fn comes_back_and_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("backup");
    let made = backup(&out);
    assert_eq!((made.twins(), made.shards[2].index), (TWINS.into(), 502));
    assert_eq!(verify(&out, |_| {}).unwrap(), made);
    assert!(matches!(BackupWriter::begin(&out, &origin()), Err(BackupFault::Taken(_))));
}

#[test]
fn every_damaged_byte_is_refused_with_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("backup");
    backup(&out);
    for name in ["manifest.json", "shard-0000.twins", "shard-0002.twins"] {
        let path = out.join(name);
        let sound = std::fs::read(&path).unwrap();
        for at in (0..sound.len()).step_by(7).chain([sound.len() - 1]) {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            let said = verify(&out, |_| {}).unwrap_err().to_string();
            assert!(said.contains(name), "byte {at} of {name}: {said}");
            let named = said.contains("is damaged at byte") || said.contains("does not fit");
            // A manifest that is no text any more is not even read.
            assert!(named || said.contains("UTF-8"), "byte {at} of {name}: {said}");
        }
        for bytes in [&sound[..sound.len() - 1], &[&sound[..], &[0]].concat()] {
            std::fs::write(&path, bytes).unwrap();
            let said = verify(&out, |_| {}).unwrap_err().to_string();
            assert!(said.contains(name), "{name}: {said}");
        }
        std::fs::write(&path, &sound).unwrap();
    }
    std::fs::remove_file(out.join("manifest.json")).unwrap();
    assert!(matches!(verify(&out, |_| {}), Err(BackupFault::Unfinished(_))));
}

#[test]
fn what_a_node_sends_wrong_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = BackupWriter::begin(&dir.path().join("backup"), &origin()).unwrap();
    let mut file = writer.shard().unwrap();
    let mut chunk = chunks(0)[0].to_vec();
    *chunk.last_mut().unwrap() ^= 1;
    assert!(matches!(file.push(&chunk), Err(BackupFault::Stream { shard: 0, .. })));
    file.discard().unwrap();
    let mut file = writer.shard().unwrap();
    chunks(1).iter().for_each(|chunk| file.push(chunk).unwrap());
    let said = writer.take(file, true).unwrap_err().to_string();
    assert!(said.contains("shard 0") && said.contains("sent shard 1"), "{said}");
    assert!(matches!(writer.finish(), Err(BackupFault::Invalid(_))));
}

#[tokio::test]
async fn is_restored_into_any_number_of_shards() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("backup");
    backup(&out);
    for (shards, lineage) in [(3, None), (7, Some(4)), (1, None)] {
        let config = config(&dir, shards);
        let options = RestoreOptions { lineage };
        let restored = restore(&out, &config, options, &mut |_| {}).await.unwrap();
        let lineage = lineage.unwrap_or(2);
        assert_eq!((restored.identity.lineage, restored.identity.shards), (lineage, shards.into()));
        let store = Store::open(&config.data_dir.join("checkpoints"), 1 << 20).unwrap();
        let mut versions = BTreeMap::new();
        for shard in 0..shards {
            let replica = restore_shard(&store, ShardId(shard), Default::default(), 1).unwrap();
            let place = replica.place().0.unwrap();
            assert_eq!((place.term, place.index), ((lineage - 1) * LINEAGE_STRIDE, 503));
            assert_eq!(replica.time(), Time::from_ms(1002), "the latest of all shards");
            for number in (0..TWINS).filter(|number| key(*number).shard(shards).0 == shard) {
                versions.insert(number, replica.twin(&key(number)).version());
            }
            let unknown = replica.twin(&TwinKey::parse("tenant/other").unwrap());
            assert_eq!(unknown.version(), (lineage - 1) * LINEAGE_STRIDE);
        }
        let jumped = |number: u16| (number, u64::from(number) + (lineage - 1) * LINEAGE_STRIDE);
        assert_eq!(versions, (0..TWINS).map(jumped).collect());
        let again = restore(&out, &config, options, &mut |_| {}).await.unwrap_err().to_string();
        assert!(again.contains("identity already"), "{again}");
    }
    let low = RestoreOptions { lineage: Some(1) };
    let refused = restore(&out, &config(&dir, 9), low, &mut |_| {}).await.unwrap_err().to_string();
    assert!(refused.contains("lineage 1") && refused.contains("2 to"), "{refused}");
}
