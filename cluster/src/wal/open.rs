//! Opening the log: which files count, in which order they are read, and where writing goes on. Owns the
//! first steps on the disk; leaves the meaning of bytes to `replay`.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::format::{HEADER_BYTES, Header};
use super::io::{Io, IoFile};
use super::log::{LogOptions, Recovery, Shared};
use super::queue::Queue;
use super::replay::{End, Replay};
use super::spares::{Ready, Spares, path, unfinished};
use super::stats::Counters;
use super::tail::Tail;
use super::view::View;
use super::writer::{Segment, frame_bytes};
use crate::clock::Clock;
use crate::fault::Fault;

/// A log ready for its threads.
pub(super) struct Opened {
    pub(super) shared: Arc<Shared>,
    pub(super) file: Box<dyn IoFile>,
    pub(super) end: End,
    pub(super) segments: VecDeque<Segment>,
    pub(super) views: BTreeMap<u32, View>,
    pub(super) recovery: Recovery,
}

pub(super) fn open(options: &LogOptions, io: Arc<dyn Io>) -> Result<Opened, Fault> {
    let clock = Clock::start();
    let ids = list(options, io.as_ref())?;
    let mut replay = Replay::default();
    for &id in &ids {
        let (name, bytes) = read(options, io.as_ref(), id)?;
        replay.segment(&name, id, &bytes)?;
    }
    replay.finish()?;
    let (ready, next_id) = spares(options, io.as_ref(), &replay)?;
    let spares = Spares::new(
        Arc::clone(&io),
        options.dir.clone(),
        options.segment_bytes,
        options.spare_segments,
        ready,
        next_id,
    );
    let mut segments: VecDeque<Segment> = replay.used.iter().map(Segment::of).collect();
    let (end, file) = if let Some(end) = replay.end {
        let file = open_file(options, io.as_ref(), end.id)?;
        // What was read may so far only be in the page cache.
        file.sync().map_err(|e| Fault::io("sync the tail of the log", e))?;
        (end, file)
    } else {
        let first = spares.prepare_next()?;
        segments.push_back(Segment { id: first.id, bytes: options.segment_bytes });
        (End { id: first.id, offset: HEADER_BYTES, chain: first.chain }, first.file)
    };
    let views = replay.groups.iter().map(|(id, g)| (*id, View::from_replay(g))).collect();
    let mut recovery = Recovery {
        groups: replay.groups.len(),
        segments: replay.used.len(),
        ..Recovery::default()
    };
    let mut tails = BTreeMap::new();
    for (id, replayed) in replay.groups {
        recovery.entries += replayed.entries.len() as u64;
        let tail = Tail::from_replay(replayed);
        recovery.bytes += tail.bytes();
        tails.insert(id, Arc::new(Mutex::new(tail)));
    }
    recovery.micros = clock.micros();
    let segment_bytes = usize::try_from(options.segment_bytes).expect("at most 1 GiB");
    let shared = Arc::new(Shared {
        io,
        queue: Queue::new(clock),
        spares: Arc::new(spares),
        counters: Counters::default(),
        segment_bytes,
        frame_bytes: frame_bytes(segment_bytes),
        tails: Mutex::new(tails),
    });
    Ok(Opened { shared, file, end, segments, views, recovery })
}

/// The ids of all segments, in order; what a crash left unfinished is removed.
fn list(options: &LogOptions, io: &dyn Io) -> Result<Vec<u64>, Fault> {
    let dir = &options.dir;
    let files = io.list(dir).map_err(|e| Fault::io(format!("read {}", dir.display()), e))?;
    let mut ids = Vec::new();
    for file in files {
        if file == unfinished(dir) {
            io.remove(&file).map_err(|e| Fault::io(format!("remove {}", file.display()), e))?;
        } else if let Some(id) = segment_id(&file) {
            ids.push(id);
        } else {
            return Err(Fault::Options(format!(
                "{} does not belong into the log's directory",
                file.display()
            )));
        }
    }
    ids.sort_unstable();
    Ok(ids)
}

fn segment_id(file: &Path) -> Option<u64> {
    let name = file.file_name()?.to_str()?.strip_suffix(".log")?;
    (name.len() == 16).then(|| u64::from_str_radix(name, 16).ok()).flatten()
}

fn open_file(options: &LogOptions, io: &dyn Io, id: u64) -> Result<Box<dyn IoFile>, Fault> {
    let path = path(&options.dir, id);
    io.open(&path).map_err(|e| Fault::io(format!("open {}", path.display()), e))
}

fn read(options: &LogOptions, io: &dyn Io, id: u64) -> Result<(String, Vec<u8>), Fault> {
    let name = path(&options.dir, id).display().to_string();
    let bytes = open_file(options, io, id)?.read_all();
    Ok((name.clone(), bytes.map_err(|e| Fault::io(format!("read {name}"), e))?))
}

/// The prepared segments that can be used, and the id of the next one to prepare. From the first
/// one of another size on they are removed, last first, so that a crash leaves no gap.
fn spares(
    options: &LogOptions,
    io: &dyn Io,
    replay: &Replay,
) -> Result<(VecDeque<Ready>, u64), Fault> {
    let fit = |header: &&Header| header.size == options.segment_bytes;
    let keep = replay.spare.iter().take_while(fit).count();
    for header in replay.spare[keep..].iter().rev() {
        let path = path(&options.dir, header.id);
        io.remove(&path).map_err(|e| Fault::io(format!("remove {}", path.display()), e))?;
    }
    let mut ready = VecDeque::new();
    for header in &replay.spare[..keep] {
        let file = open_file(options, io, header.id)?;
        ready.push_back(Ready { id: header.id, file, chain: header.crc });
    }
    let last = replay.spare[..keep].last().or_else(|| replay.used.last());
    Ok((ready, last.map_or(1, |header| header.id + 1)))
}
