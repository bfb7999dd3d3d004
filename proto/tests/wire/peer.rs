//! Peer and join frames: one of every kind, their pinned bytes, and what hostile bytes do.

use std::fmt::Write;

use bytes::{Bytes, BytesMut};
use pollux_proto::device::framing::Frame;
use pollux_proto::device::{Decoder, FrameError, encode};
use pollux_proto::limits::{
    GREETING_BYTES_MAX, JOIN_PAYLOAD_BYTES_MAX, PEER_MESSAGE_TEXT_BYTES_MAX, PEER_PAYLOAD_BYTES_MAX,
};
use pollux_proto::peer::{
    Greeting, JoinFrame, NodeFacts, PeerDecoder, PeerFault, PeerFrame, PeerHead, PeerLane,
    PeerRefusal, encode_peer, message, node_uri, parse_node_uri,
};

const GOLDEN: &str = include_str!("../golden/peer.txt");

/// Every kind of greeting, by a match that a new kind breaks.
pub(crate) fn greetings() -> Vec<Greeting> {
    let facts = NodeFacts {
        wire: 1,
        cluster: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
        lineage: 2,
        node: 3,
        node_uuid: u128::MAX,
        starts: 4,
        instance: 0x1112_1314_1516_1718,
        config: 0x2122_2324_2526_2728,
    };
    let next = |greeting: &Greeting| {
        Some(match greeting {
            Greeting::Hello(facts) => Greeting::Welcome(*facts),
            Greeting::Welcome(_) => Greeting::Refused {
                reason: PeerRefusal::OldDisk,
                message: "a disk that was set back must not be used".to_owned(),
            },
            Greeting::Refused { .. } => Greeting::Lane(PeerLane::Control),
            Greeting::Lane(_) => return None,
        })
    };
    let mut all: Vec<_> = std::iter::successors(Some(Greeting::Hello(facts)), next).collect();
    all.extend(PeerLane::ALL.map(Greeting::Lane));
    let reasons = [
        PeerRefusal::NotYou,
        PeerRefusal::OtherCluster,
        PeerRefusal::OtherLineage,
        PeerRefusal::OtherConfig,
        PeerRefusal::OldDisk,
        PeerRefusal::SecondNode,
        PeerRefusal::Removed,
        PeerRefusal::Version,
        PeerRefusal::Duplicate,
        PeerRefusal::Busy,
    ];
    all.extend(reasons.map(|reason| Greeting::Refused { reason, message: String::new() }));
    all
}

/// Every kind of frame after the greeting.
pub(crate) fn peer_frames() -> Vec<PeerFrame> {
    use PeerHead as H;
    let next = |head: &H| {
        Some(match *head {
            H::Call { id, .. } => H::Request { id, kind: 0x0304, deadline_ms: 5_000 },
            H::Request { id, .. } => H::Answer { id, fault: None },
            H::Answer { id, .. } => H::Cancel { id },
            H::Cancel { id } => H::Open { id, kind: 7, credit: 65_536 },
            H::Open { id, .. } => H::Item { id },
            H::Item { id } => H::Credit { id, bytes: 32_768 },
            H::Credit { id, .. } => H::End { id, fault: None },
            H::End { .. } => return None,
        })
    };
    let call = H::Call { id: 0x0102_0304_0506_0708, group: 17, ttl_ms: 100 };
    let mut heads: Vec<_> = std::iter::successors(Some(call), next).collect();
    for fault in [PeerFault::NotTaken, PeerFault::Late, PeerFault::Failed] {
        heads.extend([
            H::Answer { id: 1, fault: Some(fault) },
            H::End { id: 2, fault: Some(fault) },
        ]);
    }
    heads
        .into_iter()
        .map(|head| {
            let takes = matches!(
                head,
                H::Call { .. }
                    | H::Request { .. }
                    | H::Open { .. }
                    | H::Item { .. }
                    | H::Answer { fault: None, .. }
            );
            let payload = if takes { Bytes::from_static(b"payload") } else { Bytes::new() };
            PeerFrame { head, payload }
        })
        .collect()
}

