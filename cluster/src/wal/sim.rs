//! A disk in memory that can lose power, tear writes, run full and fail to sync. Owns what a disk may do
//! to a program that trusts only `sync`; used by tests of this room and by the seeded worlds.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::io::{Io, IoFile};

/// Pieces a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Writes since the last sync, in order.
    pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    capacity: Option<u64>,
    fail_syncs: bool,
    stall_syncs: bool,
    gave_up: Option<String>,
}

/// Whether a disk's syncs wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stalled {
    /// They wait.
    Yes,
    /// They go on.
    No,
}

/// A simulated disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimDisk {
    /// An empty disk without a limit.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits the bytes of all files; more are refused as on a full disk.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        lock(&self.state).capacity = bytes;
    }

    /// Makes every sync fail from now on.
    pub fn fail_syncs(&self) {
        lock(&self.state).fail_syncs = true;
    }

    /// Makes syncs wait, as on a disk that stalls, until told otherwise.
    pub fn stall_syncs(&self, stalled: Stalled) {
        lock(&self.state).stall_syncs = stalled == Stalled::Yes;
    }

    /// Why the log gave up, if it did.
    #[must_use]
    pub fn gave_up(&self) -> Option<String> {
        lock(&self.state).gave_up.clone()
    }

    /// A file's content as a reader would see it now.
    #[must_use]
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        lock(&self.state).files.get(path).map(|file| lock(file).now.clone())
    }

    /// Puts a file on the disk, durable.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let content = Content { now: bytes.clone(), durable: bytes, pending: Vec::new() };
        lock(&self.state).files.insert(path.into(), Arc::new(Mutex::new(content)));
    }

    /// The paths of all files.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        lock(&self.state).files.keys().cloned().collect()
    }

    /// The disk as it is found after a power failure: everything synced, and of each file's other
    /// writes those sectors that `survives` says, called with a running number.
    #[must_use]
    pub fn after_power_failure(&self, mut survives: impl FnMut(u64) -> bool) -> Self {
        let after = Self::new();
        let mut sector = 0;
        for (path, file) in &lock(&self.state).files {
            let content = lock(file);
            let mut bytes = content.durable.clone();
            for (offset, data) in &content.pending {
                let mut at = 0;
                while at < data.len() {
                    let sector_end = (offset + at + 1).next_multiple_of(SECTOR_BYTES);
                    let end = (sector_end - offset).min(data.len());
                    if survives(sector) {
                        put_at(&mut bytes, offset + at, &data[at..end]);
                    }
                    (sector, at) = (sector + 1, end);
                }
            }
            after.put(path, bytes);
        }
        after
    }

    fn used(state: &State) -> u64 {
        state.files.values().map(|file| lock(file).now.len() as u64).sum()
    }
}

fn put_at(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

struct SimFile {
    disk: SimDisk,
    file: Arc<Mutex<Content>>,
}

impl IoFile for SimFile {
    fn read_all(&self) -> io::Result<Vec<u8>> {
        Ok(lock(&self.file).now.clone())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let state = lock(&self.disk.state);
        let length = lock(&self.file).now.len();
        let more = (offset + bytes.len()).saturating_sub(length) as u64;
        if more > 0 && state.capacity.is_some_and(|c| SimDisk::used(&state) + more > c) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let mut content = lock(&self.file);
        put_at(&mut content.now, offset, bytes);
        content.pending.push((offset, bytes.to_vec()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        while lock(&self.disk.state).stall_syncs {
            std::thread::sleep(Duration::from_millis(1));
        }
        if lock(&self.disk.state).fail_syncs {
            return Err(io::Error::other("simulated failure of a sync"));
        }
        let mut content = lock(&self.file);
        let Content { durable, pending, .. } = &mut *content;
        for (offset, data) in pending.drain(..) {
            put_at(durable, offset, &data);
        }
        Ok(())
    }
}

impl Io for SimDisk {
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self.paths().into_iter().filter(|path| path.parent() == Some(dir)).collect())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn IoFile>> {
        let file = lock(&self.state).files.get(path).cloned();
        let file = file.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile { disk: self.clone(), file }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn IoFile>> {
        self.put(path, Vec::new());
        self.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = lock(&self.state);
        let file = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.files.insert(to.into(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = lock(&self.state).files.remove(path);
        removed.map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn give_up(&self, reason: &str) {
        lock(&self.state).gave_up.get_or_insert_with(|| reason.into());
    }
}
