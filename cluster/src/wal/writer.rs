//! The one thread that writes the log. Owns the order of frames, group commit, rotation, and the freeing
//! of old segments; leaves waiting to `queue`, files made ready to `spares`, bytes to `format`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::format::{FRAME_BYTES, FrameWriter, HEADER_BYTES, Header, Kind, padded};
use super::io::IoFile;
use super::log::Shared;
use super::queue::{Drained, Op, Request};
use super::record::{
    Entry, Marks, RUN_BYTES, STATE_BYTES_MAX, begin_entries, entry_bytes, push_entry, put_mark,
    put_seal, put_state, put_truncate, put_vote,
};
use super::replay::End;
use super::tail::Tail;
use super::view::{View, runs};
use crate::limits::{
    DRAIN_BYTES_MAX, FRAME_BYTES_TARGET, LOOKS_MAX, REWRITE_FRACTION, REWRITE_SEGMENTS_MIN,
};

/// The log can go no further: it is closed, or the disk failed. All that waits is dropped.
pub(super) struct Stopped;

/// A segment in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) id: u64,
    pub(crate) bytes: u64,
}

impl Segment {
    pub(crate) fn of(header: &Header) -> Self {
        Self { id: header.id, bytes: header.size }
    }
}

/// The writing half of the log.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    file: Box<dyn IoFile>,
    frames: FrameWriter,
    offset: usize,
    /// Segments in use, oldest first; the last one is being written.
    segments: VecDeque<Segment>,
    views: BTreeMap<u32, View>,
    /// Something was written since the last sync.
    unsynced: bool,
    /// A request was seen that may have freed a segment.
    look_for_free: bool,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        file: Box<dyn IoFile>,
        end: End,
        segments: VecDeque<Segment>,
        views: BTreeMap<u32, View>,
    ) -> Self {
        let mut frames = FrameWriter::new(end.id, end.chain);
        frames.set_synced(offset32(end.offset));
        shared.counters.segments.store(segments.len() as u64, Relaxed);
        let (unsynced, look_for_free) = (false, true);
        let offset = end.offset;
        Self { shared, file, frames, offset, segments, views, unsynced, look_for_free }
    }

    /// The body of the writer thread: until the log is closed, or the disk fails.
    pub(crate) fn run(mut self) {
        if self.begin().is_ok() {
            while let Some(drained) = self.shared.queue.drain() {
                if self.handle(drained).is_err() {
                    break;
                }
            }
        }
        self.shared.counters.writing_since_us.store(0, Relaxed);
        self.shared.queue.fail();
        self.shared.spares.close();
    }

    /// Repeats the state of every group where writing goes on: a crash may have taken away what the
    /// head of this segment said, and older segments may only go while a newer one says it.
    pub(super) fn begin(&mut self) -> Result<(), Stopped> {
        let states: Vec<(u32, Marks)> =
            self.views.iter().map(|(id, v)| (*id, *v.marks())).collect();
        for (group, marks) in states {
            self.reserve(STATE_BYTES_MAX)?;
            put_state(&mut self.frames, group, &marks);
        }
        self.write()
    }

    fn handle(&mut self, drained: Drained) -> Result<(), Stopped> {
        let started = self.shared.queue.clock.micros();
        let counters = &self.shared.counters;
        counters.writing_since_us.store(drained.since_us + 1, Relaxed);
        let requests = self.gather(drained)?;
        self.make_durable(&requests, started)?;
        answer(requests);
        self.tidy()?;
        self.shared.counters.writing_since_us.store(0, Relaxed);
        Ok(())
    }

    /// Syncs, if there is anything that somebody counts on.
    pub(super) fn make_durable(
        &mut self,
        requests: &[Request],
        started_us: u64,
    ) -> Result<(), Stopped> {
        let must_sync = requests.iter().any(|r| !matches!(r.op, Op::Purge(_)));
        if must_sync || requests.is_empty() {
            self.sync()?;
            let now = self.shared.queue.clock.micros();
            self.shared.counters.synced(now.saturating_sub(started_us));
        }
        Ok(())
    }

    /// Frees segments, if what was written may have left some without anything live.
    pub(super) fn tidy(&mut self) -> Result<(), Stopped> {
        if std::mem::take(&mut self.look_for_free) { self.free_segments() } else { Ok(()) }
    }

    /// Writes what was taken, and what came in while it was being encoded and written: that shares the
    /// sync to come instead of waiting for the one after.
    pub(super) fn gather(&mut self, drained: Drained) -> Result<Vec<Request>, Stopped> {
        let mut room = DRAIN_BYTES_MAX.saturating_sub(drained.bytes);
        let mut requests = self.encode_all(drained)?;
        let mut looks = 0;
        loop {
            let more = if looks < LOOKS_MAX { self.shared.queue.drain_more(room) } else { None };
            match more {
                Some(more) => {
                    looks += 1;
                    room = room.saturating_sub(more.bytes);
                    requests.append(&mut self.encode_all(more)?);
                }
                None if self.frames.buf.is_empty() => return Ok(requests),
                None => self.write()?,
            }
        }
    }

    fn encode_all(&mut self, drained: Drained) -> Result<Vec<Request>, Stopped> {
        for request in &drained.requests {
            self.encode(request)?;
        }
        for (group, position) in drained.committed {
            self.reserve(STATE_BYTES_MAX)?;
            put_mark(&mut self.frames, group, Kind::Committed, position);
            self.views.entry(group).or_default().committed(position);
        }
        Ok(drained.requests)
    }

    fn encode(&mut self, request: &Request) -> Result<(), Stopped> {
        let group = request.group;
        match &request.op {
            Op::Append(entries) => return self.encode_entries(group, entries),
            Op::Vote(vote) => {
                self.reserve(STATE_BYTES_MAX)?;
                put_vote(&mut self.frames, group, *vote);
                self.views.entry(group).or_default().vote(*vote);
            }
            Op::Truncate(from) => {
                self.reserve(STATE_BYTES_MAX)?;
                put_truncate(&mut self.frames, group, *from);
                self.views.entry(group).or_default().truncate(*from);
                self.look_for_free = true;
            }
            Op::Purge(upto) => {
                self.reserve(STATE_BYTES_MAX)?;
                put_mark(&mut self.frames, group, Kind::Purge, *upto);
                self.views.entry(group).or_default().purge(*upto);
                self.look_for_free = true;
            }
            Op::Forget(left) => {
                self.reserve(2 * STATE_BYTES_MAX)?;
                put_truncate(&mut self.frames, group, 0);
                put_state(&mut self.frames, group, left);
                self.views.insert(group, View::of(*left));
                self.look_for_free = true;
            }
        }
        Ok(())
    }

    fn encode_entries(&mut self, group: u32, entries: &[Entry]) -> Result<(), Stopped> {
        self.shared.counters.entries.fetch_add(entries.len() as u64, Relaxed);
        let frame_bytes = self.shared.frame_bytes;
        for frame in cut(entries, frame_bytes) {
            self.put_entries(group, frame)?;
            let segment = self.newest();
            let view = self.views.entry(group).or_default();
            view.entries(frame[0].position, frame.len(), segment);
        }
        Ok(())
    }

    fn put_entries(&mut self, group: u32, entries: &[Entry]) -> Result<(), Stopped> {
        self.reserve(entries.iter().map(entry_room).sum())?;
        begin_entries(&mut self.frames, group, entries[0].position);
        for entry in entries {
            push_entry(&mut self.frames.buf, &entry.body);
        }
        self.frames.finish();
        Ok(())
    }

    fn segment(&self) -> Segment {
        *self.segments.back().expect("one segment is always being written")
    }

    fn newest(&self) -> u64 {
        self.segment().id
    }

    /// Makes sure that a frame of `bytes` and the seal after it fit into the segment being written.
    fn reserve(&mut self, bytes: usize) -> Result<(), Stopped> {
        let end = self.offset + self.frames.buf.len() + padded(bytes) + FRAME_BYTES;
        if end as u64 <= self.segment().bytes { Ok(()) } else { self.rotate() }
    }

    /// Seals the segment and goes on in a prepared one, which begins with the state of every group,
    /// so that no older segment is needed for anything but entries.
    fn rotate(&mut self) -> Result<(), Stopped> {
        put_seal(&mut self.frames);
        self.write()?;
        self.sync()?;
        let ready = self.shared.spares.take().ok_or(Stopped)?;
        self.file = ready.file;
        self.offset = HEADER_BYTES;
        self.frames.restart(ready.id, ready.chain);
        self.frames.set_synced(offset32(HEADER_BYTES));
        let bytes = self.shared.segment_bytes as u64;
        self.segments.push_back(Segment { id: ready.id, bytes });
        self.shared.counters.segments.store(self.segments.len() as u64, Relaxed);
        for (group, view) in &self.views {
            put_state(&mut self.frames, *group, view.marks());
        }
        self.look_for_free = true;
        Ok(())
    }

    fn write(&mut self) -> Result<(), Stopped> {
        if self.frames.buf.is_empty() {
            return Ok(());
        }
        if let Err(fault) = self.file.write_at(self.offset as u64, &self.frames.buf) {
            self.shared.io.give_up(&format!("failed to write the log: {fault}"));
            return Err(Stopped);
        }
        self.shared.counters.bytes.fetch_add(self.frames.buf.len() as u64, Relaxed);
        self.offset += self.frames.buf.len();
        self.frames.buf.clear();
        self.unsynced = true;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Stopped> {
        if let Err(fault) = self.file.sync() {
            self.shared.io.give_up(&format!("failed to sync the log: {fault}"));
            return Err(Stopped);
        }
        self.frames.set_synced(offset32(self.offset));
        self.unsynced = false;
        Ok(())
    }

    /// Gives back every oldest segment that holds nothing live, and empties one that holds little.
    fn free_segments(&mut self) -> Result<(), Stopped> {
        while self.segments.len() > 1 {
            let oldest = self.segments[0];
            if self.views.values().any(|view| view.live_in(oldest.id).next().is_some())
                && !self.rewrite(oldest.id)?
            {
                break;
            }
            if self.unsynced {
                // What made the segment free must survive before the segment may go.
                self.sync()?;
            }
            self.segments.pop_front();
            self.shared.spares.recycle(oldest.id, oldest.bytes);
        }
        self.shared.counters.segments.store(self.segments.len() as u64, Relaxed);
        Ok(())
    }

    /// Writes the live entries of the oldest segment again at the end, if they are few. True if the
    /// segment holds nothing live any more.
    fn rewrite(&mut self, oldest: u64) -> Result<bool, Stopped> {
        if self.segments.len() < REWRITE_SEGMENTS_MIN {
            return Ok(false);
        }
        let Some((live, bytes)) = self.live_entries(oldest) else { return Ok(false) };
        // Room for all of them at once: they end up in one segment.
        self.reserve(bytes)?;
        for (group, entries) in &live {
            for frame in cut(entries, self.shared.frame_bytes) {
                self.put_entries(*group, frame)?;
            }
            self.shared.counters.rewritten.fetch_add(entries.len() as u64, Relaxed);
        }
        self.write()?;
        let newest = self.newest();
        for group in live.keys() {
            self.views.entry(*group).or_default().relocate(oldest, newest);
        }
        Ok(true)
    }

    /// The live entries of a segment and the room they need; none if they are many, or if memory is
    /// ahead of the file in one of the groups: the request that did it will bring another look.
    fn live_entries(&self, segment: u64) -> Option<(BTreeMap<u32, Vec<Entry>>, usize)> {
        let mut live = BTreeMap::new();
        let most = self.shared.segment_bytes / REWRITE_FRACTION;
        let mut total = 0;
        for (group, view) in &self.views {
            for (range, epoch) in view.live_in(segment) {
                let read = |tail: &Tail| tail.read(range.clone(), most);
                let entries = self.shared.with_tail(*group, read)?;
                let whole = entries.len() as u64 == range.end - range.start;
                if !whole || entries.iter().any(|entry| entry.position.epoch() != epoch) {
                    return None;
                }
                total += entries.iter().map(entry_room).sum::<usize>();
                if total > most {
                    return None;
                }
                live.entry(*group).or_insert_with(Vec::new).extend(entries);
            }
        }
        Some((live, total))
    }
}