/// Every kind of join frame.
pub(crate) fn join_frames() -> Vec<JoinFrame> {
    let next = |frame: &JoinFrame| {
        Some(match frame {
            JoinFrame::Request { .. } => JoinFrame::Reply { payload: vec![4; 40] },
            JoinFrame::Reply { .. } => JoinFrame::Refused { message: "no such token".to_owned() },
            JoinFrame::Refused { .. } => return None,
        })
    };
    let first = JoinFrame::Request { payload: vec![1, 2, 3] };
    std::iter::successors(Some(first), next).collect()
}

fn framed<F: Frame>(frame: &F) -> BytesMut {
    let mut out = BytesMut::new();
    encode(frame, &mut out).expect("within bounds");
    out
}

fn peer_framed(frame: &PeerFrame) -> BytesMut {
    let mut out = BytesMut::new();
    encode_peer(frame, &mut out).expect("within bounds");
    out
}

/// All of them as they lie on the wire, for the fuzzer to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = greetings().iter().map(|one| framed(one).to_vec()).collect();
    seeds.extend(join_frames().iter().map(|one| framed(one).to_vec()));
    seeds.extend(peer_frames().iter().map(|one| peer_framed(one).to_vec()));
    let all: Vec<u8> = peer_frames().iter().flat_map(|one| peer_framed(one).to_vec()).collect();
    seeds.extend([all, vec![0xff; 40], Vec::new()]);
    seeds
}

#[test]
fn the_wire_between_nodes_has_not_changed() {
    let mut now = String::new();
    let mut line = |what: String, bytes: &[u8]| {
        writeln!(now, "{what}").expect("writing to a string does not fail");
        let hex = pollux_proto::hex::hex(bytes);
        writeln!(now, "  {hex}").expect("writing to a string does not fail");
    };
    greetings().iter().for_each(|one| line(format!("{one:?}"), &framed(one)));
    peer_frames().iter().for_each(|one| line(format!("{:?}", one.head), &peer_framed(one)));
    join_frames().iter().for_each(|one| line(format!("{one:?}"), &framed(one)));
    assert!(now == GOLDEN, "the wire between nodes has changed; it would be now:\n{now}");
}

