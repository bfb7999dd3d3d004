//! Frames as bytes, checked before they are queued: what the owner's decoder would refuse must
//! never get a number. The format and the checks are proto/'s.

use bytes::BytesMut;
use pollux_proto::device::framing::{PREFIX_BYTES, encode_within};
use pollux_proto::device::{Decoder, DeviceFrame, FrameError};

/// The frame with its length prefix, at most `bytes_max` bytes without it.
pub(crate) fn encode(frame: &DeviceFrame, bytes_max: usize) -> Result<Box<[u8]>, FrameError> {
    let mut out = BytesMut::new();
    encode_within(frame, bytes_max, &mut out)?;
    Ok(Box::from(&out[..]))
}

/// The first of some frames, and the bytes it took.
pub(crate) fn decode(bytes: &[u8]) -> Option<(DeviceFrame, usize)> {
    let prefix = bytes.first_chunk::<PREFIX_BYTES>()?;
    let len = PREFIX_BYTES + usize::try_from(u32::from_le_bytes(*prefix)).ok()?;
    let mut decoder = Decoder::new();
    decoder.push(bytes.get(..len)?);
    Some((decoder.poll().ok()??, len))
}

/// The same frame under another number.
pub(crate) fn renumber(bytes: &[u8], number: u64) -> Option<Box<[u8]>> {
    let (mut frame, _) = decode(bytes)?;
    match &mut frame {
        DeviceFrame::Report { seq, .. }
        | DeviceFrame::Telemetry { seq, .. }
        | DeviceFrame::DesiredAck { seq, .. }
        | DeviceFrame::CommandResult { seq, .. }
        | DeviceFrame::CommandUnknown { seq, .. } => *seq = number,
        DeviceFrame::Hello { .. }
        | DeviceFrame::Get
        | DeviceFrame::Ping { .. }
        | DeviceFrame::Relay { .. } => return None,
    }
    encode(&frame, bytes.len()).ok()
}
