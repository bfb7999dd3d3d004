//! How the log looks on disk: the segment's header and the frame around every record. Owns the bytes
//! and their checksums; leaves their meaning to `record` and their order to `replay`.
//!
//! A segment is a preallocated file: a header, then frames, then whatever lay there before. A frame is
//!
//! ```text
//! 0  crc32c   of everything after it, padding excluded
//! 4  length   of the payload, bytes
//! 8  segment  low half of the segment's id: a recycled file's old frames never match
//! 12 chain    crc32c of the frame before (the header's for the first): leftovers never match
//! 16 synced   offset in this segment below which all was durable when the frame was written
//! 20 group    the group it belongs to
//! 24 kind     what the payload is
//! 25 zero     7 bytes
//! 32 payload, padded with zeros to a multiple of 8
//! ```
//!
//! All numbers are little-endian. The `synced` offset is what tells a torn tail from damage: a bad
//! frame below a later frame's `synced` was once durable, so no crash can explain it.

/// Version of everything below; in the header of each segment.
pub(crate) const VERSION: u8 = 1;
/// Bytes of a segment's header.
pub(crate) const HEADER_BYTES: usize = 32;
/// Bytes of a frame before its payload.
pub(crate) const FRAME_BYTES: usize = 32;
/// Frames begin at multiples of this.
pub(crate) const ALIGN: usize = 8;

const MAGIC: [u8; 7] = *b"POLXWAL";

/// Where a segment's frames begin and what the first one is chained to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) id: u64,
    pub(crate) size: u64,
    pub(crate) crc: u32,
}

/// The bytes of a segment's header and the checksum its first frame is chained to.
pub(crate) fn header(id: u64, size: u64) -> ([u8; HEADER_BYTES], u32) {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..7].copy_from_slice(&MAGIC);
    bytes[7] = VERSION;
    bytes[8..16].copy_from_slice(&id.to_le_bytes());
    bytes[16..24].copy_from_slice(&size.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..28]);
    bytes[28..].copy_from_slice(&crc.to_le_bytes());
    (bytes, crc)
}

/// Reads a segment's header, or says what is wrong with it.
pub(crate) fn parse_header(bytes: &[u8]) -> Result<Header, String> {
    let Some(bytes) = bytes.get(..HEADER_BYTES) else {
        return Err(format!("shorter than the segment header of {HEADER_BYTES} bytes"));
    };
    if bytes[..7] != MAGIC {
        return Err("not a segment of this log: its first bytes should be POLXWAL".into());
    }
    let crc = u32_at(bytes, 28);
    if crc32c::crc32c(&bytes[..28]) != crc {
        return Err("the checksum of the segment header does not match".into());
    }
    if bytes[7] != VERSION {
        return Err(format!("format version {}, this release reads {VERSION}", bytes[7]));
    }
    Ok(Header { id: u64_at(bytes, 8), size: u64_at(bytes, 16), crc })
}

/// What a frame's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Entries = 1,
    Vote = 2,
    Truncate = 3,
    Purge = 4,
    Committed = 5,
    State = 6,
    Seal = 7,
}

impl Kind {
    fn parse(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Entries,
            2 => Self::Vote,
            3 => Self::Truncate,
            4 => Self::Purge,
            5 => Self::Committed,
            6 => Self::State,
            7 => Self::Seal,
            _ => return None,
        })
    }
}

/// A frame whose checksum and segment have been verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) crc: u32,
    pub(crate) chain: u32,
    pub(crate) synced: u32,
    pub(crate) group: u32,
    pub(crate) kind: Kind,
    pub(crate) payload: &'a [u8],
    /// Where the next frame begins.
    pub(crate) end: usize,
}

/// The frame at `at`, if the bytes there are one of this segment and whole. Chain not compared.
pub(crate) fn parse_frame(segment: &[u8], at: usize, id: u64) -> Option<Frame<'_>> {
    let head = segment.get(at..at.checked_add(FRAME_BYTES)?)?;
    if u32_at(head, 8) != low(id) {
        return None;
    }
    let length = usize::try_from(u32_at(head, 4)).ok()?;
    let body = at + FRAME_BYTES;
    let payload = segment.get(body..body.checked_add(length)?)?;
    let crc = u32_at(head, 0);
    if crc32c::crc32c(&segment[at + 4..body + length]) != crc {
        return None;
    }
    Some(Frame {
        crc,
        chain: u32_at(head, 12),
        synced: u32_at(head, 16),
        group: u32_at(head, 20),
        kind: Kind::parse(head[24])?,
        payload,
        end: padded(body + length),
    })
}

