//! Any value that a twin may hold goes through every form it travels in.

use bytes::BytesMut;
use pollux_proto::device::check::value as check;
use pollux_proto::device::{Decoder, DeviceFrame, encode};
use pollux_twin::{JsonLimits, Time, Value};
use proptest::prelude::*;

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::Float),
        ".{0,20}".prop_map(Value::String),
    ];
    leaf.prop_recursive(8, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            prop::collection::btree_map(".{0,12}", inner, 0..8).prop_map(Value::Object),
        ]
    })
}

proptest! {
    #[test]
    fn frames_hold_any_value(patch in values(), cut in 1_usize..200, seq: u64, ms: Option<u64>) {
        prop_assert_eq!(check(&patch), Ok(()));
        let frame = DeviceFrame::Report { seq, patch, observed_at: ms.map(Time::from_ms) };
        let mut stream = BytesMut::new();
        encode(&frame, &mut stream).unwrap();
        encode(&frame, &mut stream).unwrap();
        let mut decoder = Decoder::<DeviceFrame>::new();
        let mut got = Vec::new();
        for piece in stream.chunks(cut) {
            decoder.push(piece);
            while let Some(frame) = decoder.poll().unwrap() {
                got.push(frame);
            }
        }
        prop_assert_eq!(got, [frame.clone(), frame]);
        prop_assert_eq!(decoder.finish(), Ok(()));
    }

    #[test]
    fn json_text_holds_any_value(value in values()) {
        let text = value.to_json();
        prop_assert_eq!(Value::from_json(&text, &JsonLimits::default()), Ok(value));
    }

    #[test]
    fn random_bytes_are_refused_or_waited_for(bytes: Vec<u8>) {
        let mut decoder = Decoder::<DeviceFrame>::new();
        decoder.push(&bytes);
        let _never_panics = decoder.poll();
        prop_assert!(decoder.held_bytes() <= bytes.len());
    }
}