/// Tells those who asked that their requests are durable.
pub(super) fn answer(requests: Vec<Request>) {
    for done in requests.into_iter().filter_map(|request| request.done) {
        done();
    }
}

/// Most bytes an entry can need in the file, were it in a frame of its own.
fn entry_room(entry: &Entry) -> usize {
    padded(FRAME_BYTES + RUN_BYTES + entry_bytes(&entry.body))
}

/// Cuts entries into what goes into one frame each: one leader, consecutive, of bounded bytes.
fn cut(entries: &[Entry], frame_bytes: usize) -> impl Iterator<Item = &[Entry]> {
    runs(entries).flat_map(move |mut rest| {
        std::iter::from_fn(move || {
            let mut bytes = 0;
            let count = rest.iter().take_while(|entry| {
                let first = bytes == 0;
                bytes += entry_bytes(&entry.body);
                first || bytes <= frame_bytes
            });
            let (frame, after) = rest.split_at(count.count());
            rest = after;
            (!frame.is_empty()).then_some(frame)
        })
    })
}

/// Bytes that a log's frames of entries aim at, for a segment of a size.
pub(crate) fn frame_bytes(segment_bytes: usize) -> usize {
    FRAME_BYTES_TARGET.min(segment_bytes / 8)
}

fn offset32(offset: usize) -> u32 {
    u32::try_from(offset).expect("a segment is bounded to 1 GiB")
}
