//! The bodies of the fuzz targets over a corpus made from a seed: a short stand-in for the fuzzer,
//! which runs with every `cargo test`.

use std::fs;
use std::path::Path;

use bytes::BytesMut;
use pollux_proto::device::framing::Frame;
use pollux_proto::device::{encode, encode_datagram};
use pollux_twin::change::Section;
use pollux_twin::input::{CallId, CallKey, Request};
use pollux_twin::{
    Change, Effect, Entry, Epoch, Input, JsonLimits, Limits, Mark, Time, Twin, TwinKey, Value,
    image,
};

use crate::frames::{datagrams, device_frames, enrolled, enrols, fetches, node_frames, offers};

#[expect(unreachable_pub, reason = "public in the fuzz crate, whose files these are")]
#[path = "../../../fuzz/src/lib.rs"]
mod bodies;

/// Inputs of each target: some seconds in all, without optimisation.
const ROUNDS: usize = 1_000;

/// Feeds a target with the seeds, then with seeds broken in ways that a machine would break them.
fn drive(seeds: &[Vec<u8>], target: fn(&[u8])) {
    for seed in seeds {
        target(seed);
    }
    let mut random = SplitMix(0x9e37_79b9);
    for _ in 0..ROUNDS {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(4) {
            break_one(&mut bytes, seeds, &mut random);
        }
        target(&bytes);
    }
}

fn break_one(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut SplitMix) {
    let at = random.below(bytes.len() + 1);
    match random.below(7) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, random.byte()),
        2 => {
            let other = &seeds[random.below(seeds.len())];
            bytes.splice(at.., other[random.below(other.len() + 1)..].iter().copied());
        }
        _ if at == bytes.len() => bytes.push(random.byte()),
        3 => bytes[at] = random.byte(),
        4 => bytes[at] ^= 1 << random.below(8),
        5 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
        _ => {
            let end = bytes.len().min(at + 4);
            bytes[at..end].fill(0xff);
        }
    }
}

/// Random numbers from a seed: Steele, Lea and Flood's SplitMix64.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("less than a usize")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

fn streams() -> Vec<Vec<u8>> {
    let mut seeds = vec![Vec::new(), vec![0xff; 64], (1_u32 << 30).to_le_bytes().to_vec()];
    begin_with(&mut seeds, &device_frames());
    begin_with(&mut seeds, &node_frames());
    begin_with(&mut seeds, &fetches());
    begin_with(&mut seeds, &offers());
    begin_with(&mut seeds, &enrols());
    begin_with(&mut seeds, &enrolled());
    seeds
}

/// Frames, with their lengths and without.
fn begin_with<F: Frame>(seeds: &mut Vec<Vec<u8>>, frames: &[F]) {
    for frame in frames {
        let mut out = BytesMut::new();
        encode(frame, &mut out).expect("within bounds");
        seeds.extend([out[4..].to_vec(), out.to_vec()]);
    }
}

fn packets() -> Vec<Vec<u8>> {
    let sent = datagrams();
    let bytes = sent.iter().map(|datagram| encode_datagram(datagram).expect("within bounds"));
    bytes.map(|bytes| bytes.to_vec()).collect()
}

fn json_texts() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"a":[1,-2.5e-3,true,null,"x\u00fc\ud83d\udd11"],"b":{"c":{}}}"#,
        "18446744073709551615",
        "-9223372036854775808",
        "1e308",
        r#"{"a":1,"a":2}"#,
        r#""\ud800""#,
        "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// A twin with some content.
fn twin() -> Twin {
    let mut twin = Twin::absent();
    let limits = Limits::default();
    let patch = Value::from_json(r#"{"a":{"b":[1,2.5]},"c":"text"}"#, &JsonLimits::default());
    let patch = patch.expect("the test's own json is right");
    for (n, section) in [Section::Tags, Section::Desired].into_iter().enumerate() {
        let request =
            Request::Patch { section, patch: patch.clone(), whole: false, expected: None };
        let (call, key) = (CallId(1), Some(CallKey::Own(format!("key {n}"))));
        let input = Input::Call { call, caller: "shop".to_owned(), key, request };
        twin.handle(Time::from_ms(1), &limits, input).expect("calls are answered");
    }
    let (name, payload) = ("restart".to_owned(), patch);
    let (deadline_ms, queue, wait) = (5_000, true, false);
    let request = Request::Command { name, payload, deadline_ms, queue, wait };
    let input = Input::Call { call: CallId(1), caller: "shop".to_owned(), key: None, request };
    twin.handle(Time::from_ms(2), &limits, input).expect("calls are answered");
    twin
}

fn images() -> Vec<Vec<u8>> {
    [image::pack(&Twin::absent(), 0), image::pack(&twin(), 7)].map(|bytes| bytes.to_vec()).to_vec()
}

fn log_entries() -> Vec<Vec<u8>> {
    let epoch = Epoch { term: 1, leader: 2 };
    let values = vec![("rssi".to_owned(), Value::Int(-61))];
    let effect = Effect::Telemetry { values, observed_at: None };
    let mark = Mark::Sequence { seq: 1, rejection: None };
    let time = Time::from_ms(1);
    let key = TwinKey::parse("pump-1").expect("the test's own id is right");
    let changes = vec![(key, Change { at: time, mark, effect })];
    let entries = [
        Entry::Open { epoch, generation: 1, time },
        Entry::Batch { epoch, generation: 1, number: 1, time, changes },
    ];
    entries.map(|entry| entry.encode()).to_vec()
}

fn names_and_positions() -> Vec<Vec<u8>> {
    ["pump-1", "pollux:default/pump%201", "p1.feed.0-1-0.fff-ffffffffffffffff-0", "ü"]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
}

fn input_lists() -> Vec<Vec<u8>> {
    let mut random = SplitMix(7);
    (0..20).map(|_| (0..1_000).map(|_| random.byte()).collect()).collect()
}

/// Every target: its name, what to begin with, its body.
const TARGETS: [(&str, Seeds, Body); 8] = [
    ("frames", streams, bodies::frames),
    ("datagram", packets, bodies::datagram),
    ("peer", crate::peer::seeds, bodies::peer),
    ("json", json_texts, bodies::json),
    ("image", images, bodies::image),
    ("entries", log_entries, bodies::entries),
    ("texts", names_and_positions, bodies::texts),
    ("inputs", input_lists, bodies::inputs),
];

type Seeds = fn() -> Vec<Vec<u8>>;
type Body = fn(&[u8]);

#[test]
fn no_target_panics() {
    for (name, seeds, body) in TARGETS {
        println!("fuzz target {name}");
        drive(&seeds(), body);
    }
}

#[test]
#[ignore = "writes files: what the fuzzer begins with, for fuzz/run"]
fn write_seeds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, seeds, _) in TARGETS {
        let folder = corpus.join(name);
        fs::create_dir_all(&folder).unwrap();
        for (n, seed) in seeds().iter().enumerate() {
            fs::write(folder.join(format!("seed-{n}")), seed).unwrap();
        }
    }
}
