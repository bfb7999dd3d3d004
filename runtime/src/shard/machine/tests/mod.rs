//! One replica brings up another: the streams, the disk, crashes in between, and whole groups.

mod catch_up;
mod crash;
mod refusal;
mod tail;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use pollux_cluster::{Fault, Position, SnapshotSource, StateMachine};
use pollux_twin::change::{Change, Effect, KeyMark, Mark, Section};
use pollux_twin::table::{Counts, Fence, Options, Table};
use pollux_twin::{Entry, Epoch, ShardId, Time, TwinKey, Value};

use crate::checkpoint::{Keep, Store, restore_shard};
use crate::shard::{Replica, ReplicaMachine};

const SHARD: ShardId = ShardId(3);
const EPOCH: Epoch = Epoch { term: 2, leader: 1 };
const WATCH_BYTES: usize = 1 << 20;

/// A replica on a disk of its own.
struct Node {
    replica: Arc<Replica>,
    keep: Arc<Keep>,
    machine: ReplicaMachine,
    /// Bytes that are said to be free on its disk.
    free: Arc<AtomicU64>,
}

/// The store in a directory. sled lets go of its lock from a thread of its own, a moment after whoever
/// had it open before.
fn opened(dir: &Path) -> Store {
    for _ in 0..500 {
        match Store::open(dir, 1 << 20) {
            Err(held) if held.to_string().contains("WouldBlock") => {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            other => return other.unwrap(),
        }
    }
    panic!("the store is never let go");
}

impl Node {
    /// From what is on the disk.
    fn open(dir: &Path) -> Self {
        let options = Options::default();
        let store = opened(dir);
        let replica = restore_shard(&store, SHARD, options.clone(), WATCH_BYTES).unwrap();
        let free = Arc::new(AtomicU64::new(u64::MAX));
        let room = Arc::clone(&free);
        let room = Arc::new(move || Some(room.load(Relaxed)));
        let keep = Keep::new(store, SHARD, options, room);
        let machine = ReplicaMachine::new(Arc::clone(&replica), Arc::clone(&keep), Arc::default());
        Self { replica, keep, machine, free }
    }

    /// Applies the next entry.
    fn apply(&mut self, entry: &Entry) {
        let index = self.replica.place().0.map_or(0, |place| place.index + 1);
        self.machine.apply(at(index), &entry.encode());
    }

    /// As it comes from another replica: chunk by chunk, then installed.
    fn take_in(&mut self, position: Position, chunks: Vec<Bytes>) -> Result<(), Fault> {
        self.take_in_from(position, chunks, || {})
    }

    /// The same, with a look before each chunk and before the end.
    fn take_in_from(
        &mut self,
        position: Position,
        chunks: Vec<Bytes>,
        mut look: impl FnMut(),
    ) -> Result<(), Fault> {
        let mut sink = self.machine.sinks()()?;
        for chunk in chunks {
            look();
            sink.push(chunk)?;
        }
        look();
        sink.end(position)?;
        look();
        self.machine.install(position, Bytes::from_static(b"members"), sink)
    }

    fn picture(&self) -> Picture {
        picture(&self.replica)
    }
}

/// All that two replicas must agree on, byte by byte.
#[derive(Debug, PartialEq)]
struct Picture {
    position: Option<Position>,
    fence: Fence,
    counts: Counts,
    wakeful: Vec<TwinKey>,
    images: Vec<(TwinKey, Arc<[u8]>)>,
}

fn picture(replica: &Replica) -> Picture {
    replica.with_table(|position, table: &Table| Picture {
        position,
        fence: table.fence(),
        counts: table.counts(),
        wakeful: table.wakeful().cloned().collect(),
        images: table.scan("", None, usize::MAX),
    })
}

/// All chunks of a source.
fn drained(mut source: Box<dyn SnapshotSource>) -> Vec<Bytes> {
    std::iter::from_fn(|| source.next_chunk().unwrap()).collect()
}

const fn at(index: u64) -> Position {
    Position { term: 2, leader: 1, index }
}

/// Entries of one generation, the same for the same seed: reports, sessions, keys, deletions, each
/// such that it fits its twin.
struct Entries {
    epoch: Epoch,
    generation: u64,
    number: u64,
    seed: u64,
    twins: u64,
    size: usize,
    lives: BTreeMap<u64, Life>,
}

/// What a change of a twin has to fit.
#[derive(Clone, Copy, Default)]
struct Life {
    alive: bool,
    connected: bool,
    session: u64,
    seq: u64,
}

impl Entries {
    const fn new(seed: u64, twins: u64, size: usize) -> Self {
        let lives = BTreeMap::new();
        Self { epoch: EPOCH, generation: 1, number: 0, seed, twins, size, lives }
    }

    fn below(&mut self, n: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.seed >> 33) % n
    }

    fn change(&mut self, twin: u64) -> Change {
        let (dice, marked, n) = (self.below(12), self.below(3), self.number);
        let text = "x".repeat(self.size);
        let life = self.lives.entry(twin).or_default();
        let effect = match dice {
            0 if life.alive => {
                (life.alive, life.connected) = (false, false);
                Effect::Deleted { by: "someone".into() }
            }
            1..4 if life.connected => {
                life.connected = false;
                Effect::Disconnected { session: life.session }
            }
            1..4 => {
                (life.alive, life.connected, life.session) = (true, true, life.session + 1);
                Effect::Connected { session: life.session, incarnation: 5, node: 1 }
            }
            _ => {
                life.alive = true;
                let values = [("n", Value::from(n)), ("s", text.as_str().into())];
                let patch = values.map(|(name, value)| (name.to_owned(), value));
                let (section, patch) = (Section::Reported, Value::Object(patch.into()));
                Effect::Patched { section, patch, whole: false, observed_at: None, by: "d".into() }
            }
        };
        let mark = match (&effect, marked) {
            (Effect::Patched { .. }, 0) if life.connected => {
                life.seq += 1;
                Mark::Sequence { seq: life.seq, rejection: None }
            }
            (Effect::Patched { .. }, 1) => {
                let (key, expires) = (u128::from(n), Time::from_ms(n + 50));
                Mark::Key(KeyMark { key, request: 1, expires, answer: Ok(1) })
            }
            _ => Mark::None,
        };
        Change { at: Time::from_ms(n), mark, effect }
    }

    fn open() -> Entry {
        Entry::Open { epoch: EPOCH, generation: 1, time: Time::from_ms(1) }
    }

    fn next(&mut self) -> Entry {
        self.number += 1;
        let count = 1 + self.below(8);
        let changes = (0..count).map(|_| {
            let twin = self.below(self.twins);
            (TwinKey::parse(&format!("device-{twin}")).unwrap(), self.change(twin))
        });
        let changes = changes.collect();
        let time = Time::from_ms(self.number);
        let (epoch, generation, number) = (self.epoch, self.generation, self.number);
        Entry::Batch { epoch, generation, number, time, changes }
    }
}
