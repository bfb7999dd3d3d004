//! The log beside raft-engine 0.4.2, in one run on one directory: 200-byte entries of 32 groups, each
//! group keeping its last 2,048. `cargo run --release --manifest-path cluster/yardstick/Cargo.toml [-- SECONDS]`.
//!
//! T64: 32 threads, each with its group, batches of 64 entries, each waits until its batch is durable.
//! C64: one thread hands over 64 entries of each of 32 groups and waits until all are durable.
//! T1: as T64 with batches of one entry.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pollux_cluster::wal::{Body, Entry, GroupLog, Log, LogOptions};
use pollux_cluster::{Disk, GroupId, Position};
use protobuf::{CodedInputStream, CodedOutputStream, Message, ProtobufResult, UnknownFields};
use raft_engine::{Command, Config, Engine, LogBatch, MessageExt, ReadableSize};
use tokio::runtime::{Builder, Runtime};

const GROUPS: u64 = 32;
const ENTRY_BYTES: usize = 200;
const KEEP: u64 = 2048;

/// A log under test: many groups, appends that return when durable.
trait Subject: Sync {
    /// Appends `count` entries of each of these groups after `next`, durable on return, then drops
    /// what is older than the last [`KEEP`].
    fn append(&self, groups: std::ops::Range<u64>, next: u64, count: u64);
}

fn payload() -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..ENTRY_BYTES).map(|_| byte()).collect()
}

struct Ours {
    groups: Vec<GroupLog>,
    payload: Bytes,
    log: Log,
}

impl Ours {
    fn open(dir: &Path) -> Self {
        let (log, _) = Log::open(LogOptions::new(dir), Disk).expect("a fresh directory");
        let group = |id| log.group(GroupId(id)).expect("few groups");
        let ids = 0..u32::try_from(GROUPS).expect("few groups");
        Self { groups: ids.map(group).collect(), payload: payload(), log }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.log.close();
    }
}

/// A caller that waits until all that it handed over is durable; woken once, by the last.
struct Waiting {
    left: AtomicU64,
    thread: Thread,
}

impl Waiting {
    fn one_is_durable(&self) {
        if self.left.fetch_sub(1, AcqRel) == 1 {
            self.thread.unpark();
        }
    }
}

fn position(index: u64) -> Position {
    Position { term: 1, leader: 1, index }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime without drivers")
}

thread_local! {
    static RUNTIME: Runtime = runtime();
}

