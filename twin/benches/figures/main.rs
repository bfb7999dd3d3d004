//! Figures of the shard machine and the table: time per report, bytes per twin, time to restore.
//!
//! `cargo bench -p pollux-twin --bench figures`. Prints; asserts nothing about time.
#![expect(clippy::print_stdout, reason = "printing figures is what it is for")]

mod allocator;

use std::sync::Arc;

use pollux_twin::change::Section;
use pollux_twin::shard::{self, Now, Output, Shard, Slot, Wait};
use pollux_twin::table::{self, Header, Outcome, Restore, Table};
use pollux_twin::{Change, Effect, Entry, Epoch, JsonLimits, Mark, Time, TwinKey, Value, image};

use allocator::in_use;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

type Images = Vec<(TwinKey, Arc<[u8]>)>;

const EPOCH: Epoch = Epoch { term: 1, leader: 1 };

/// Each in a process of its own, so that none finds another's memory.
fn main() {
    let all: [(&str, fn()); 3] =
        [("shard", shard_figures), ("table", table_figures), ("restore", restore_figures)];
    let asked = std::env::args().nth(1).unwrap_or_default();
    for (name, figures) in all {
        if asked == name {
            figures();
        } else if asked.is_empty() || asked.starts_with("--") {
            let this = std::env::current_exe().expect("a running program has a path");
            std::process::Command::new(this).arg(name).status().expect("it starts once more");
        }
    }
}

/// Time on a processor, whoever else is using it; exact to some milliseconds.
#[derive(Clone, Copy)]
struct Stopwatch(u64);

impl Stopwatch {
    fn start() -> Self {
        let text = std::fs::read_to_string("/proc/self/schedstat").expect("linux");
        Self(text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number"))
    }

    fn ns(self) -> usize {
        usize::try_from(Self::start().0 - self.0).expect("less than centuries")
    }
}

fn key(n: usize) -> TwinKey {
    TwinKey::parse(&format!("default/device-{n:07}")).expect("a valid key")
}

fn json(text: &str) -> Value {
    Value::from_json(text.as_bytes(), &JsonLimits::default()).expect("valid JSON")
}

fn patched(section: Section, patch: Value) -> Effect {
    let by = if section == Section::Reported { "device" } else { "operator" }.into();
    Effect::Patched { section, patch, whole: false, observed_at: None, by }
}

fn change(mark: Mark, effect: Effect) -> Change {
    Change { at: Time::from_ms(1_790_000_000_000), mark, effect }
}

/// A document of about 500 bytes, and a device that was there once.
fn document(n: usize) -> Vec<Change> {
    let tags = json(&format!(
        r#"{{"site":"plant-{}","line":{},"owner":"operations@example.org","model":"TH-200"}}"#,
        n % 40,
        n % 9
    ));
    let desired =
        json(r#"{"interval_s":60,"thresholds":{"low":2.5,"high":80,"alarm":true},"mode":"eco"}"#);
    let reported = json(&format!(
        r#"{{"interval_s":60,"thresholds":{{"low":2.5,"high":80,"alarm":true}},"mode":"eco",
        "firmware":{{"version":"4.2.{}","build":"2026-10-30T08:12:44Z"}},"serial":"SN-{n:010}",
        "temperature":{}.5,"humidity":{},"battery":{{"percent":{},"volts":3.71}},
        "network":{{"rssi":-{},"operator":"Example Mobile","cell":{}}}}}"#,
        n % 17,
        n % 50,
        n % 100,
        n % 101,
        50 + n % 60,
        100_000 + n
    ));
    let connected = Effect::Connected { session: 1, incarnation: 77 + n as u64, node: 1 };
    let seq = |seq| Mark::Sequence { seq, rejection: None };
    vec![
        change(Mark::None, patched(Section::Tags, tags)),
        change(Mark::None, patched(Section::Desired, desired)),
        change(Mark::None, connected),
        change(seq(1), patched(Section::Reported, reported)),
        change(Mark::None, Effect::Disconnected { session: 1 }),
    ]
}

