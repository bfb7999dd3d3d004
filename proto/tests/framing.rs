//! The decoder against everything that may come in place of frames.

use bytes::BytesMut;
use pollux_proto::device::framing::{Frame, PREFIX_BYTES, encode_within};
use pollux_proto::device::{
    CloseCode, Datagram, Decoder, DeviceFrame, FrameError, NodeFrame, decode_datagram, encode,
    encode_datagram,
};
use pollux_proto::limits::{
    FRAME_BYTES_MAX, HELLO_BYTES_MAX, NODE_FRAME_BYTES_MAX, VALUE_DEPTH_MAX,
};
use pollux_twin::{Time, Value};

fn report(patch: Value) -> DeviceFrame {
    DeviceFrame::Report { seq: 7, patch, observed_at: Some(Time::from_ms(1)) }
}

fn object(members: &[(&str, Value)]) -> Value {
    Value::Object(members.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect())
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Int(1), |value, level| {
        if level % 2 == 0 { Value::Array(vec![value]) } else { object(&[("a", value)]) }
    })
}

fn bytes_of<F: Frame>(frame: &F) -> BytesMut {
    let mut out = BytesMut::new();
    encode(frame, &mut out).expect("the frame is within bounds");
    out
}

fn decode<F: Frame>(bytes: &[u8]) -> Result<Option<F>, FrameError> {
    let mut decoder = Decoder::new();
    decoder.push(bytes);
    decoder.poll()
}

#[test]
fn frames_come_out_as_they_went_in_whatever_the_cuts() {
    let frames = [
        DeviceFrame::Get,
        report(object(&[("temperature", Value::Float(21.5)), ("n", Value::Uint(u64::MAX))])),
        DeviceFrame::Ping { nonce: 1 },
        report(nested(16)),
    ];
    let mut stream = BytesMut::new();
    for frame in &frames {
        encode(frame, &mut stream).unwrap();
    }
    for cut in 1..=stream.len() {
        let mut decoder = Decoder::<DeviceFrame>::new();
        let mut got = Vec::new();
        for piece in stream.chunks(cut) {
            decoder.push(piece);
            while let Some(frame) = decoder.poll().unwrap() {
                got.push(frame);
            }
        }
        assert_eq!(got, frames);
        assert_eq!(decoder.finish(), Ok(()));
        assert_eq!(decoder.held_bytes(), 0);
    }
}

#[test]
fn a_cut_frame_is_waited_for_and_missed_at_the_end() {
    let bytes = bytes_of(&report(nested(3)));
    for len in 1..bytes.len() {
        let mut decoder = Decoder::<DeviceFrame>::new();
        decoder.push(&bytes[..len]);
        assert_eq!(decoder.poll(), Ok(None));
        let missing = if len < PREFIX_BYTES { PREFIX_BYTES - len } else { bytes.len() - len };
        assert_eq!(decoder.finish(), Err(FrameError::CutShort { missing }));
    }
}

#[test]
fn a_length_of_one_gib_is_refused_at_once_and_for_good() {
    let mut decoder = Decoder::<DeviceFrame>::new();
    decoder.push(&(1_u32 << 30).to_le_bytes());
    let error = FrameError::TooLong { bytes: 1 << 30, max: FRAME_BYTES_MAX };
    assert_eq!(decoder.poll(), Err(error.clone()));
    assert_eq!(error.close_code(), CloseCode::FrameTooLong);
    assert_eq!(error.to_string(), "frame has 1073741824 bytes; at most 262144 are allowed");
    decoder.push(&bytes_of(&DeviceFrame::Get));
    assert_eq!(decoder.poll(), Err(error));
    assert_eq!(decoder.held_bytes(), 0);
}

#[test]
fn only_a_small_hello_is_taken_from_a_stranger() {
    let mut decoder = Decoder::for_hello();
    decoder.push(&u32::try_from(HELLO_BYTES_MAX + 1).unwrap().to_le_bytes());
    let error = FrameError::TooLong { bytes: HELLO_BYTES_MAX + 1, max: HELLO_BYTES_MAX };
    assert_eq!(decoder.poll(), Err(error));
}

#[test]
fn a_frame_longer_than_the_peer_takes_is_not_begun() {
    let mut out = BytesMut::from(&b"before"[..]);
    let long = report(Value::String("x".repeat(FRAME_BYTES_MAX)));
    assert!(matches!(encode(&long, &mut out), Err(FrameError::TooLong { .. })));
    assert!(matches!(
        encode_within(&DeviceFrame::Get, 1, &mut out),
        Err(FrameError::TooLong { max: 1, .. })
    ));
    assert_eq!(&out[..], b"before");
}

#[test]
fn values_at_the_bound_pass_and_one_level_more_does_not() {
    let at = report(nested(VALUE_DEPTH_MAX));
    assert_eq!(decode(&bytes_of(&at)), Ok(Some(at)));
    let mut out = BytesMut::new();
    let error = encode(&report(nested(VALUE_DEPTH_MAX + 1)), &mut out).unwrap_err();
    assert_eq!(error, FrameError::TooDeep { max: VALUE_DEPTH_MAX });
    assert!(out.is_empty());
}

