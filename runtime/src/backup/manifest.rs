//! What a backup says of itself: whose it is, where each shard was cut, and by what its files are known.
//! Owns the form of `manifest.json`, in which every byte counts.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::BackupFault;
use crate::limits::MANIFEST_BYTES_MAX;

/// Name of the manifest in its folder.
pub(super) const FILE: &str = "manifest.json";
/// The only form written and read so far.
const FORMAT: u32 = 1;

/// A finished backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Form of the manifest and of the files beside it.
    pub pollux_backup: u32,
    /// The cluster's random name, 32 hexadecimal digits.
    pub cluster: String,
    /// The life of the cluster in which the backup was made.
    pub lineage: u64,
    /// When it was begun, milliseconds since 1970.
    pub begun_ms: u64,
    /// The shards, in order.
    pub shards: Vec<ShardRecord>,
    /// CRC-32C of this file as it would be with an empty text here, 8 hexadecimal digits.
    pub crc32c: String,
}

/// One shard of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardRecord {
    /// Its number.
    pub shard: u16,
    /// Its file, in the manifest's folder.
    pub file: String,
    /// Term of the leader that wrote the last entry in it.
    pub term: u64,
    /// The node that was this leader.
    pub leader: u64,
    /// Index of that entry in the shard's log.
    pub index: u64,
    /// The shard's own time there, milliseconds since 1970.
    pub time_ms: u64,
    /// Whether its owner confirmed that all that was acknowledged before is in it.
    pub confirmed: bool,
    /// Twins, the deleted ones among them.
    pub twins: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// CRC-32C of the file, 8 hexadecimal digits.
    pub crc32c: String,
    /// Digest of all its twins, 16 hexadecimal digits.
    pub digest: String,
}

impl Manifest {
    /// One whose shards are still to be put in.
    pub(super) fn begun(cluster: String, lineage: u64, begun_ms: u64) -> Self {
        let (shards, crc32c) = (Vec::new(), String::new());
        Self { pollux_backup: FORMAT, cluster, lineage, begun_ms, shards, crc32c }
    }

    /// Twins of all shards, the deleted ones among them.
    pub fn twins(&self) -> u64 {
        self.shards.iter().map(|shard| shard.twins).sum()
    }

    /// Bytes of all files but the manifest.
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes).sum()
    }

    /// Writes the manifest into its folder, durably: from now on there is a backup.
    pub(super) fn write(&mut self, dir: &Path) -> Result<(), BackupFault> {
        self.crc32c = self.checksum();
        let path = dir.join(FILE);
        let written = File::create_new(&path).and_then(|mut file| {
            file.write_all(self.text().as_bytes())?;
            file.sync_all()?;
            File::open(dir)?.sync_all()
        });
        written.map_err(BackupFault::io("write", &path))
    }

    /// The manifest of a folder, unharmed.
    pub(super) fn read(dir: &Path) -> Result<Self, BackupFault> {
        let path = dir.join(FILE);
        let text = match fs::metadata(&path) {
            Ok(file) if file.len() > MANIFEST_BYTES_MAX => Err(io::Error::other("it is too large")),
            Ok(_) => fs::read_to_string(&path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BackupFault::Unfinished(dir.into()));
            }
            Err(error) => Err(error),
        };
        let text = text.map_err(BackupFault::io("read", &path))?;
        let damaged = |offset: usize, reason: String| BackupFault::Damaged {
            path: path.clone(),
            offset: offset as u64,
            reason,
        };
        let manifest: Self = serde_json::from_str(&text).map_err(|error| {
            let before = text.lines().take(error.line().saturating_sub(1));
            let lines: usize = before.map(|line| line.len() + 1).sum();
            damaged(lines + error.column().saturating_sub(1), error.to_string())
        })?;
        if manifest.pollux_backup != FORMAT {
            let found = manifest.pollux_backup;
            let reason = format!("format {found}; this version reads format {FORMAT}");
            return Err(BackupFault::Other { path, reason });
        }
        let wanted = manifest.text();
        if let Some(at) = wanted.bytes().zip(text.bytes()).position(|(a, b)| a != b) {
            return Err(damaged(at, "it is not written as it should be".into()));
        }
        if wanted.len() != text.len() || manifest.crc32c != manifest.checksum() {
            return Err(damaged(0, "its checksum does not match".into()));
        }
        Ok(manifest)
    }

    fn text(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("numbers and texts are JSON");
        format!("{text}\n")
    }

    fn checksum(&self) -> String {
        let without = Self { crc32c: String::new(), ..self.clone() };
        format!("{:08x}", crc32c::crc32c(without.text().as_bytes()))
    }
}