#[test]
fn the_old_bytes_between_nodes_are_still_understood() {
    let hex = |line: &str| -> Vec<u8> {
        let digits: Vec<_> = line.trim().chars().collect();
        let pair = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16);
        digits.chunks(2).map(|two| pair(two).expect("the file holds hex digits")).collect()
    };
    let mut lines = GOLDEN.lines().filter(|line| line.starts_with("  ")).map(hex);
    for greeting in greetings() {
        let mut decoder = Decoder::<Greeting>::new();
        decoder.push(&lines.next().unwrap());
        assert_eq!(decoder.poll(), Ok(Some(greeting)));
    }
    for frame in peer_frames() {
        let mut decoder = PeerDecoder::new();
        decoder.push(&lines.next().unwrap());
        assert_eq!(decoder.poll(), Ok(Some(frame)));
        assert_eq!(decoder.held_bytes(), 0);
    }
    for frame in join_frames() {
        let mut decoder = Decoder::<JoinFrame>::new();
        decoder.push(&lines.next().unwrap());
        assert_eq!(decoder.poll(), Ok(Some(frame)));
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn frames_between_nodes_come_in_any_cuts() {
    let frames = peer_frames();
    let large = PeerFrame { head: PeerHead::Item { id: 9 }, payload: vec![5; 100_000].into() };
    let frames: Vec<_> = frames.into_iter().chain([large]).collect();
    let bytes: Vec<u8> = frames.iter().flat_map(|one| peer_framed(one).to_vec()).collect();
    for cut in [1, 7, 1_000, bytes.len()] {
        let mut decoder = PeerDecoder::new();
        let mut read = Vec::new();
        for piece in bytes.chunks(cut) {
            decoder.push(piece);
            while let Some(frame) = decoder.poll().unwrap() {
                read.push(frame);
            }
        }
        assert_eq!(read, frames);
        assert_eq!(decoder.held_bytes(), 0);
    }
}

#[test]
fn lengths_between_nodes_are_refused_before_anything_is_kept() {
    let check = |bytes: &[u8]| {
        let mut decoder = PeerDecoder::new();
        decoder.push(bytes);
        let error = decoder.poll().unwrap_err();
        assert_eq!(decoder.held_bytes(), 0);
        decoder.push(&[0; 100]);
        assert_eq!((decoder.held_bytes(), decoder.poll()), (0, Err(error.clone())));
        error
    };
    let max = u32::try_from(PEER_PAYLOAD_BYTES_MAX).unwrap();
    let long = [&(max + 1).to_le_bytes()[..], &[1, 0]].concat();
    assert!(matches!(check(&long), FrameError::TooLong { .. }));
    assert!(matches!(check(&[0, 0, 0, 0, 0xff, 0xff]), FrameError::TooLong { bytes: 65_535, .. }));
    assert_eq!(check(&[0, 0, 0, 0, 3, 0, 1, 2, 3]), FrameError::NotAFrame);
    // A head without payload announces one: refused before it comes.
    let mut cancel =
        peer_framed(&PeerFrame { head: PeerHead::Cancel { id: 1 }, payload: Bytes::new() });
    cancel[..4].copy_from_slice(&max.to_le_bytes());
    assert!(matches!(check(&cancel), FrameError::Unexpected { .. }));
    // And none is sent that would be refused.
    let mut out = BytesMut::from("before");
    let cancel = PeerFrame { head: PeerHead::Cancel { id: 1 }, payload: "x".into() };
    assert!(matches!(encode_peer(&cancel, &mut out), Err(FrameError::Unexpected { .. })));
    let head = PeerHead::Item { id: 1 };
    let large = PeerFrame { head, payload: vec![0; PEER_PAYLOAD_BYTES_MAX + 1].into() };
    assert!(matches!(encode_peer(&large, &mut out), Err(FrameError::TooLong { .. })));
    assert_eq!(out, "before");
}

#[test]
fn greetings_and_joining_are_small() {
    let text = "ü".repeat(PEER_MESSAGE_TEXT_BYTES_MAX);
    let long = Greeting::Refused { reason: PeerRefusal::Busy, message: text.clone() };
    let mut out = BytesMut::new();
    assert!(matches!(encode(&long, &mut out), Err(FrameError::TextTooLong { .. })));
    let cut = Greeting::Refused { reason: PeerRefusal::Busy, message: message(&text) };
    assert!(framed(&cut).len() <= GREETING_BYTES_MAX);
    let mut decoder = Decoder::<Greeting>::new();
    decoder.push(&u32::try_from(GREETING_BYTES_MAX + 1).unwrap().to_le_bytes());
    assert!(matches!(decoder.poll(), Err(FrameError::TooLong { .. })));
    let large = JoinFrame::Reply { payload: vec![0; JOIN_PAYLOAD_BYTES_MAX] };
    framed(&large);
    let large = JoinFrame::Request { payload: vec![0; JOIN_PAYLOAD_BYTES_MAX + 1] };
    assert!(matches!(encode(&large, &mut out), Err(FrameError::TooLong { .. })));
}

#[test]
fn names_in_certificates_have_one_form() {
    let uri = node_uri(0xab, 7);
    assert_eq!(uri, "pollux-node:000000000000000000000000000000ab/7");
    assert_eq!(parse_node_uri(&uri), Some((0xab, 7)));
    for wrong in [
        "",
        "pollux-node:ab/7",
        "pollux-node:000000000000000000000000000000AB/7",
        "pollux-node:000000000000000000000000000000ab/07",
        "pollux-node:000000000000000000000000000000ab/+7",
        "pollux-node:000000000000000000000000000000ab",
        "pollux:000000000000000000000000000000ab/7",
    ] {
        assert_eq!(parse_node_uri(wrong), None, "{wrong}");
    }
}
