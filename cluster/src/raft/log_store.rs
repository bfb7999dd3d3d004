//! The node's log as the consensus library's log storage for one group. Owns nothing but the
//! translation, and tells `alone` what could end its word; durability and order are the log's.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};

use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};

use super::alone::Alone;
use super::types::{
    C, EntryC, LogIdC, VoteC, entry_in, entry_out, log_id, position, vote_in, vote_out,
};
use crate::fault::Fault;
use crate::limits::READ_BYTES_MAX;
use crate::wal::GroupLog;

/// One group's log storage; clones are its readers.
#[derive(Clone)]
pub(crate) struct LogStore {
    log: GroupLog,
    alone: Alone,
}

impl LogStore {
    pub(crate) fn new(log: GroupLog, alone: Alone) -> Self {
        Self { log, alone }
    }

    fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<EntryC>> {
        let entries = self.log.read(range, bytes_max);
        entries.into_iter().map(|entry| entry_in(entry).map_err(Fault::into_io)).collect()
    }
}

fn half_open(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(n) => *n,
        Bound::Excluded(n) => n + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(n) => n + 1,
        Bound::Excluded(n) => *n,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl RaftLogReader<C> for LogStore {
    async fn try_get_log_entries<R>(&mut self, range: R) -> io::Result<Vec<EntryC>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.read(half_open(&range), usize::MAX)
    }

    async fn read_vote(&mut self) -> io::Result<Option<VoteC>> {
        Ok(self.log.vote().map(vote_in))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<EntryC>> {
        self.read(start..end, READ_BYTES_MAX)
    }
}

impl RaftLogStorage<C> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<C>> {
        Ok(LogState {
            last_purged_log_id: self.log.purged().map(log_id),
            last_log_id: self.log.last().map(log_id),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteC) -> io::Result<()> {
        self.alone.voting(vote);
        self.log.save_vote(vote_out(vote)).await.map_err(Fault::into_io)
    }

    async fn save_committed(&mut self, committed: Option<LogIdC>) -> io::Result<()> {
        if let Some(committed) = committed {
            self.log.mark_committed(position(&committed));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogIdC>> {
        Ok(self.log.committed().map(log_id))
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<C>) -> io::Result<()>
    where
        I: IntoIterator<Item = EntryC> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<_> = entries.into_iter().map(entry_out).collect();
        self.alone.appending(&entries);
        let done = Box::new(move || flushed.io_completed(Ok(())));
        self.log.append(entries, done).await.map_err(Fault::into_io)
    }

    async fn truncate_after(&mut self, last: Option<LogIdC>) -> io::Result<()> {
        self.alone.take_back();
        let from = last.map_or(0, |last| last.index + 1);
        self.log.truncate(from).await.map_err(Fault::into_io)
    }

    async fn purge(&mut self, upto: LogIdC) -> io::Result<()> {
        self.log.purge(position(&upto)).await.map_err(Fault::into_io)
    }
}
