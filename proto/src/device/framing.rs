//! Frames on a stream: a little-endian `u32` of the length, then that many bytes of archive.
//! Pure: bytes in, frames out. Reading the stream and closing it is the driver's.

use std::marker::PhantomData;

use bytes::{Buf, BytesMut};

use crate::device::archive::{Wire, read, write};
use crate::device::error::FrameError;
use crate::device::frame::{Datagram, DeviceFrame, NodeFrame};
use crate::limits::{DATAGRAM_BYTES_MAX, FRAME_BYTES_MAX, HELLO_BYTES_MAX, NODE_FRAME_BYTES_MAX};

/// Bytes of the length before each frame.
pub const PREFIX_BYTES: usize = 4;

/// Appends a frame with its length to `out`; on an error `out` is as it was.
pub fn encode<F: Frame>(frame: &F, out: &mut BytesMut) -> Result<(), FrameError> {
    encode_within(frame, F::BYTES_MAX, out)
}

/// As [`encode`], for a peer that takes fewer bytes than the protocol allows.
pub fn encode_within<F: Frame>(
    frame: &F,
    bytes_max: usize,
    out: &mut BytesMut,
) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    let body = start + PREFIX_BYTES;
    let written = write(frame, out).and_then(|()| {
        let bytes = out.len() - body;
        match u32::try_from(bytes) {
            Ok(length) if bytes <= bytes_max => Ok(length),
            _ => Err(FrameError::TooLong { bytes, max: bytes_max }),
        }
    });
    match written {
        Ok(length) => {
            out[start..body].copy_from_slice(&length.to_le_bytes());
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

/// A frame of a stream, with the bytes it may have.
pub trait Frame: Wire {
    /// Bytes allowed by the protocol.
    const BYTES_MAX: usize;
}

impl Frame for DeviceFrame {
    const BYTES_MAX: usize = FRAME_BYTES_MAX;
}

impl Frame for NodeFrame {
    const BYTES_MAX: usize = NODE_FRAME_BYTES_MAX;
}

/// Cuts a stream of bytes into frames.
///
/// [`push`](Self::push) what was read, then [`poll`](Self::poll) until `None`. Holds only bytes
/// that have come, at most one frame and one push; nothing at all between frames. After an error
/// the stream is of no more use: every further poll gives the same error.
#[derive(Debug)]
pub struct Decoder<F> {
    buffer: BytesMut,
    bytes_max: usize,
    failed: Option<FrameError>,
    frame: PhantomData<fn() -> F>,
}

impl Decoder<DeviceFrame> {
    /// For a node, until the hello: takes only a small frame from somebody not yet known.
    pub fn for_hello() -> Self {
        Self::with_bytes_max(HELLO_BYTES_MAX)
    }
}

impl<F: Frame> Decoder<F> {
    /// A decoder with the protocol's bound.
    pub fn new() -> Self {
        Self::with_bytes_max(F::BYTES_MAX)
    }

    /// A decoder with a bound of its own.
    pub fn with_bytes_max(bytes_max: usize) -> Self {
        Self { buffer: BytesMut::new(), bytes_max, failed: None, frame: PhantomData }
    }

    /// Changes the bound for frames not yet polled, as after the hello.
    pub fn set_bytes_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// Takes bytes as they come from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next frame, if all of it is there.
    pub fn poll(&mut self) -> Result<Option<F>, FrameError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let polled = self.next_frame();
        if let Err(error) = &polled {
            self.failed = Some(error.clone());
            self.buffer = BytesMut::new();
        } else if self.buffer.is_empty() && self.buffer.capacity() > 0 {
            // An idle connection keeps no buffer: there are very many of them.
            self.buffer = BytesMut::new();
        }
        polled
    }

    /// To be called when the stream has ended: whether it ended between frames.
    pub fn finish(&self) -> Result<(), FrameError> {
        match (&self.failed, self.claimed()) {
            (Some(error), _) => Err(error.clone()),
            (None, _) if self.buffer.is_empty() => Ok(()),
            (None, None) => Err(FrameError::CutShort { missing: PREFIX_BYTES - self.buffer.len() }),
            (None, Some(bytes)) => Err(FrameError::CutShort {
                missing: (PREFIX_BYTES + bytes).saturating_sub(self.buffer.len()),
            }),
        }
    }

    /// Bytes held at the moment.
    pub fn held_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// What came after the frames that were polled: somebody else goes on with it.
    pub fn into_rest(self) -> BytesMut {
        self.buffer
    }

    fn claimed(&self) -> Option<usize> {
        let prefix = self.buffer.first_chunk::<PREFIX_BYTES>()?;
        Some(u32::from_le_bytes(*prefix) as usize)
    }

    fn next_frame(&mut self) -> Result<Option<F>, FrameError> {
        let Some(bytes) = self.claimed() else { return Ok(None) };
        if bytes > self.bytes_max {
            return Err(FrameError::TooLong { bytes, max: self.bytes_max });
        }
        let Some(body) = self.buffer.get(PREFIX_BYTES..PREFIX_BYTES + bytes) else {
            return Ok(None);
        };
        let frame = read(body)?;
        self.buffer.advance(PREFIX_BYTES + bytes);
        Ok(Some(frame))
    }
}

impl<F: Frame> Default for Decoder<F> {
    fn default() -> Self {
        Self::new()
    }
}

/// A datagram's bytes; it needs no length, being a packet of its own.
pub fn encode_datagram(datagram: &Datagram) -> Result<BytesMut, FrameError> {
    let mut out = BytesMut::new();
    write(datagram, &mut out)?;
    if out.len() > DATAGRAM_BYTES_MAX {
        return Err(FrameError::TooLong { bytes: out.len(), max: DATAGRAM_BYTES_MAX });
    }
    Ok(out)
}

/// Reads a datagram.
pub fn decode_datagram(bytes: &[u8]) -> Result<Datagram, FrameError> {
    if bytes.len() > DATAGRAM_BYTES_MAX {
        return Err(FrameError::TooLong { bytes: bytes.len(), max: DATAGRAM_BYTES_MAX });
    }
    read(bytes)
}
