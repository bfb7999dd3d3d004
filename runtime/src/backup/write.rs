//! Making a backup from what nodes stream: a file for each shard as its chunks come, the manifest last.
//! Everything is checked on its way in, so that what cannot be restored is known at once.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use pollux_twin::table::Digest;

use super::file::{Chunks, LENGTH_BYTES, Whole};
use super::manifest::Manifest;
use super::{BackupFault, ShardRecord};

/// Whose backup it is.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The cluster's random name, 32 hexadecimal digits.
    pub cluster: String,
    /// Its lineage.
    pub lineage: u64,
    /// How many shards it has.
    pub shards: u16,
    /// The wall clock, milliseconds since 1970.
    pub now_ms: u64,
}

/// A backup that is being made. Blocks while it writes.
#[derive(Debug)]
pub struct BackupWriter {
    dir: PathBuf,
    shards: u16,
    manifest: Manifest,
}

impl BackupWriter {
    /// Begins a backup in a folder, which is made or empty.
    ///
    /// # Errors
    /// When it holds something, or cannot be used.
    pub fn begin(dir: &Path, origin: &Origin) -> Result<Self, BackupFault> {
        fs::create_dir_all(dir).map_err(BackupFault::io("make", dir))?;
        let mut there = fs::read_dir(dir).map_err(BackupFault::io("read", dir))?;
        if there.next().is_some() {
            return Err(BackupFault::Taken(dir.into()));
        }
        let Origin { cluster, lineage, shards, now_ms } = origin.clone();
        let manifest = Manifest::begun(cluster, lineage, now_ms);
        Ok(Self { dir: dir.into(), shards, manifest })
    }

    /// Begins the next shard, in order from 0.
    ///
    /// # Errors
    /// When its file cannot be made.
    pub fn shard(&self) -> Result<ShardWriter, BackupFault> {
        let shard = u16::try_from(self.manifest.shards.len()).unwrap_or(u16::MAX);
        let name = format!("shard-{shard:04}.twins");
        let path = self.dir.join(&name);
        let file = File::create_new(&path).map_err(BackupFault::io("make", &path))?;
        let out = BufWriter::new(file);
        Ok(ShardWriter { shard, name, path, out, chunks: Chunks::new(), bytes: 0, crc32c: 0 })
    }

    /// Takes a shard of which all came, durably.
    ///
    /// # Errors
    /// When it is not whole, is another shard's, or cannot be written.
    pub fn take(
        &mut self,
        shard: ShardWriter,
        confirmed: bool,
    ) -> Result<&ShardRecord, BackupFault> {
        let record = shard.finish(confirmed)?;
        self.manifest.shards.push(record);
        Ok(self.manifest.shards.last().expect("one was pushed"))
    }

    /// All shards are there: the backup is one from now on.
    ///
    /// # Errors
    /// When shards are missing, or the manifest cannot be written.
    pub fn finish(mut self) -> Result<Manifest, BackupFault> {
        if self.manifest.shards.len() != usize::from(self.shards) {
            let (found, wanted) = (self.manifest.shards.len(), self.shards);
            return Err(BackupFault::Invalid(format!("{found} of {wanted} shards were backed up")));
        }
        self.manifest.write(&self.dir)?;
        Ok(self.manifest)
    }
}

/// One shard's file as it is written.
#[derive(Debug)]
pub struct ShardWriter {
    shard: u16,
    name: String,
    path: PathBuf,
    out: BufWriter<File>,
    chunks: Chunks,
    bytes: u64,
    crc32c: u32,
}

impl ShardWriter {
    /// Twins that came so far.
    pub const fn twins(&self) -> u64 {
        self.chunks.twins()
    }

    /// Bytes written so far.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// When it is not sound, or cannot be written.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), BackupFault> {
        let shard = self.shard;
        let refuse = |reason| BackupFault::Stream { shard, reason };
        self.chunks.push(chunk, refuse, |_, _, _| Ok(()))?;
        let length =
            u32::try_from(chunk.len()).expect("a chunk was found to be short").to_le_bytes();
        for bytes in [&length, chunk] {
            self.out.write_all(bytes).map_err(BackupFault::io("write", &self.path))?;
            self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
        }
        self.bytes += (LENGTH_BYTES + chunk.len()) as u64;
        Ok(())
    }

    /// Gives the shard up; it can be begun again.
    ///
    /// # Errors
    /// When its file cannot be removed.
    pub fn discard(self) -> Result<(), BackupFault> {
        drop(self.out);
        fs::remove_file(&self.path).map_err(BackupFault::io("remove", &self.path))
    }

    fn finish(self, confirmed: bool) -> Result<ShardRecord, BackupFault> {
        let Self { shard, name, path, out, chunks, bytes, crc32c } = self;
        let refuse = |reason| BackupFault::Stream { shard, reason };
        let whole = chunks.finish().map_err(refuse)?;
        if whole.head.shard.0 != shard {
            return Err(refuse(format!("the node sent shard {}", whole.head.shard)));
        }
        let file = out.into_inner().map_err(|error| error.into_error());
        let synced = file.and_then(|file| file.sync_all());
        synced.map_err(BackupFault::io("write", &path))?;
        Ok(record(name, &whole, confirmed, bytes, crc32c))
    }
}

/// What the manifest says of a shard.
pub(super) fn record(
    file: String,
    whole: &Whole,
    confirmed: bool,
    bytes: u64,
    crc32c: u32,
) -> ShardRecord {
    let Whole { head, digest: Digest { count, sum } } = whole;
    ShardRecord {
        shard: head.shard.0,
        file,
        term: head.position.term,
        leader: head.position.leader,
        index: head.position.index,
        time_ms: head.fence.time.ms,
        confirmed,
        twins: *count,
        bytes,
        crc32c: format!("{crc32c:08x}"),
        digest: format!("{sum:016x}"),
    }
}
