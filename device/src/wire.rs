//! Frames as bytes, checked before they are queued: what the owner's decoder would refuse must
//! never get a number. The format itself is proto/'s.

use pollux_proto::device::DeviceFrame;
use pollux_twin::Value;
use pollux_twin::limits::DEPTH_MAX;

use crate::error::QueueError;

/// Bytes of one frame, with its length prefix.
pub(crate) const FRAME_BYTES_MAX: usize = 128 * 1024;

/// The frame with its length prefix.
pub(crate) fn encode(frame: &DeviceFrame, bytes_max: usize) -> Result<Box<[u8]>, QueueError> {
    check(frame)?;
    let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(frame)
        .map_err(|_| QueueError::Unsendable("it cannot be encoded"))?;
    if bytes.len() + 4 > bytes_max {
        return Err(QueueError::TooLong { bytes: bytes.len() + 4, max: bytes_max });
    }
    let mut out = Vec::with_capacity(bytes.len() + 4);
    out.extend_from_slice(&u32::try_from(bytes.len()).expect("below the bound").to_le_bytes());
    out.extend_from_slice(&bytes);
    Ok(out.into())
}

/// The frame that [`encode`] made.
pub(crate) fn decode(bytes: &[u8]) -> Option<DeviceFrame> {
    rkyv::from_bytes::<_, rkyv::rancor::Error>(bytes.get(4..)?).ok()
}

/// The same frame under another number.
pub(crate) fn renumber(bytes: &[u8], number: u64) -> Box<[u8]> {
    let mut frame = decode(bytes).expect("the queue holds frames that were encoded here");
    match &mut frame {
        DeviceFrame::Report { seq, .. }
        | DeviceFrame::Telemetry { seq, .. }
        | DeviceFrame::DesiredAck { seq, .. }
        | DeviceFrame::CommandResult { seq, .. }
        | DeviceFrame::CommandUnknown { seq, .. } => *seq = number,
        DeviceFrame::Hello { .. } | DeviceFrame::Get | DeviceFrame::Ping { .. } => {}
    }
    encode(&frame, usize::MAX).expect("the frame was encoded before")
}

fn check(frame: &DeviceFrame) -> Result<(), QueueError> {
    match frame {
        DeviceFrame::Report { patch, .. } => check_value(patch, DEPTH_MAX),
        DeviceFrame::Telemetry { values, .. } => {
            values.iter().try_for_each(|(_, value)| check_value(value, DEPTH_MAX))
        }
        DeviceFrame::CommandResult { result: Ok(value), .. } => check_value(value, DEPTH_MAX),
        _ => Ok(()),
    }
}

fn check_value(value: &Value, depth: usize) -> Result<(), QueueError> {
    if depth == 0 {
        return Err(QueueError::Unsendable("a value nests deeper than 16"));
    }
    match value {
        Value::Float(float) if !float.is_finite() => {
            Err(QueueError::Unsendable("a number is not finite"))
        }
        Value::Array(items) => items.iter().try_for_each(|item| check_value(item, depth - 1)),
        Value::Object(members) => {
            members.values().try_for_each(|member| check_value(member, depth - 1))
        }
        _ => Ok(()),
    }
}