impl Subject for Ours {
    fn append(&self, groups: std::ops::Range<u64>, next: u64, count: u64) {
        let waiting = Arc::new(Waiting {
            left: AtomicU64::new(groups.end - groups.start),
            thread: thread::current(),
        });
        let write = async {
            for group in groups {
                let log = &self.groups[usize::try_from(group).expect("few groups")];
                let body = || Body::Normal(self.payload.clone());
                let entry = |index| Entry { position: position(index), body: body() };
                let entries = (next..next + count).map(entry).collect();
                let waiting = Arc::clone(&waiting);
                let completion = Box::new(move || waiting.one_is_durable());
                log.append(entries, completion).await.expect("appends in order");
                if next.is_multiple_of(512) && next > KEEP {
                    log.purge(position(next - KEEP)).await.expect("an open log");
                }
            }
        };
        RUNTIME.with(|runtime| runtime.block_on(write));
        while waiting.left.load(Acquire) > 0 {
            thread::park();
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Record {
    index: u64,
    payload: Bytes,
}

impl Message for Record {
    fn descriptor(&self) -> &'static protobuf::reflect::MessageDescriptor {
        unimplemented!("raft-engine does not reflect")
    }
    fn is_initialized(&self) -> bool {
        true
    }
    fn merge_from(&mut self, is: &mut CodedInputStream) -> ProtobufResult<()> {
        self.index = is.read_raw_little_endian64()?;
        let mut rest = Vec::new();
        while !is.eof()? {
            rest.push(is.read_raw_byte()?);
        }
        self.payload = rest.into();
        Ok(())
    }
    fn write_to_with_cached_sizes(&self, os: &mut CodedOutputStream) -> ProtobufResult<()> {
        os.write_raw_little_endian64(self.index)?;
        os.write_raw_bytes(&self.payload)
    }
    fn compute_size(&self) -> u32 {
        u32::try_from(8 + self.payload.len()).expect("small")
    }
    fn get_cached_size(&self) -> u32 {
        self.compute_size()
    }
    fn get_unknown_fields(&self) -> &UnknownFields {
        unimplemented!("raft-engine does not ask")
    }
    fn mut_unknown_fields(&mut self) -> &mut UnknownFields {
        unimplemented!("raft-engine does not ask")
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
    fn new() -> Self {
        Self::default()
    }
    fn default_instance() -> &'static Self {
        static EMPTY: Record = Record { index: 0, payload: Bytes::new() };
        &EMPTY
    }
}

impl protobuf::Clear for Record {
    fn clear(&mut self) {
        *self = Self::default();
    }
}

struct Ext;

impl MessageExt for Ext {
    type Entry = Record;
    fn index(e: &Record) -> u64 {
        e.index
    }
}

struct Theirs {
    engine: Engine,
    payload: Bytes,
    purges: AtomicU64,
}

impl Theirs {
    fn open(dir: &Path) -> Self {
        let config = Config {
            dir: dir.display().to_string(),
            // Both logs write what they are given.
            batch_compression_threshold: ReadableSize(0),
            target_file_size: ReadableSize::mb(64),
            purge_threshold: ReadableSize::mb(256),
            enable_log_recycle: true,
            ..Config::default()
        };
        let engine = Engine::open(config).expect("a fresh directory");
        Self { engine, payload: payload(), purges: AtomicU64::new(0) }
    }
}

impl Subject for Theirs {
    fn append(&self, groups: std::ops::Range<u64>, next: u64, count: u64) {
        let mut batch = LogBatch::with_capacity(64);
        let purge = next.is_multiple_of(512) && next > KEEP;
        for group in groups {
            let record = |index| Record { index: index + 1, payload: self.payload.clone() };
            let records: Vec<Record> = (next..next + count).map(record).collect();
            batch.add_entries::<Ext>(group, &records).expect("a batch has room");
            if purge {
                batch.add_command(group, Command::Compact { index: next + 1 - KEEP });
            }
        }
        self.engine.write(&mut batch, true).expect("a healthy disk");
        if purge && self.purges.fetch_add(1, Relaxed).is_multiple_of(64) {
            self.engine.purge_expired_files().expect("a healthy disk");
        }
    }
}

struct Measured {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

/// Threads, groups of each, entries of a batch.
fn measure(
    subject: &dyn Subject,
    threads: u64,
    count: u64,
    start: u64,
    time: Duration,
) -> (Measured, u64) {
    let each = GROUPS / threads;
    let began = Instant::now();
    let mut laps: Vec<(u64, Vec<Duration>)> = thread::scope(|scope| {
        let run = |thread: u64| {
            move || {
                let (mut next, mut laps) = (start, Vec::new());
                while began.elapsed() < time {
                    let lap = Instant::now();
                    subject.append(thread * each..(thread + 1) * each, next, count);
                    laps.push(lap.elapsed());
                    next += count;
                }
                (next, laps)
            }
        };
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(run(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let seconds = began.elapsed().as_secs_f64();
    let written: u64 = laps.iter().map(|(next, _)| (next - start) * each).sum();
    let next = laps.iter().map(|(next, _)| *next).max().unwrap_or(start);
    let mut all: Vec<Duration> = laps.iter_mut().flat_map(|(_, laps)| laps.drain(..)).collect();
    all.sort_unstable();
    let (p50, p99) = (all[all.len() / 2], all[all.len() * 99 / 100]);
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let per_second = written as f64 / seconds;
    (Measured { per_second, p50, p99 }, next)
}

fn main() {
    let seconds = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(4);
    let time = Duration::from_secs(seconds);
    let dir = tempfile::tempdir_in(".").expect("a directory on the disk under test");
    println!("shape  log          entries/s    p50 ms   p99 ms");
    for (shape, threads, count) in [("T64", GROUPS, 64), ("C64", 1, 64), ("T1", GROUPS, 1)] {
        let mut best = [0.0_f64; 2];
        // Both twice, in turn: the disk is not equally fast at all times.
        for round in 0..2 {
            let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
            std::fs::create_dir_all(&theirs).expect("a writable directory");
            let subjects: [(&str, Box<dyn Subject>); 2] = [
                ("pollux", Box::new(Ours::open(&ours))),
                ("raft-engine", Box::new(Theirs::open(&theirs))),
            ];
            for (i, (name, subject)) in subjects.iter().enumerate() {
                // A short warm-up brings both to recycled files.
                let (_, next) = measure(subject.as_ref(), 1, 64, 0, Duration::from_millis(500));
                let (m, _) = measure(subject.as_ref(), threads, count, next, time);
                let ms = |d: Duration| d.as_secs_f64() * 1e3;
                let (rate, p50, p99) = (m.per_second, ms(m.p50), ms(m.p99));
                println!("{shape:<6} {name:<12} {rate:>9.0} {p50:>9.2} {p99:>8.2}  round {round}");
                best[i] = best[i].max(rate);
            }
            drop(subjects);
            thread::sleep(Duration::from_millis(300));
            let _ = std::fs::remove_dir_all(&ours);
            let _ = std::fs::remove_dir_all(&theirs);
        }
        println!("{shape:<6} ratio, best of each: {:.2}", best[0] / best[1]);
    }
}
