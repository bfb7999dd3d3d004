//! Segments made ready before they are needed. Owns the preparing thread's work: zero-filling new files,
//! recycling freed ones, and the word on how much room is left. An append never meets a full disk,
//! because it only ever writes into a file that is already there in full.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::format::header;
use super::io::{Io, IoFile};
use crate::fault::Fault;
use crate::limits::{RECYCLED_SEGMENTS_MAX, SPARE_RETRY_MS, ZERO_CHUNK_BYTES};

/// Whether writes may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// There is room.
    Ok,
    /// No more segments can be prepared and only the reserve is left: refuse writes. It turns `Ok` by
    /// itself once there is room again.
    Low,
}

/// A segment ready to be written: header durable, all blocks on the disk.
pub(crate) struct Ready {
    pub(crate) id: u64,
    pub(crate) file: Box<dyn IoFile>,
    pub(crate) chain: u32,
}

struct Inner {
    ready: VecDeque<Ready>,
    freed: VecDeque<PathBuf>,
    /// Files of another size: of no use.
    unwanted: VecDeque<PathBuf>,
    next_id: u64,
    failing: bool,
    closed: bool,
}

/// The store of prepared segments.
pub(crate) struct Spares {
    io: Arc<dyn Io>,
    dir: PathBuf,
    segment_bytes: u64,
    target: usize,
    inner: Mutex<Inner>,
    changed: Condvar,
}

/// Where a segment lives.
pub(crate) fn path(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{id:016x}.log"))
}

/// A file being prepared; whatever is found under this name after a crash is nothing.
pub(crate) fn unfinished(dir: &Path) -> PathBuf {
    dir.join("next.tmp")
}

impl Spares {
    pub(crate) fn new(
        io: Arc<dyn Io>,
        dir: PathBuf,
        segment_bytes: u64,
        target: usize,
        ready: VecDeque<Ready>,
        next_id: u64,
    ) -> Self {
        let inner = Inner {
            ready,
            freed: VecDeque::new(),
            unwanted: VecDeque::new(),
            next_id,
            failing: false,
            closed: false,
        };
        let changed = Condvar::new();
        Self { io, dir, segment_bytes, target, inner: Mutex::new(inner), changed }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next segment; waits for one if the disk is full. None if the log is closed.
    pub(crate) fn take(&self) -> Option<Ready> {
        let mut inner = self.lock();
        loop {
            if let Some(ready) = inner.ready.pop_front() {
                self.changed.notify_all();
                return Some(ready);
            }
            if inner.closed {
                return None;
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A segment no longer holds anything; its file may become another one.
    pub(crate) fn recycle(&self, id: u64, size: u64) {
        let mut inner = self.lock();
        let list = if size == self.segment_bytes { &mut inner.freed } else { &mut inner.unwanted };
        list.push_back(path(&self.dir, id));
        self.changed.notify_all();
    }

    /// Prepares the next segment at once, for a log that has none.
    pub(crate) fn prepare_next(&self) -> Result<Ready, Fault> {
        let mut inner = self.lock();
        let ready = self.prepare(inner.next_id, None)?;
        inner.next_id += 1;
        Ok(ready)
    }

    pub(crate) fn space(&self) -> Space {
        let inner = self.lock();
        if inner.failing && inner.ready.len() < self.target { Space::Low } else { Space::Ok }
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// The body of the preparing thread.
    pub(crate) fn run(&self) {
        let mut inner = self.lock();
        while !inner.closed {
            inner = match self.step(inner) {
                Ok(inner) => inner,
                Err(idle) => self.changed.wait(idle).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// One piece of that thread's work; an error when there is nothing to do.
    fn step<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
    ) -> Result<MutexGuard<'a, Inner>, MutexGuard<'a, Inner>> {
        let too_many = inner.freed.len() > RECYCLED_SEGMENTS_MAX;
        if let Some(path) = inner.unwanted.pop_front() {
            return Ok(self.drop_file(inner, &path));
        }
        if too_many && inner.ready.len() >= self.target {
            let path = inner.freed.pop_front();
            return Ok(self.drop_file(inner, &path.unwrap_or_default()));
        }
        if inner.ready.len() >= self.target {
            return Err(inner);
        }
        let id = inner.next_id;
        let freed = inner.freed.pop_front();
        drop(inner);
        let made = self.prepare(id, freed.as_deref());
        inner = self.lock();
        if let (Err(_), Some(freed)) = (&made, freed) {
            inner.freed.push_front(freed);
        }
        Ok(self.note(inner, made))
    }

    /// Does all of that thread's work there is, for a log without threads.
    #[cfg(test)]
    pub(super) fn work_off(&self) {
        let mut inner = self.lock();
        while let Ok(after) = self.step(inner) {
            inner = after;
        }
    }

    fn note<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
        made: Result<Ready, Fault>,
    ) -> MutexGuard<'a, Inner> {
        match made {
            Ok(ready) => {
                if std::mem::take(&mut inner.failing) {
                    tracing::info!("the log has room again");
                }
                inner.next_id += 1;
                inner.ready.push_back(ready);
                self.changed.notify_all();
                inner
            }
            Err(fault) => {
                if !std::mem::replace(&mut inner.failing, true) {
                    tracing::error!(%fault, "no room for the log's next segment");
                }
                let retry = Duration::from_millis(SPARE_RETRY_MS);
                let waited = self.changed.wait_timeout(inner, retry);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }

    fn drop_file<'a>(&'a self, inner: MutexGuard<'a, Inner>, path: &Path) -> MutexGuard<'a, Inner> {
        drop(inner);
        if let Err(fault) = self.io.remove(path) {
            tracing::warn!(%fault, file = %path.display(), "a freed log segment stays on the disk");
        }
        self.lock()
    }

    /// Makes segment `id` out of a freed file, or anew.
    pub(crate) fn prepare(&self, id: u64, freed: Option<&Path>) -> Result<Ready, Fault> {
        let path = path(&self.dir, id);
        self.prepare_at(&path, id, freed)
            .map_err(|source| Fault::io(format!("prepare log segment {}", path.display()), source))
    }

    fn prepare_at(&self, path: &Path, id: u64, freed: Option<&Path>) -> io::Result<Ready> {
        let unfinished = unfinished(&self.dir);
        let (head, chain) = header(id, self.segment_bytes);
        let renamed = freed.map(|freed| self.io.rename(freed, &unfinished));
        let file = if let Some(Ok(())) = renamed {
            self.io.open(&unfinished)?
        } else {
            let file = self.io.create(&unfinished)?;
            if let Err(fault) = self.fill(file.as_ref()) {
                // A file cut short by a full disk would keep the room that others need.
                drop(file);
                let _ = self.io.remove(&unfinished);
                return Err(fault);
            }
            file
        };
        file.write_at(0, &head)?;
        file.sync()?;
        self.io.rename(&unfinished, path)?;
        self.io.sync_dir(&self.dir)?;
        Ok(Ready { id, file, chain })
    }

    /// Writes zeros over the whole size, piece by piece so that the log's own syncs get in between.
    fn fill(&self, file: &dyn IoFile) -> io::Result<()> {
        let zeros = vec![0; ZERO_CHUNK_BYTES];
        let mut at = 0;
        while at < self.segment_bytes {
            let rest = self.segment_bytes - at;
            let piece = usize::try_from(rest).unwrap_or(usize::MAX).min(zeros.len());
            file.write_at(at, &zeros[..piece])?;
            file.sync()?;
            at += piece as u64;
        }
        Ok(())
    }
}
