//! A file that comes: its bytes are hashed while they are written, and it has its name once they are on the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::digest::Hasher;
use super::limits::{PIECE_BYTES, SYNC_BYTES, WRITE_BYTES, WRITE_PIECES};
use super::{ArtifactFault, Depot, Digest};

/// See the module. Dropped without its end, an upload leaves nothing; a part is gone on with later.
pub(crate) struct Writer {
    depot: Depot,
    /// None while a task has it.
    open: Option<Open>,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
    written: u64,
    path: PathBuf,
    fate: Fate,
}

struct Open {
    file: File,
    hasher: Hasher,
    /// Bytes that were written since they were on the disk for certain.
    unsynced: usize,
}

/// What becomes of a file that does not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Removed,
    Kept,
}

impl Depot {
    /// Begins an upload.
    pub(crate) async fn begin(&self) -> Result<Writer, ArtifactFault> {
        let path = self.inner.store.upload();
        Writer::open(self.clone(), path, Fate::Removed).await
    }

    /// How many bytes have come of what is to be this.
    pub(super) async fn part_bytes(&self, digest: &Digest) -> Result<u64, ArtifactFault> {
        let path = self.inner.store.part(digest);
        let length = move || match fs::metadata(path) {
            Ok(known) => Ok(known.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        };
        blocking(length).await
    }

    /// Goes on with what is to be this.
    pub(super) async fn go_on(&self, digest: &Digest) -> Result<Writer, ArtifactFault> {
        let path = self.inner.store.part(digest);
        Writer::open(self.clone(), path, Fate::Kept).await
    }
}

impl Writer {
    async fn open(depot: Depot, path: PathBuf, fate: Fate) -> Result<Self, ArtifactFault> {
        let at = path.clone();
        let (open, written) = blocking(move || {
            let mut options = OpenOptions::new();
            let mut file = options.read(true).append(true).create(true).open(at)?;
            let (mut hasher, mut written) = (Hasher::new(), 0_u64);
            let mut piece = vec![0; PIECE_BYTES];
            loop {
                match file.read(&mut piece)? {
                    0 => break,
                    count => {
                        hasher.update(&piece[..count]);
                        written += count as u64;
                    }
                }
            }
            Ok((Open { file, hasher, unsynced: 0 }, written))
        })
        .await?;
        let waiting = Vec::new();
        Ok(Self { depot, open: Some(open), waiting, waiting_bytes: 0, written, path, fate })
    }

    /// Bytes that came so far, those of a part that was there among them.
    pub(crate) fn bytes(&self) -> u64 {
        self.written + self.waiting_bytes as u64
    }

    /// Takes what comes next.
    pub(crate) async fn push(&mut self, bytes: Bytes) -> Result<(), ArtifactFault> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.waiting_bytes += bytes.len();
        self.waiting.push(bytes);
        // Small pieces take more room than they have bytes.
        let full = self.waiting_bytes >= WRITE_BYTES || self.waiting.len() >= WRITE_PIECES;
        if full { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), ArtifactFault> {
        self.depot.has_room(self.waiting_bytes as u64)?;
        let waiting = std::mem::take(&mut self.waiting);
        self.written += std::mem::take(&mut self.waiting_bytes) as u64;
        let mut open = self.open.take().ok_or_else(failed)?;
        let open = blocking(move || {
            for bytes in waiting {
                open.hasher.update(&bytes);
                open.file.write_all(&bytes)?;
                open.unsynced += bytes.len();
            }
            if open.unsynced >= SYNC_BYTES {
                open.file.sync_data()?;
                open.unsynced = 0;
            }
            Ok(open)
        });
        self.open = Some(open.await?);
        Ok(())
    }

    /// Takes nothing more; what came is known, and has no name yet.
    pub(crate) async fn seal(mut self, expected: Option<Digest>) -> Result<Sealed, ArtifactFault> {
        self.flush().await?;
        let Open { file, hasher, .. } = self.open.take().ok_or_else(failed)?;
        let digest = hasher.finish();
        match expected.filter(|expected| *expected != digest) {
            None => Ok(Sealed { file, digest, size: self.written, writer: self }),
            Some(expected) => {
                // A part that is not what it should be is of no use.
                self.fate = Fate::Removed;
                Err(ArtifactFault::WrongDigest { expected, actual: digest })
            }
        }
    }
}

/// All that is to come of a file.
pub(crate) struct Sealed {
    writer: Writer,
    file: File,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

impl Sealed {
    /// Has all bytes on the disk, and gives the file its name.
    pub(crate) async fn keep(self) -> Result<(), ArtifactFault> {
        let Self { mut writer, file, digest, size } = self;
        let (depot, path) = (writer.depot.clone(), writer.path.clone());
        blocking(move || {
            file.sync_all()?;
            depot.inner.store.keep(&path, &digest, size)
        })
        .await?;
        writer.fate = Fate::Kept;
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.fate == Fate::Removed {
            // One that is being renamed by its task is there no more, or is named by nobody.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn failed() -> ArtifactFault {
    ArtifactFault::Disk("a write before it failed".into())
}

/// Does what blocks on a thread for that.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ArtifactFault> {
    let done = spawn_blocking(work).await;
    Ok(done.map_err(|error| ArtifactFault::Disk(error.to_string()))??)
}
