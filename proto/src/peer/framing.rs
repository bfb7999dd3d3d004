//! Frames after the greeting: the length of the payload (`u32`), the length of the head (`u16`), both
//! little-endian, the head's archive, then the payload as it is. Pure: bytes in, frames out.
//!
//! The payload stays outside the archive, so that it is neither checked nor copied on its way.

use bytes::{Buf, Bytes, BytesMut};

use crate::device::FrameError;
use crate::device::archive::{read, write};
use crate::limits::{PEER_HEAD_BYTES_MAX, PEER_PAYLOAD_BYTES_MAX, PEER_PAYLOAD_COPY_BYTES_MAX};
use crate::peer::frame::PeerHead;

/// Bytes of the lengths before each frame.
pub const PREFIX_BYTES: usize = 6;

/// A frame: what it is, and the bytes it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerFrame {
    /// What it is.
    pub head: PeerHead,
    /// Opaque; empty where the head allows none.
    pub payload: Bytes,
}

impl PeerHead {
    /// Whether a payload may follow.
    const fn has_payload(&self) -> bool {
        match self {
            Self::Call { .. } | Self::Request { .. } | Self::Open { .. } | Self::Item { .. } => {
                true
            }
            Self::Answer { fault, .. } => fault.is_none(),
            Self::Cancel { .. } | Self::Credit { .. } | Self::End { .. } => false,
        }
    }

    fn takes(&self, payload_len: usize) -> Result<(), FrameError> {
        if payload_len == 0 || self.has_payload() {
            return Ok(());
        }
        Err(FrameError::Unexpected {
            found: "payload after a head that has none",
            expected: "the next frame",
        })
    }
}

/// Appends a frame; on an error `out` is as it was.
pub fn encode_peer(frame: &PeerFrame, out: &mut BytesMut) -> Result<(), FrameError> {
    encode_peer_head(&frame.head, frame.payload.len(), out)?;
    out.extend_from_slice(&frame.payload);
    Ok(())
}

/// Appends a frame without its payload, which has to follow; on an error `out` is as it was.
pub fn encode_peer_head(
    head: &PeerHead,
    payload_len: usize,
    out: &mut BytesMut,
) -> Result<(), FrameError> {
    head.takes(payload_len)?;
    let too_long = FrameError::TooLong { bytes: payload_len, max: PEER_PAYLOAD_BYTES_MAX };
    let length = u32::try_from(payload_len).ok().filter(|_| payload_len <= PEER_PAYLOAD_BYTES_MAX);
    let length = length.ok_or(too_long)?;
    let start = out.len();
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    let written = write(head, out).and_then(|()| {
        let bytes = out.len() - start - PREFIX_BYTES;
        let length = u16::try_from(bytes).ok().filter(|_| bytes <= PEER_HEAD_BYTES_MAX);
        length.ok_or(FrameError::TooLong { bytes, max: PEER_HEAD_BYTES_MAX })
    });
    match written {
        Ok(length) => {
            out[start + 4..start + PREFIX_BYTES].copy_from_slice(&length.to_le_bytes());
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

/// Cuts a stream of bytes into frames.
///
/// [`push`](Self::push) what was read, then [`poll`](Self::poll) until `None`. Holds only bytes that
/// have come, at most one frame and one push. After an error the stream is of no more use: every
/// further poll gives the same error.
#[derive(Debug, Default)]
pub struct PeerDecoder {
    buffer: BytesMut,
    failed: Option<FrameError>,
}

impl PeerDecoder {
    /// A decoder at the beginning of a stream's frames.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes as they come from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next frame, if all of it is there.
    pub fn poll(&mut self) -> Result<Option<PeerFrame>, FrameError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let polled = self.next_frame();
        if let Err(error) = &polled {
            self.failed = Some(error.clone());
            self.buffer = BytesMut::new();
        }
        polled
    }

    /// Bytes held at the moment.
    pub fn held_bytes(&self) -> usize {
        self.buffer.len()
    }

    fn next_frame(&mut self) -> Result<Option<PeerFrame>, FrameError> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let [a, b, c, d, e, f] = *prefix;
        let payload_len = u32::from_le_bytes([a, b, c, d]) as usize;
        let head_len = usize::from(u16::from_le_bytes([e, f]));
        if payload_len > PEER_PAYLOAD_BYTES_MAX {
            return Err(FrameError::TooLong { bytes: payload_len, max: PEER_PAYLOAD_BYTES_MAX });
        }
        if head_len > PEER_HEAD_BYTES_MAX {
            return Err(FrameError::TooLong { bytes: head_len, max: PEER_HEAD_BYTES_MAX });
        }
        let body = PREFIX_BYTES + head_len;
        let Some(head) = self.buffer.get(PREFIX_BYTES..body) else { return Ok(None) };
        // The head is read before its payload has come: one that is wrong is refused at once.
        let head: PeerHead = read(head)?;
        head.takes(payload_len)?;
        if self.buffer.len() < body + payload_len {
            return Ok(None);
        }
        self.buffer.advance(body);
        let payload = if payload_len <= PEER_PAYLOAD_COPY_BYTES_MAX {
            // A small payload that is kept must not keep the whole buffer alive.
            let payload = Bytes::copy_from_slice(&self.buffer[..payload_len]);
            self.buffer.advance(payload_len);
            payload
        } else {
            self.buffer.split_to(payload_len).freeze()
        };
        Ok(Some(PeerFrame { head, payload }))
    }
}
