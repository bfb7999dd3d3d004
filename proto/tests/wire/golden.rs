//! The bytes of one frame of every kind, as they were when `pollux/1` was named, and of downloads `pollux/2`, of enrolling
//! `pollux-enrol/1`. If this fails, the
//! wire has changed: old devices would not understand it. Then either undo that, or give the
//! protocol a new ALPN name and write the new bytes, which the failure prints, into the file.

use std::fmt::Write;

use bytes::BytesMut;
use pollux_proto::device::download::{Fetch, Offer};
use pollux_proto::device::enrolment::{Enrol, Enrolled};
use pollux_proto::device::framing::Frame;
use pollux_proto::device::{
    Decoder, DeviceFrame, NodeFrame, decode_datagram, encode, encode_datagram,
};

use crate::frames::{datagrams, device_frames, enrolled, enrols, fetches, node_frames, offers};

const GOLDEN: &str = include_str!("../golden/frames.txt");

#[test]
fn the_wire_has_not_changed() {
    let mut now = String::new();
    for frame in device_frames() {
        line(&mut now, "device", &format!("{frame:?}"), &encoded(&frame));
    }
    for frame in node_frames() {
        line(&mut now, "node", &format!("{frame:?}"), &encoded(&frame));
    }
    for datagram in datagrams() {
        let bytes = encode_datagram(&datagram).expect("within bounds");
        line(&mut now, "datagram", &format!("{datagram:?}"), &bytes);
    }
    for fetch in fetches() {
        line(&mut now, "fetch", &format!("{fetch:?}"), &encoded(&fetch));
    }
    for offer in offers() {
        line(&mut now, "offer", &format!("{offer:?}"), &encoded(&offer));
    }
    for enrol in enrols() {
        line(&mut now, "enrol", &format!("{enrol:?}"), &encoded(&enrol));
    }
    for answer in enrolled() {
        line(&mut now, "enrolled", &format!("{answer:?}"), &encoded(&answer));
    }
    assert!(now == GOLDEN, "the wire has changed; it would be now:\n{now}");
}

#[test]
fn the_old_bytes_are_still_understood() {
    let mut lines = GOLDEN.lines().filter_map(|line| line.strip_prefix("  ")).map(bytes);
    for frame in device_frames() {
        assert_eq!(decoded::<DeviceFrame>(&lines.next().unwrap()), frame);
    }
    for frame in node_frames() {
        assert_eq!(decoded::<NodeFrame>(&lines.next().unwrap()), frame);
    }
    for datagram in datagrams() {
        assert_eq!(decode_datagram(&lines.next().unwrap()), Ok(datagram));
    }
    for fetch in fetches() {
        assert_eq!(decoded::<Fetch>(&lines.next().unwrap()), fetch);
    }
    for offer in offers() {
        assert_eq!(decoded::<Offer>(&lines.next().unwrap()), offer);
    }
    for enrol in enrols() {
        assert_eq!(decoded::<Enrol>(&lines.next().unwrap()), enrol);
    }
    for answer in enrolled() {
        assert_eq!(decoded::<Enrolled>(&lines.next().unwrap()), answer);
    }
    assert_eq!(lines.next(), None);
}

fn encoded<F: Frame>(frame: &F) -> BytesMut {
    let mut out = BytesMut::new();
    encode(frame, &mut out).expect("within bounds");
    out
}

fn decoded<F: Frame>(bytes: &[u8]) -> F {
    let mut decoder = Decoder::<F>::new();
    decoder.push(bytes);
    decoder.poll().expect("a frame").expect("a whole frame")
}

/// A line that says what it is, and one with the bytes.
fn line(out: &mut String, from: &str, what: &str, bytes: &[u8]) {
    writeln!(out, "{from} {what}").expect("writing to a string does not fail");
    out.push_str("  ");
    for byte in bytes {
        write!(out, "{byte:02x}").expect("writing to a string does not fail");
    }
    out.push('\n');
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("the file holds hex digits");
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::try_from(digit(pair[0]) * 16 + digit(pair[1])).expect("two hex digits"))
        .collect()
}