fn report(n: usize, seq: u64) -> Change {
    let patch = json(&format!(r#"{{"temperature":{}.5,"humidity":{}}}"#, seq % 50, n % 100));
    change(Mark::Sequence { seq, rejection: None }, patched(Section::Reported, patch))
}

/// Decided, batched, answered, released; without encoding and without applying.
fn shard_figures() {
    let now = Now { wall: Time::from_ms(1), monotonic_ms: 1 };
    let mut shard = Shard::<(u64, u64, u64)>::new(shard::Options::default());
    shard.open(now, EPOCH, &table::Fence::default());
    let took = Outcome::Took { time: Time::from_ms(1) };
    while let Some(output) = shard.poll_output() {
        if let Output::Propose { id, .. } = output {
            shard.applied(id, took);
        }
    }
    let devices = 10_000;
    let slots: Vec<Slot> = (0..devices).map(|n| shard.activate(now, key(n))).collect();
    for in_turn in [1, 16, 256] {
        let rounds = 20;
        let mut changes: Vec<_> =
            (0..rounds).map(|_| (0..devices).map(|n| report(n, 1)).collect::<Vec<_>>()).collect();
        let (mut released, mut batches) = (0, 0);
        let start = Stopwatch::start();
        for round in &mut changes {
            for (turn, changes) in round.chunks_mut(in_turn).enumerate() {
                for (place, change) in changes.iter_mut().enumerate() {
                    let slot = slots[turn * in_turn + place];
                    let empty =
                        Change { at: Time::default(), mark: Mark::None, effect: Effect::None };
                    let change = std::mem::replace(change, empty);
                    shard.decided(now, slot, [change], [((1, 2, 3), 64)], Wait::Barrier);
                }
                while let Some(output) = shard.poll_output() {
                    match output {
                        Output::Propose { id, entry } => {
                            batches += 1;
                            drop(std::hint::black_box(entry));
                            shard.handed(id);
                            shard.applied(id, took);
                        }
                        Output::Release(output) => released += std::hint::black_box(output).0,
                        _ => {}
                    }
                }
            }
        }
        let ns = start.ns() / (rounds * devices);
        assert_eq!(released, (rounds * devices) as u64);
        println!("shard: {in_turn:4} reports a turn ({batches} batches): {ns} ns a report");
    }
}

struct Log {
    index: u64,
    number: u64,
}

impl Log {
    fn batch(&mut self, changes: Vec<(TwinKey, Change)>) -> Entry {
        self.number += 1;
        let time = Time::from_ms(1);
        Entry::Batch { epoch: EPOCH, generation: 1, number: self.number, time, changes }
    }

    fn apply(&mut self, table: &mut Table, entry: Entry) {
        self.index += 1;
        let applied = table.apply(self.index, entry).expect("a sound table");
        assert_ne!(applied.outcome, Outcome::Skipped);
        assert!(applied.events.iter().all(|event| event.result.is_ok()));
    }
}

fn filled(twins: usize, log: &mut Log, order: impl Fn(usize) -> usize) -> Table {
    let mut table = Table::new(table::Options::default());
    let open = Entry::Open { epoch: EPOCH, generation: 1, time: Time::from_ms(1) };
    log.apply(&mut table, open);
    for n in (0..twins).map(order) {
        let changes = document(n).into_iter().map(|change| (key(n), change)).collect();
        let entry = log.batch(changes);
        log.apply(&mut table, entry);
    }
    table
}

fn take(table: &mut Table) -> (Images, Header) {
    table.begin_cut();
    let mut all = Vec::new();
    loop {
        let images = table.take_cut(1000);
        if images.is_empty() {
            return (all, table.end_cut());
        }
        all.extend(images);
    }
}

fn table_figures() {
    let twins = 100_000;
    let mut log = Log { index: 0, number: 0 };
    let before = in_use();
    // A prime step: devices do not come in the order of their names.
    let mut table = filled(twins, &mut log, |n| n * 7919 % twins);
    let json: usize = {
        let twin = table.twin(&key(1)).expect("sound").expect("there");
        twin.bytes()
    };
    let images: usize = table.scan("", None, twins).iter().map(|(_, image)| image.len()).sum();
    take(&mut table);
    let bytes = (in_use() - before) / twins;
    println!("table: {twins} twins of {json} B of JSON: {bytes} B each, of which the");
    println!("       image {} B; {} of them unpacked", images / twins, table.hot());
    pack_figures(&table);
    hot_figures(&mut table, &mut log, twins);

    let start = Stopwatch::start();
    table.begin_cut();
    let begin = start.ns() / 1_000_000;
    let (start, mut images) = (Stopwatch::start(), 0);
    loop {
        let some = table.take_cut(256).len();
        images += some;
        if some == 0 {
            break;
        }
    }
    let each = start.ns() / images;
    table.end_cut();
    println!("table: cut after {images} changed: begin {begin} ms, then {each} ns an image");
}

fn pack_figures(table: &Table) {
    let count = 1000;
    let images = table.scan("", None, count);
    let start = Stopwatch::start();
    let twins: Vec<_> = images.iter().map(|(_, bytes)| image::unpack(bytes)).collect();
    let unpack = start.ns() / count;
    let twins: Vec<_> = twins.into_iter().map(|twin| twin.expect("sound").0).collect();
    let start = Stopwatch::start();
    let packed: Vec<_> = twins.iter().map(|twin| image::pack(twin, 1)).collect();
    let pack = start.ns() / count;
    drop(packed);
    let before = in_use();
    let clones = twins.clone();
    let bytes = (in_use() - before) / count;
    let start = Stopwatch::start();
    drop(clones);
    let drop = start.ns() / count;
    println!("twin: unpack {unpack} ns, pack {pack} ns, drop {drop} ns, {bytes} B unpacked");
}

fn hot_figures(table: &mut Table, log: &mut Log, twins: usize) {
    for (name, among) in [("hot", 1000), ("cold", twins)] {
        let connect = |n: usize| {
            let session = if among == twins && n < 1000 { 3 } else { 2 };
            (key(n), change(Mark::None, Effect::Connected { session, incarnation: 1, node: 1 }))
        };
        for from in (0..among).step_by(100) {
            let entry = log.batch((from..from + 100).map(connect).collect());
            log.apply(table, entry);
        }
        let rounds = if among == twins { 1 } else { 200 };
        let skip = if among == twins { 1000 } else { 0 };
        let entries: Vec<Vec<u8>> = (1..=rounds)
            .flat_map(|seq| (skip..among).step_by(100).map(move |from| (seq, from)))
            .map(|(seq, from)| {
                let reports = (from..from + 100).map(|n| (key(n), report(n, seq))).collect();
                log.batch(reports).encode()
            })
            .collect();
        let count = entries.len() * 100;
        let bytes: usize = entries.iter().map(Vec::len).sum();
        let start = Stopwatch::start();
        for bytes in &entries {
            std::hint::black_box(Entry::decode(bytes).expect("sound"));
        }
        let decode = start.ns() / count;
        let start = Stopwatch::start();
        for bytes in &entries {
            log.apply(table, Entry::decode(bytes).expect("sound"));
        }
        let apply = (start.ns() / count).saturating_sub(decode);
        let bytes = bytes / count;
        println!("table: {name}: a report of {bytes} B: decode {decode} ns, apply {apply} ns");
    }
}

fn restore_figures() {
    let twins = 1_000_000;
    let mut table = filled(1000, &mut Log { index: 0, number: 0 }, |n| n);
    let (some, _) = take(&mut table);
    let stored: Vec<(String, Vec<u8>)> =
        (0..twins).map(|n| (key(n).as_str().into(), some[n % some.len()].1.to_vec())).collect();
    let before = in_use();
    let start = Stopwatch::start();
    let mut restore = Restore::new();
    for (key, image) in &stored {
        let key = TwinKey::parse(key).expect("a valid key");
        restore.add(key, Arc::from(image.as_slice())).expect("a sound image");
    }
    let digest = restore.digest();
    let header = Header { index: 1_000_000, digest, ..Header::default() };
    let table = restore.finish(&header, table::Options::default()).expect("whole");
    let ms = start.ns() / 1_000_000;
    let bytes = (in_use() - before) / twins;
    println!("restore: {} twins in {ms} ms, {bytes} B each", table.counts().twins);
}
