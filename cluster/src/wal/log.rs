//! The node's log as a handle. Owns its threads and the table of groups; leaves opening to `open`, one
//! group's use of it to `group_log`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::group_log::GroupLog;
#[cfg(test)]
use super::hand::Hand;
use super::io::Io;
use super::open::{self, Opened};
use super::queue::Queue;
use super::record::STATE_BYTES_MAX;
use super::spares::{Space, Spares};
use super::stats::{Counters, LogStats};
use super::tail::Tail;
use super::writer::Writer;
use crate::fault::Fault;
use crate::ids::GroupId;
use crate::limits::{
    ENTRY_BYTES_MAX, GROUPS_MAX, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN,
    SPARE_SEGMENTS_DEFAULT,
};

/// How a node's log is laid out. The segment size may differ from one start to the next.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The directory that holds the log and nothing else. Made if it does not exist.
    pub dir: PathBuf,
    /// Bytes of one segment file.
    pub segment_bytes: u64,
    /// Segments kept ready ahead of the one being written, at least 2: one of them is the reserve
    /// with which a full disk is met.
    pub spare_segments: usize,
}

impl LogOptions {
    /// The defaults, for a log in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            spare_segments: SPARE_SEGMENTS_DEFAULT,
        }
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        let sizes = SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX;
        if !sizes.contains(&self.segment_bytes) || !self.segment_bytes.is_multiple_of(4096) {
            return Err(Fault::Options(format!(
                "log segments of {} bytes: should be a multiple of 4096 from {SEGMENT_BYTES_MIN} to \
                 {SEGMENT_BYTES_MAX}",
                self.segment_bytes
            )));
        }
        if self.spare_segments < 2 {
            return Err(Fault::Options(format!(
                "{} spare log segments: should be at least 2, one of them is the reserve",
                self.spare_segments
            )));
        }
        Ok(())
    }
}

/// What opening a log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Groups with anything in the log.
    pub groups: usize,
    /// Entries not yet purged.
    pub entries: u64,
    /// Bytes of these entries.
    pub bytes: u64,
    /// Segments read.
    pub segments: usize,
    /// How long it took.
    pub micros: u64,
}

/// What the handle, the groups and the threads share.
pub(crate) struct Shared {
    pub(crate) io: Arc<dyn Io>,
    pub(crate) queue: Queue,
    pub(crate) spares: Arc<Spares>,
    pub(crate) counters: Counters,
    pub(crate) segment_bytes: usize,
    pub(crate) frame_bytes: usize,
    pub(crate) tails: Mutex<BTreeMap<u32, Arc<Mutex<Tail>>>>,
}

impl Shared {
    /// The group's log in memory, locked.
    pub(crate) fn with_tail<R>(&self, group: u32, read: impl FnOnce(&Tail) -> R) -> Option<R> {
        let tail = self.lock_tails().get(&group).cloned()?;
        let tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        Some(read(&tail))
    }

    /// The group's replica is gone, and another one may begin with this; unless one has in between.
    pub(super) fn renew_tail(&self, group: u32, old: &Arc<Mutex<Tail>>, new: Tail) {
        let mut tails = self.lock_tails();
        if tails.get(&group).is_some_and(|now| Arc::ptr_eq(now, old)) {
            tails.insert(group, Arc::new(Mutex::new(new)));
        }
    }

    fn lock_tails(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<Mutex<Tail>>>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes the largest entry may carry.
    pub(crate) fn entry_bytes_max(&self) -> usize {
        ENTRY_BYTES_MAX.min(self.segment_bytes / 3)
    }
}

/// The node's write-ahead log: cheap to clone, opened once.
///
/// It ends when the last handle, that of every group included, is dropped; [`Log::close`] waits for that.
#[derive(Clone)]
pub struct Log {
    pub(super) owner: Arc<Owner>,
}

/// Ends the threads with the last handle.
pub(super) struct Owner {
    pub(super) shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.queue.close();
        self.shared.spares.close();
    }
}

impl Log {
    /// Opens the log in `options.dir`, or begins one. Reads all of it, drops a torn tail, and starts the
    /// threads.
    ///
    /// # Errors
    /// [`Fault::Corrupt`] for damage that no crash explains, naming file and offset; nothing was
    /// changed then. Otherwise options or the disk.
    pub fn open(options: LogOptions, io: impl Io) -> Result<(Self, Recovery), Fault> {
        options.check()?;
        let opened = open::open(&options, Arc::new(io))?;
        let Opened { shared, file, end, segments, views, recovery } = opened;
        let writer = Writer::new(Arc::clone(&shared), file, end, segments, views);
        let spares = Arc::clone(&shared.spares);
        let threads = vec![
            spawn("pollux-log-spares", move || spares.run())?,
            spawn("pollux-log", move || writer.run())?,
        ];
        let owner = Owner { shared, threads: Mutex::new(threads) };
        Ok((Self { owner: Arc::new(owner) }, recovery))
    }

    /// The log without its threads: whoever has the hand does what they do, in their place.
    #[cfg(test)]
    pub(crate) fn by_hand(options: LogOptions, io: impl Io) -> Result<(Self, Hand), Fault> {
        options.check()?;
        let Opened { shared, file, end, segments, views, .. } = open::open(&options, Arc::new(io))?;
        shared.spares.work_off();
        let writer = Writer::new(Arc::clone(&shared), file, end, segments, views);
        let hand = Hand::new(Arc::clone(&shared), writer);
        let owner = Owner { shared, threads: Mutex::default() };
        Ok((Self { owner: Arc::new(owner) }, hand))
    }

    /// A group's part of this log; empty if the group is new.
    ///
    /// # Errors
    /// When the log carries as many groups as its segments can head.
    pub fn group(&self, group: GroupId) -> Result<GroupLog, Fault> {
        let shared = &self.owner.shared;
        let most = GROUPS_MAX.min(shared.segment_bytes / 4 / STATE_BYTES_MAX);
        let mut tails = shared.lock_tails();
        if !tails.contains_key(&group.0) && tails.len() >= most {
            return Err(Fault::Options(format!("one log carries at most {most} groups")));
        }
        let tail = Arc::clone(tails.entry(group.0).or_default());
        drop(tails);
        Ok(GroupLog::new(self.clone(), group.0, tail))
    }

    /// Whether writes may go on; see [`Space`].
    #[must_use]
    pub fn space(&self) -> Space {
        self.owner.shared.spares.space()
    }

    /// The log's counters.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        self.owner.shared.counters.picture()
    }

    /// How long the oldest request that is not durable has been waiting, 0 if there is none. Grows
    /// while the disk stalls.
    #[must_use]
    pub fn oldest_pending_ms(&self) -> u64 {
        let shared = &self.owner.shared;
        let writing = shared.counters.writing_since_us.load(Relaxed).checked_sub(1);
        let oldest = writing.or_else(|| shared.queue.oldest_us());
        oldest.map_or(0, |since| shared.queue.clock.micros().saturating_sub(since) / 1000)
    }

    /// Writes what is queued, ends the threads and waits for them. Blocks.
    pub fn close(&self) {
        let shared = &self.owner.shared;
        shared.queue.close();
        let threads =
            std::mem::take(&mut *self.owner.threads.lock().unwrap_or_else(PoisonError::into_inner));
        // The writer closes the spares when it is done, since it may need one more until then.
        for thread in threads.into_iter().rev() {
            if thread.join().is_err() {
                tracing::error!("a thread of the log had panicked");
            }
        }
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Fault> {
    let started = thread::Builder::new().name(name.into()).spawn(body);
    started.map_err(|source| Fault::io(format!("start thread {name}"), source))
}
