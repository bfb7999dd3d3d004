//! Everything that reads bytes from outside: what it accepts, it must write and read again the same.

use bytes::BytesMut;
use pollux_proto::device::convert::Received;
use pollux_proto::device::download::{Fetch, Offer};
use pollux_proto::device::enrolment::{Enrol, Enrolled};
use pollux_proto::device::framing::{Frame, PREFIX_BYTES};
use pollux_proto::device::name::{parse_uri, uri};
use pollux_proto::device::{
    Decoder, DeviceFrame, FrameError, NodeFrame, decode_datagram, encode, encode_datagram,
};
use pollux_proto::limits::{PEER_HEAD_BYTES_MAX, PEER_PAYLOAD_BYTES_MAX};
use pollux_proto::peer::{
    Greeting, JoinFrame, PeerDecoder, PeerFrame, encode_peer, framing, node_uri, parse_node_uri,
};
use pollux_proto::position::Position;
use pollux_twin::{DeviceId, Entry, JsonLimits, TenantId, TwinKey, Value, image as images};
use xxhash_rust::xxh3::Xxh3;

/// Frames of either side: the bytes as a stream in two kinds of cuts, and as the body of one frame.
pub fn frames(data: &[u8]) {
    side::<DeviceFrame>(data);
    side::<NodeFrame>(data);
    side::<Fetch>(data);
    side::<Offer>(data);
    side::<Enrol>(data);
    side::<Enrolled>(data);
    for frame in stream::<DeviceFrame>(data, data.len()).0 {
        let _session_or_twin = Received::from(frame);
    }
}

fn side<F: Frame + PartialEq + std::fmt::Debug>(data: &[u8]) {
    let (whole, end) = stream::<F>(data, data.len());
    let cut = 1 + data.first().map_or(0, |byte| usize::from(*byte));
    assert_eq!((&whole, &end), (&stream::<F>(data, cut).0, &stream::<F>(data, cut).1));
    let mut body = u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    body.extend_from_slice(data);
    for frame in whole.iter().chain(&stream::<F>(&body, body.len()).0) {
        let mut again = BytesMut::new();
        match encode(frame, &mut again) {
            // Bytes from elsewhere may be packed more tightly than ours.
            Err(FrameError::TooLong { .. }) => {}
            other => {
                assert_eq!(other, Ok(()));
                assert_eq!(&stream::<F>(&again, again.len()).0[0], frame);
            }
        }
    }
}

/// The frames of a stream that comes in pieces of `cut` bytes, and how it ended.
fn stream<F: Frame>(data: &[u8], cut: usize) -> (Vec<F>, Result<(), FrameError>) {
    let mut decoder = Decoder::new();
    let mut frames = Vec::new();
    for piece in data.chunks(cut.max(1)) {
        decoder.push(piece);
        loop {
            match decoder.poll() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
        assert!(decoder.held_bytes() <= PREFIX_BYTES + F::BYTES_MAX);
    }
    (frames, decoder.finish())
}

/// Datagrams.
pub fn datagram(data: &[u8]) {
    if let Ok(datagram) = decode_datagram(data) {
        match encode_datagram(&datagram) {
            Err(FrameError::TooLong { .. }) => {}
            other => {
                let again = other.expect("what was accepted can be sent");
                assert_eq!(decode_datagram(&again), Ok(datagram));
            }
        }
    }
}

/// What comes from other nodes: greetings, frames after them, requests to join; and names in
/// certificates.
pub fn peer(data: &[u8]) {
    side::<Greeting>(data);
    side::<JoinFrame>(data);
    let (whole, end) = peer_stream(data, data.len());
    let cut = 1 + data.first().map_or(0, |byte| usize::from(*byte));
    assert_eq!((&whole, &end), (&peer_stream(data, cut).0, &peer_stream(data, cut).1));
    let mut again = BytesMut::new();
    for frame in &whole {
        assert_eq!(encode_peer(frame, &mut again), Ok(()));
    }
    assert_eq!(peer_stream(&again, again.len()).0, whole);
    if let Ok(text) = std::str::from_utf8(data)
        && let Some((cluster, node)) = parse_node_uri(text)
    {
        assert_eq!(node_uri(cluster, node), text);
    }
}

/// The frames of a lane that comes in pieces of `cut` bytes, and what ended it.
fn peer_stream(data: &[u8], cut: usize) -> (Vec<PeerFrame>, Option<FrameError>) {
    const HELD_MAX: usize = framing::PREFIX_BYTES + PEER_HEAD_BYTES_MAX + PEER_PAYLOAD_BYTES_MAX;
    let mut decoder = PeerDecoder::new();
    let mut frames = Vec::new();
    for piece in data.chunks(cut.max(1)) {
        decoder.push(piece);
        loop {
            match decoder.poll() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(decoder.held_bytes() <= HELD_MAX);
    }
    (frames, None)
}

/// JSON text.
pub fn json(data: &[u8]) {
    let limits = JsonLimits::default();
    let Ok(value) = Value::from_json(data, &limits) else { return };
    let text = value.to_json();
    assert_eq!(text.len(), value.json_len());
    // Our form may be longer than what came: `1e300` for one is written out.
    let wide = JsonLimits { bytes_max: usize::MAX, ..limits };
    assert_eq!(Value::from_json(&text, &wide), Ok(value));
}

/// Images of twins: as they are, and with a checksum that fits.
pub fn image(data: &[u8]) {
    read_image(data);
    let mut bytes = data.to_vec();
    if bytes.len() < 5 {
        return;
    }
    let mut hash = Xxh3::new();
    hash.update(&bytes[..1]);
    hash.update(&bytes[5..]);
    let sum = hash.digest().to_le_bytes();
    bytes[1..5].copy_from_slice(&sum[..4]);
    read_image(&bytes);
}

fn read_image(bytes: &[u8]) {
    let _readable = images::header(bytes);
    if let Ok((twin, index)) = images::unpack(bytes) {
        let packed = images::pack(&twin, index);
        let (again, same_index) = images::unpack(&packed).expect("what was packed can be unpacked");
        assert_eq!(same_index, index);
        // Compared as bytes: equal even where a number is not equal to itself.
        assert_eq!(images::pack(&again, index), packed);
    }
}

/// Entries of a shard's log.
pub fn entries(data: &[u8]) {
    if let Ok(entry) = Entry::decode(data) {
        let bytes = entry.encode();
        let again = Entry::decode(&bytes).expect("what was encoded can be decoded");
        // Compared as bytes: equal even where a number is not equal to itself.
        assert_eq!(again.encode(), bytes);
    }
}

/// Names of devices and tenants, positions of watches.
pub fn texts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(position) = text.parse::<Position>() {
        assert_eq!(position.to_string(), text);
    }
    if let (Ok(tenant), Ok(device)) = (TenantId::parse(text), DeviceId::parse(text)) {
        let key = TwinKey::new(&tenant, &device);
        assert_eq!(TwinKey::parse(key.as_str()).as_ref(), Ok(&key));
        assert_eq!(parse_uri(&uri(&key)), Ok(key.clone()));
        assert!(key.shard(16).0 < 16);
    }
    if let Ok(key) = parse_uri(text) {
        assert_eq!(parse_uri(&uri(&key)), Ok(key));
    }
}