/// Wide objects take more levels of the archive than of the value; the bound must allow for it.
#[test]
fn wide_and_deep_values_pass() {
    let value = (0..VALUE_DEPTH_MAX).fold(Value::Int(1), |value, _| {
        let mut members: Vec<_> = (0..40).map(|n| (format!("k{n}"), Value::Null)).collect();
        members[20].1 = value;
        Value::Object(members.into_iter().collect())
    });
    let frame = report(value);
    assert_eq!(decode(&bytes_of(&frame)), Ok(Some(frame)));
}

/// Made by rkyv without the sender's check, on a small stack: what a hostile device could send.
#[test]
fn ten_thousand_levels_are_refused_without_recursion() {
    let mut bytes = deep_bytes(10_000);
    // The length comes before, as in any frame.
    let mut stream = u32::try_from(bytes.len()).unwrap().to_le_bytes().to_vec();
    stream.append(&mut bytes);
    let decoded = std::thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(move || {
            let mut decoder = Decoder::<NodeFrame>::new();
            decoder.push(&stream);
            decoder.poll()
        })
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(decoded, Err(FrameError::TooDeep { max: VALUE_DEPTH_MAX }));
}

/// A desired frame with arrays within arrays, archived on a thread with a very large stack.
fn deep_bytes(depth: usize) -> Vec<u8> {
    std::thread::Builder::new()
        .stack_size(256 << 20)
        .spawn(move || {
            let desired = (0..depth).fold(Value::Null, |value, _| Value::Array(vec![value]));
            let frame = NodeFrame::Desired { version: 1, desired };
            rkyv::to_bytes::<rkyv::rancor::Error>(&frame).expect("rkyv has no bound here").to_vec()
        })
        .expect("a thread starts")
        .join()
        .expect("the stack is large enough")
}

#[test]
fn numbers_in_the_wrong_form_are_refused_on_both_sides() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let frame = report(object(&[("x", Value::Array(vec![Value::Float(number)]))]));
        assert_eq!(encode(&frame, &mut BytesMut::new()), Err(FrameError::NotFinite));
        let body = rkyv::to_bytes::<rkyv::rancor::Error>(&frame).unwrap();
        let mut stream = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
        stream.extend_from_slice(&body);
        assert_eq!(decode::<DeviceFrame>(&stream), Err(FrameError::NotFinite));
    }
    let frame = report(Value::Uint(5));
    let error = encode(&frame, &mut BytesMut::new()).unwrap_err();
    assert_eq!(error, FrameError::NotCanonical { value: 5 });
}

#[test]
fn a_hello_with_huge_texts_is_refused() {
    let hello = DeviceFrame::Hello {
        tenant: String::new(),
        device: "d".repeat(257),
        incarnation: 1,
        token: None,
    };
    let error = encode(&hello, &mut BytesMut::new()).unwrap_err();
    assert_eq!(error.to_string(), "device has 257 bytes; at most 256 are allowed");
}

#[test]
fn an_empty_frame_is_no_frame() {
    assert_eq!(decode::<DeviceFrame>(&0_u32.to_le_bytes()), Err(FrameError::NotAFrame));
}

#[test]
fn datagrams_go_there_and_back() {
    let datagram = Datagram {
        session: 3,
        values: vec![("rssi".to_owned(), Value::Int(-61))],
        observed_at: None,
    };
    let bytes = encode_datagram(&datagram).unwrap();
    assert_eq!(decode_datagram(&bytes), Ok(datagram));
    assert!(matches!(decode_datagram(&[0; 9_001]), Err(FrameError::TooLong { .. })));
    assert_eq!(decode_datagram(b""), Err(FrameError::NotAFrame));
}

#[test]
fn close_codes_are_known_by_number() {
    for code in CloseCode::ALL {
        assert_eq!(CloseCode::from_code(u64::from(code.code())), Some(code));
    }
    assert_eq!(CloseCode::from_code(99), None);
}

/// The largest sections there may be, in the forms that take most room on the wire.
#[test]
fn any_desired_section_fits_into_a_welcome() {
    use pollux_twin::limits::SECTION_BYTES_MAX;
    let most = |item: &str| {
        let count = (SECTION_BYTES_MAX - 8) / (item.len() + 1);
        let json = format!(r#"{{"a":[{}]}}"#, vec![item; count].join(","));
        Value::from_json(&json, &pollux_twin::JsonLimits::default()).unwrap()
    };
    for item in ["1", "{}", "[]", r#"{"a":1}"#, r#"{"a":{"a":1}}"#, r#"{"a":1,"b":1}"#, "[[1]]"] {
        let desired = most(item);
        let bytes = bytes_of(&NodeFrame::Desired { version: 1, desired }).len();
        assert!(bytes <= NODE_FRAME_BYTES_MAX, "{item}: {bytes} bytes");
    }
}
