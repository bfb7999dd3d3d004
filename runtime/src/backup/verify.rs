//! Reading a backup back without a node: every byte of every file is looked at.

use std::path::Path;

use pollux_twin::TwinKey;

use super::file::{self, FileRead};
use super::manifest::{FILE, Manifest};
use super::write::record;
use super::{BackupFault, ShardRecord};
use crate::checkpoint::StreamHead;

/// Verifies a backup; its manifest. `progress` is told of each shard before it is read.
///
/// # Errors
/// When anything is not as it was written: which file, and where.
pub fn verify(dir: &Path, progress: impl FnMut(&ShardRecord)) -> Result<Manifest, BackupFault> {
    read_all(dir, progress, |_, _, _| Ok(()))
}

/// Reads a whole backup; each image is sound, and in the shard that it belongs to.
pub(super) fn read_all(
    dir: &Path,
    mut progress: impl FnMut(&ShardRecord),
    mut take: impl FnMut(&StreamHead, TwinKey, &[u8]) -> Result<(), BackupFault>,
) -> Result<Manifest, BackupFault> {
    let manifest = Manifest::read(dir)?;
    let count = u16::try_from(manifest.shards.len()).unwrap_or(u16::MAX);
    let other = |name: &str, reason: String| BackupFault::Other { path: dir.join(name), reason };
    if count == 0 {
        return Err(other(FILE, "it names no shard".into()));
    }
    for (shard, said) in (0..).zip(&manifest.shards) {
        if said.shard != shard || said.file.contains(['/', '\\']) {
            return Err(other(FILE, format!("shard {} where {shard} should be", said.shard)));
        }
        progress(said);
        let path = dir.join(&said.file);
        let read = file::read(&path, |head, key, image| {
            if key.shard(count).0 != shard {
                let reason = format!("twin {key} belongs to shard {}", key.shard(count));
                return Err(other(&said.file, reason));
            }
            take(head, key, image)
        })?;
        let FileRead { whole, bytes, crc32c } = read;
        let found = record(said.file.clone(), &whole, said.confirmed, bytes, crc32c);
        if found != *said {
            let reason = format!("it is {found:?}, and the manifest says {said:?}");
            return Err(other(&said.file, reason));
        }
    }
    Ok(manifest)
}
