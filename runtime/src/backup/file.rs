//! A shard's file in a backup: the chunks of its state as they came, each behind its length. Owns the way
//! from bytes to images, with the place of whatever is wrong; leaves what is in a chunk to
//! `checkpoint::stream`.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use pollux_cluster::limits::SNAPSHOT_CHUNK_BYTES_MAX;
use pollux_twin::TwinKey;
use pollux_twin::table::Digest;

use super::BackupFault;
use crate::checkpoint::{StreamHead, StreamPiece, StreamReader};

/// Bytes of a length.
pub(super) const LENGTH_BYTES: usize = 4;

/// The state of a shard as its chunks are read: what has been found so far.
#[derive(Debug)]
pub(super) struct Chunks {
    reader: StreamReader,
    head: Option<StreamHead>,
    /// Of the images that came.
    counted: Digest,
    end: Option<Digest>,
}

/// What a whole state was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    pub(super) head: StreamHead,
    pub(super) digest: Digest,
}

impl Chunks {
    pub(super) const fn new() -> Self {
        Self {
            reader: StreamReader::new(),
            head: None,
            counted: Digest { count: 0, sum: 0 },
            end: None,
        }
    }

    /// Twins that came so far.
    pub(super) const fn twins(&self) -> u64 {
        self.counted.count
    }

    /// Takes the next chunk and hands out its images, each of which is sound.
    pub(super) fn push<E>(
        &mut self,
        chunk: &[u8],
        refuse: impl Fn(String) -> E,
        mut take: impl FnMut(&StreamHead, TwinKey, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.reader.push(chunk).map_err(|fault| refuse(fault.to_string()))?;
        while let Some(piece) = self.reader.record().map_err(|fault| refuse(fault.to_string()))? {
            match piece {
                StreamPiece::Head(head) => self.head = Some(head),
                StreamPiece::End(digest) => self.end = Some(digest),
                StreamPiece::Image(key, image) => {
                    let counted = self.counted.count(&key, image);
                    counted.map_err(|error| refuse(format!("twin {key}: {error}")))?;
                    let head = self.head.as_ref().expect("a stream gives its head first");
                    take(head, key, image)?;
                }
            }
        }
        Ok(())
    }

    /// All chunks came: what the state is, if it is whole.
    pub(super) fn finish(&self) -> Result<Whole, String> {
        self.reader.finish().map_err(|fault| fault.to_string())?;
        let (head, digest) = self.head.zip(self.end).ok_or("it holds no state")?;
        if digest != self.counted {
            return Err(format!(
                "{} twins with digest {:016x}; its end says {} with {:016x}",
                self.counted.count, self.counted.sum, digest.count, digest.sum
            ));
        }
        Ok(Whole { head, digest })
    }
}

/// What a file came to when it was read to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileRead {
    pub(super) whole: Whole,
    pub(super) bytes: u64,
    pub(super) crc32c: u32,
}

/// Reads a shard's file from its beginning to its end, a chunk at a time.
pub(super) fn read(
    path: &Path,
    mut take: impl FnMut(&StreamHead, TwinKey, &[u8]) -> Result<(), BackupFault>,
) -> Result<FileRead, BackupFault> {
    let file = File::open(path).map_err(BackupFault::io("read", path))?;
    let mut input = BufReader::with_capacity(1 << 16, file);
    let (mut chunks, mut at, mut sum) = (Chunks::new(), 0, 0);
    let mut chunk = Vec::new();
    while let Some(bytes) = next(path, &mut input, at, &mut chunk)? {
        let length = u32::try_from(chunk.len()).expect("a chunk is bounded").to_le_bytes();
        sum = crc32c::crc32c_append(crc32c::crc32c_append(sum, &length), &chunk);
        chunks.push(&chunk, |reason| damaged(path, at, reason), &mut take)?;
        at += bytes;
    }
    let whole = chunks.finish().map_err(|reason| damaged(path, at, reason))?;
    Ok(FileRead { whole, bytes: at, crc32c: sum })
}

/// The next chunk of a file, and how many bytes it takes there; none at the end.
fn next(
    path: &Path,
    input: &mut impl Read,
    at: u64,
    chunk: &mut Vec<u8>,
) -> Result<Option<u64>, BackupFault> {
    let mut length = [0; LENGTH_BYTES];
    let mut got = 0;
    while got < LENGTH_BYTES {
        match input.read(&mut length[got..]).map_err(BackupFault::io("read", path))? {
            0 if got == 0 => return Ok(None),
            0 => return Err(damaged(path, at, "it is cut off".into())),
            more => got += more,
        }
    }
    let bytes = u32::from_le_bytes(length) as usize;
    if bytes > SNAPSHOT_CHUNK_BYTES_MAX {
        let reason = format!("a chunk of {bytes} bytes: at most {SNAPSHOT_CHUNK_BYTES_MAX}");
        return Err(damaged(path, at, reason));
    }
    chunk.resize(bytes, 0);
    input.read_exact(chunk).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged(path, at, "it is cut off".into()),
        _ => BackupFault::io("read", path)(error),
    })?;
    Ok(Some((LENGTH_BYTES + bytes) as u64))
}

fn damaged(path: &Path, offset: u64, reason: String) -> BackupFault {
    BackupFault::Damaged { path: PathBuf::from(path), offset, reason }
}
