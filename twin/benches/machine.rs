//! What one twin costs, in nanoseconds a call on one core: `cargo bench -p pollux-twin`.
//!
//! Time on the processor (Linux counts it per thread), best of several rounds, as the machine that
//! measures has other things to do. Asserts no figure: they go into BENCHMARKS.md by hand.

use std::hint::black_box;
use std::time::Duration;

use pollux_twin::change::Section;
use pollux_twin::image::{pack, unpack};
use pollux_twin::input::{CallId, ConnectionId, FromDevice, Request};
use pollux_twin::output::Output;
use pollux_twin::registration::Shown;
use pollux_twin::{Change, Input, JsonLimits, Limits, Time, Twin, Value};

const ROUNDS: usize = 9;
const CALLS: u32 = 20_000;
/// Reports at a time: few enough to stay in the cache, as they do on their way through a node.
const BATCH: u32 = 100;

const TAGS: &str = r#"{"site":"plant-7","line":3,"owner":"energy@example.com"}"#;
const DESIRED: &str = r#"{"interval_s":30,"target":21.5,"mode":"auto",
    "firmware":{"version":"2.4.1","url":"https://fw.example.com/t/2.4.1.bin"}}"#;
const REPORTED: &str = r#"{"interval_s":30,"target":21.0,"mode":"auto",
    "firmware":{"version":"2.4.0","state":"idle"},
    "battery":{"level":87,"voltage":3.71,"charging":false},
    "network":{"ssid":"plant-7-iot","rssi":-61,"ip":"10.20.30.40"},
    "uptime_s":86401,"serial":"SN-00123456","errors":[],
    "location":{"lat":48.13743,"lon":11.57549}}"#;

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn main() {
    let twin = document();
    let size = pack(&twin, 1).len();
    println!("document of 479 B as JSON: image of {size} B, Twin struct {} B", size_of::<Twin>());

    println!("report: {} B as JSON", json(&report_text(0)).json_len());
    let changes = reports(twin.clone());
    at_rest(&twin, &changes);
    in_memory(&twin);
    texts(&twin.section(Section::Reported));
}

/// Gives back the changes of the last batch, numbered from 1.
fn reports(mut twin: Twin) -> Vec<Change> {
    let patches: Vec<_> = (0..BATCH).map(|i| json(&report_text(i))).collect();
    let mut seq = 0;
    let limits = Limits::default();
    let mut changes = Vec::with_capacity(patches.len());
    measure("handle a report (decide, apply, ack)", || {
        let mut elapsed = Duration::ZERO;
        for _ in 0..CALLS / BATCH {
            let messages: Vec<_> = patches
                .iter()
                .map(|patch| {
                    seq += 1;
                    FromDevice::Report { seq, patch: patch.clone(), observed_at: None }
                })
                .collect();
            changes.clear();
            let before = twin.clone();
            let start = now();
            for message in messages {
                let input = Input::Device { session: 1, message };
                twin.handle(Time::from_ms(seq), &limits, input).expect("a live session");
                while let Some(output) = twin.poll_output() {
                    if let Output::Change(change) = output {
                        changes.push(change);
                    }
                }
            }
            elapsed += now() - start;
            check_replica(before, &changes, &twin);
        }
        elapsed
    });
    renumbered(changes)
}

fn at_rest(start_twin: &Twin, changes: &[Change]) {
    let image = pack(start_twin, 1);
    measure("apply a report's change (replica)", || {
        let start = now();
        for _ in 0..CALLS / BATCH {
            let mut replica = start_twin.clone();
            changes.iter().for_each(|change| replica.apply(change).expect("in order"));
        }
        now() - start
    });
    measure("unpack (activate from the table)", || {
        timed(|| {
            black_box(unpack(black_box(&image)).expect("just packed"));
        })
    });
    measure("unpack, answer a read, drop", || {
        timed(|| {
            let (mut twin, _) = unpack(black_box(&image)).expect("just packed");
            let call = CallId(1);
            let input =
                Input::Call { call, caller: "bench".into(), key: None, request: Request::Get };
            twin.handle(Time::from_ms(1), &Limits::default(), input).expect("answered");
            black_box(twin.poll_output());
        })
    });
    measure("pack", || timed(|| drop(black_box(pack(black_box(start_twin), 1)))));
    measure("unpack, apply, pack (a cold replica)", || {
        timed(|| {
            let (mut twin, _) = unpack(black_box(&image)).expect("just packed");
            twin.apply(&changes[0]).expect("fits");
            black_box(pack(&twin, 2));
        })
    });
    measure("view", || timed(|| drop(black_box(start_twin.view()))));
    measure("rest and wake", || {
        let mut twin = start_twin.clone();
        timed(|| {
            twin.rest();
            twin.next_deadline();
            twin.reset_volatile();
        })
    });
}

