//! Writing a stream: records in, chunks out.

use bytes::Bytes;
use pollux_twin::TwinKey;
use pollux_twin::table::Digest;

use super::{CHUNK_HEAD_BYTES, END, FORMAT, HEAD, Head, IMAGE, checksum};
use crate::limits::SNAPSHOT_CHUNK_BYTES;

/// A stream that is being written.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Records that no chunk has yet, from `sent` on.
    records: Vec<u8>,
    sent: usize,
    number: u32,
    checksum: u32,
    ended: bool,
}

impl Writer {
    /// One that begins.
    pub(crate) fn new(head: Head) -> Self {
        let mut records = Vec::with_capacity(2 * SNAPSHOT_CHUNK_BYTES);
        records.push(HEAD);
        records.extend_from_slice(&head.to_bytes());
        Self { records, sent: 0, number: 0, checksum: 0, ended: false }
    }

    /// Adds an image.
    pub(crate) fn image(&mut self, key: &TwinKey, image: &[u8]) {
        let key = key.as_str().as_bytes();
        let key_len = u16::try_from(key.len()).expect("a key is bounded to some hundred bytes");
        let image_len = u32::try_from(image.len()).expect("an image is bounded far below 4 GiB");
        self.records.push(IMAGE);
        self.records.extend_from_slice(&key_len.to_le_bytes());
        self.records.extend_from_slice(&image_len.to_le_bytes());
        self.records.extend_from_slice(key);
        self.records.extend_from_slice(image);
    }

    /// Adds the end: what all images come to.
    pub(crate) fn end(&mut self, digest: Digest) {
        self.records.push(END);
        self.records.extend_from_slice(&digest.count.to_le_bytes());
        self.records.extend_from_slice(&digest.sum.to_le_bytes());
        self.ended = true;
    }

    /// Whether records should be added before a chunk is taken.
    pub(crate) const fn is_hungry(&self) -> bool {
        !self.ended && self.waiting() < SNAPSHOT_CHUNK_BYTES
    }

    /// The next chunk; `None` after the last.
    pub(crate) fn chunk(&mut self) -> Option<Bytes> {
        let size = self.waiting().min(SNAPSHOT_CHUNK_BYTES);
        if size == 0 {
            return None;
        }
        let body = &self.records[self.sent..self.sent + size];
        self.checksum = checksum(self.checksum, self.number, body);
        let mut chunk = Vec::with_capacity(CHUNK_HEAD_BYTES + size);
        chunk.push(FORMAT);
        chunk.extend_from_slice(&self.number.to_le_bytes());
        chunk.extend_from_slice(&self.checksum.to_le_bytes());
        chunk.extend_from_slice(body);
        self.number += 1;
        self.sent += size;
        if self.waiting() < SNAPSHOT_CHUNK_BYTES {
            self.records.drain(..self.sent);
            self.sent = 0;
        }
        Some(chunk.into())
    }

    const fn waiting(&self) -> usize {
        self.records.len() - self.sent
    }
}