/// Writes frames into a buffer that will lie at a known place of a segment.
#[derive(Debug)]
pub(crate) struct FrameWriter {
    pub(crate) buf: Vec<u8>,
    segment: u32,
    chain: u32,
    synced: u32,
    frame: usize,
}

impl FrameWriter {
    /// A writer for the segment `id`, whose next frame is chained to `chain`.
    pub(crate) fn new(id: u64, chain: u32) -> Self {
        Self { buf: Vec::new(), segment: low(id), chain, synced: 0, frame: 0 }
    }

    /// Goes on in another segment; the buffer must have been written out.
    pub(crate) fn restart(&mut self, id: u64, chain: u32) {
        debug_assert!(self.buf.is_empty(), "frames of one segment must not end up in another");
        (self.segment, self.chain, self.synced) = (low(id), chain, 0);
    }

    /// Everything below `offset` is durable from now on.
    pub(crate) fn set_synced(&mut self, offset: u32) {
        self.synced = offset;
    }

    /// The checksum the next frame will be chained to.
    #[cfg(test)]
    pub(crate) fn chain(&self) -> u32 {
        self.chain
    }

    /// Begins a frame; the payload is then pushed to `buf`, and `finish` closes it.
    pub(crate) fn begin(&mut self, kind: Kind, group: u32) {
        self.frame = self.buf.len();
        let mut head = [0; FRAME_BYTES];
        head[8..12].copy_from_slice(&self.segment.to_le_bytes());
        head[12..16].copy_from_slice(&self.chain.to_le_bytes());
        head[16..20].copy_from_slice(&self.synced.to_le_bytes());
        head[20..24].copy_from_slice(&group.to_le_bytes());
        head[24] = kind as u8;
        self.buf.extend_from_slice(&head);
    }

    /// Closes the frame begun last: length, checksum, padding.
    pub(crate) fn finish(&mut self) {
        let length = self.buf.len() - self.frame - FRAME_BYTES;
        let length =
            u32::try_from(length).expect("an entry and a frame are bounded far below 4 GiB");
        self.buf[self.frame + 4..self.frame + 8].copy_from_slice(&length.to_le_bytes());
        let crc = crc32c::crc32c(&self.buf[self.frame + 4..]);
        self.buf[self.frame..self.frame + 4].copy_from_slice(&crc.to_le_bytes());
        self.buf.resize(padded(self.buf.len()), 0);
        self.chain = crc;
    }
}

/// `n` rounded up to where a frame may begin.
pub(crate) const fn padded(n: usize) -> usize {
    n.next_multiple_of(ALIGN)
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
const fn low(id: u64) -> u32 {
    id as u32
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_and_refuses_every_flip() {
        let (bytes, crc) = header(7, 4096);
        assert_eq!(parse_header(&bytes), Ok(Header { id: 7, size: 4096, crc }));
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            parse_header(&bad).unwrap_err();
        }
    }

    #[test]
    fn a_frame_survives_and_refuses_every_flip() {
        let mut w = FrameWriter::new(3, 99);
        w.set_synced(64);
        w.begin(Kind::Vote, 5);
        w.buf.extend_from_slice(b"thirteen byte");
        w.finish();
        let f = parse_frame(&w.buf, 0, 3).unwrap();
        assert_eq!((f.chain, f.synced, f.group, f.kind), (99, 64, 5, Kind::Vote));
        assert_eq!((f.payload, f.end, f.crc), (&b"thirteen byte"[..], w.buf.len(), w.chain()));
        assert!(parse_frame(&w.buf, 0, 4).is_none());
        for bit in 0..(FRAME_BYTES + 13) * 8 {
            let mut bad = w.buf.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(parse_frame(&bad, 0, 3).is_none(), "bit {bit}");
        }
    }
}
