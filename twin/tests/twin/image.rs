//! The bytes at rest: what they are, how many, and that nothing else passes for them.

use pollux_twin::change::{Change, Effect, Mark, Section};
use pollux_twin::image::{Glance, ImageError, applied_index, pack, unpack};
use pollux_twin::input::{FromDevice, Request};
use pollux_twin::limits::DEPTH_CEILING;
use pollux_twin::{Time, Value};
use proptest::prelude::*;

use crate::common::{Bench, command_request, json, patch_request};

/// Version byte, checksum, index, flags.
const HEADER_LEN: usize = 14;
/// The newest form.
const NEWEST: u8 = 3;

/// A twin with something of everything.
fn full() -> Bench {
    let mut bench = Bench::connected();
    bench.report(1, r#"{"a":{"b":-1,"c":[1.5,null,{"d":0.1}]},"e":18446744073709551615}"#);
    bench.report(2, "[]");
    bench.now = 2_000;
    bench.call(Some("k"), patch_request(Section::Desired, r#"{"a":{},"s":"text"}"#, None));
    bench.call(Some("l"), patch_request(Section::Tags, r#"{"s":"text"}"#, Some(9)));
    bench.device(FromDevice::DesiredAck { seq: 3, version: 1, refused: Some("no".into()) });
    let values = vec![("t".into(), json("[20.5]"))];
    let observed_at = Some(Time::from_ms(1_990));
    bench.device(FromDevice::Telemetry { seq: Some(4), values, observed_at });
    bench.call(None, command_request("blink", false, false));
    bench
}

#[test]
fn a_twin_comes_back_whole() {
    let bench = full();
    let image = pack(&bench.twin, 77);
    let (twin, index) = unpack(&image).unwrap();
    assert_eq!((twin.view(), index), (bench.view(), 77));
    assert_eq!(applied_index(&image), Ok(77));
    assert_eq!(pack(&twin, 77), image);
    crate::glance::check(&image);
    crate::glance::check(&pack(&keyed().twin, 77));
}

#[test]
fn the_form_does_not_drift() {
    let image: String = pack(&full().twin, 77).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(image, include_str!("image.hex").trim());
}

/// The same with a key that a node made.
fn keyed() -> Bench {
    let mut bench = full();
    bench.attempt(5, None, patch_request(Section::Tags, r#"{"s":"news"}"#, None));
    bench
}

#[test]
fn the_form_with_keys_of_nodes_does_not_drift() {
    let bytes = pack(&keyed().twin, 77);
    assert_eq!(pack(&unpack(&bytes).unwrap().0, 77), bytes);
    let image: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(image, include_str!("image_with_entry_keys.hex").trim());
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let image = pack(&full().twin, 77);
    for at in 0..image.len() {
        for bit in 0..8 {
            let mut bad = image.to_vec();
            bad[at] ^= 1 << bit;
            let expected = match bad[0] {
                found if at == 0 && found > NEWEST => ImageError::Version { found },
                found @ 0 => ImageError::Version { found },
                // Of another form, which the checksum tells.
                _ => ImageError::Checksum,
            };
            assert_eq!(unpack(&bad).err(), Some(expected), "byte {at}");
        }
        let expected = if at < HEADER_LEN { ImageError::Short } else { ImageError::Checksum };
        assert_eq!(unpack(&image[..at]).err(), Some(expected), "cut at {at}");
    }
}

/// Gives bytes a checksum that fits, as a liar would.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    hash.update(&bytes[..1]);
    hash.update(&bytes[5..]);
    bytes[1..5].copy_from_slice(&hash.digest().to_le_bytes()[..4]);
    bytes
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _refused = unpack(&bytes);
        if bytes.len() > HEADER_LEN {
            let mut bytes = bytes;
            bytes[0] = 1;
            let _refused = unpack(&sealed(bytes));
        }
    }

    #[test]
    fn a_lie_with_a_checksum_does_not_panic(
        lies in prop::collection::vec(
            (any::<prop::sample::Index>(), prop_oneof![Just(0xff), any::<u8>()]),
            1..10,
        )
    ) {
        let mut image = pack(&full().twin, 77).to_vec();
        for (at, byte) in lies {
            let at = 5 + at.index(image.len() - 5);
            image[at] = byte;
        }
        if let Ok(glance) = Glance::of(&image) {
            for section in [Section::Tags, Section::Desired, Section::Reported] {
                let content = glance.section(section).map(|section| section.content);
                let _whatever = content.map(|content| (content.find("a"), content.to_value()));
            }
            let _whatever: Vec<_> = glance.telemetry().collect();
        }
        let Ok((twin, _)) = unpack(&sealed(image)) else { return Ok(()) };
        let mut bench = Bench { twin, ..Bench::new() };
        bench.view();
        bench.hello(7);
        bench.report(1, r#"{"a":{"b":2}}"#);
        bench.patch(Section::Desired, r#"{"a":{"b":2}}"#);
        bench.call(None, command_request("blink", false, false));
        bench.deadline(u64::MAX);
        bench.twin.rest();
        bench.call(None, Request::Delete { expected: None });
        let again = pack(&bench.twin, 1);
        prop_assert!(unpack(&again).is_ok());
    }
}

#[test]
fn deep_nesting_is_refused() {
    // No limit is checked in apply, so a change may carry anything into a twin.
    let image = |depth: usize, level: fn(Value) -> Value| {
        let mut bench = Bench::connected();
        bench.call(None, command_request("blink", false, false));
        let mut answer = json("1");
        for _ in 0..depth {
            answer = level(answer);
        }
        let state = pollux_twin::change::CommandState::Done { answer };
        let effect = Effect::CommandMoved { id: 1, state };
        let change = Change { at: Time::from_ms(1), mark: Mark::None, effect };
        bench.twin.apply(&change).unwrap();
        pack(&bench.twin, 1)
    };
    let array = |inner| Value::Array(vec![inner]);
    let object = |inner| {
        let more = (0..20).map(|i| (format!("a key that is not short {i}"), Value::Null));
        Value::Object(more.chain([("last".into(), inner)]).collect())
    };
    for level in [array, object] {
        assert!(unpack(&image(DEPTH_CEILING, level)).is_ok());
        assert_eq!(unpack(&image(400, level)).err(), Some(ImageError::Content));
    }
}

#[test]
fn the_deepest_section_comes_back() {
    let limits = pollux_twin::Limits { depth_max: 1_000, ..Default::default() };
    let mut bench = Bench { limits, ..Bench::new() };
    let deep = |depth| {
        let arrays = (0..depth).fold(json("1"), |inner, _| Value::Array(vec![inner]));
        let patch = Value::Object([("a".into(), arrays)].into());
        Request::Patch { section: Section::Tags, patch, whole: false, expected: None }
    };
    let lines = bench.call(None, deep(DEPTH_CEILING));
    assert_eq!(lines, ["answer TooDeep { max: 60 }"]);
    bench.call(None, deep(DEPTH_CEILING - 1));
    let (twin, _) = unpack(&pack(&bench.twin, 1)).unwrap();
    assert_eq!(twin.view(), bench.view());
}

#[test]
fn a_small_document_takes_little_room() {
    let tags = r#"{"site":"plant-7","line":3,"owner":"energy@example.com"}"#;
    let desired = r#"{"interval_s":30,"target":21.5,"mode":"auto","firmware":{"version":"2.4.1","url":"https://fw.example.com/t/2.4.1.bin"}}"#;
    let reported = r#"{"interval_s":30,"target":21.0,"mode":"auto","firmware":{"version":"2.4.0","state":"idle"},"battery":{"level":87,"voltage":3.71,"charging":false},"network":{"ssid":"plant-7-iot","rssi":-61,"ip":"10.20.30.40"},"uptime_s":86401,"serial":"SN-00123456","errors":[],"location":{"lat":48.13743,"lon":11.57549}}"#;
    let mut bench = Bench::new();
    bench.now = 1_795_000_000_000;
    bench.hello(1_795_000_000_000);
    bench.patch(Section::Tags, tags);
    bench.now += 60_000;
    bench.patch(Section::Desired, desired);
    bench.now += 1_000;
    bench.report(1, reported);
    bench.now += 5_000;
    bench.report(2, r#"{"battery":{"level":86},"uptime_s":86406}"#);
    let view = bench.view();
    let leaves: usize =
        [&view.tags, &view.desired, &view.reported].map(|s| s.times.len()).iter().sum();
    let image = pack(&bench.twin, 123_456_789).len();
    let json = tags.len() + desired.len() + reported.len();
    println!("{json} bytes of JSON, {leaves} leaves: an image of {image} bytes");
    assert!(image <= 750);
}