fn in_memory(start_twin: &Twin) {
    memory("an active twin", || {
        let mut twin = start_twin.clone();
        while twin.poll_output().is_some() {}
        twin
    });
    memory("a resting twin", || {
        let mut twin = start_twin.clone();
        twin.rest();
        twin
    });
    memory("its image", || pack(start_twin, 1));
}

fn texts(value: &Value) {
    let text = value.to_json();
    measure(&format!("read {} B of json", text.len()), || {
        timed(|| drop(black_box(json(black_box(&text)))))
    });
    measure("write them", || timed(|| drop(black_box(black_box(value).to_json()))));
}

fn document() -> Twin {
    let mut twin = Twin::absent();
    let mut feed = |input| {
        twin.handle(Time::from_ms(1_795_000_000_000), &Limits::default(), input).expect("fits");
        while twin.poll_output().is_some() {}
    };
    feed(Input::Hello {
        connection: ConnectionId(1),
        incarnation: 1,
        node: 1,
        shown: Shown::Certificate(None),
    });
    for (section, text) in [(Section::Tags, TAGS), (Section::Desired, DESIRED)] {
        let (patch, whole, expected) = (json(text), false, None);
        let request = Request::Patch { section, patch, whole, expected };
        feed(Input::Call { call: CallId(1), caller: "bench".into(), key: None, request });
    }
    twin.apply(&Change {
        at: Time::from_ms(1_795_000_000_000),
        mark: pollux_twin::Mark::None,
        effect: pollux_twin::Effect::Patched {
            section: Section::Reported,
            patch: json(REPORTED),
            whole: false,
            observed_at: None,
            by: "device".into(),
        },
    })
    .expect("fits");
    twin
}

fn report_text(i: u32) -> String {
    let (level, rssi) = (i % 100, i % 50);
    format!(
        r#"{{"battery":{{"level":{level},"voltage":3.{level}}},"network":{{"rssi":-{rssi}}},"uptime_s":{i},"mode":"auto-{rssi}"}}"#
    )
}

/// The same changes, numbered from 1.
fn renumbered(changes: Vec<Change>) -> Vec<Change> {
    (1..)
        .zip(changes)
        .map(|(seq, change)| {
            let mark = pollux_twin::Mark::Sequence { seq, rejection: None };
            Change { mark, ..change }
        })
        .collect()
}

fn check_replica(mut replica: Twin, changes: &[Change], twin: &Twin) {
    changes.iter().for_each(|change| replica.apply(change).expect("in order"));
    assert!(pack(&replica, 1) == pack(twin, 1), "a replica came to another image");
}

fn json(text: &str) -> Value {
    Value::from_json(text, &JsonLimits::default()).expect("json of this file")
}

/// Nanoseconds that this thread has run.
fn now() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a Linux kernel");
    let ns = stat.split(' ').next().and_then(|ns| ns.parse().ok()).expect("its first number");
    Duration::from_nanos(ns)
}

/// What one thing takes, by the growth of this process.
#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn memory<T>(what: &str, make: impl Fn() -> T) {
    let before = resident();
    let things: Vec<T> = (0..CALLS).map(|_| make()).collect();
    let bytes = resident().saturating_sub(before) / u64::from(CALLS);
    println!("{what:40} {bytes:>6} B resident");
    // Kept, so that the next ones find no room that these left.
    core::mem::forget(things);
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("a Linux kernel");
    let pages: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("its second");
    pages * 4096
}

fn timed(mut call: impl FnMut()) -> Duration {
    let start = now();
    (0..CALLS).for_each(|_| call());
    now() - start
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn measure(what: &str, mut round: impl FnMut() -> Duration) {
    let best = (0..ROUNDS).map(|_| round()).min().unwrap_or_default();
    let ns = best.as_nanos() / u128::from(CALLS);
    println!("{what:40} {ns:>6} ns  {:>9}/s", 1_000_000_000 / ns.max(1));
}
