//! Reading a stream: chunks in, records out. Nothing in a chunk is trusted: format, number and
//! checksum first, then every length against its bound before it is used.

use pollux_cluster::limits::SNAPSHOT_CHUNK_BYTES_MAX;
use pollux_twin::TwinKey;
use pollux_twin::table::Digest;
use thiserror::Error;

use super::{
    CHUNK_HEAD_BYTES, END, END_BYTES, FORMAT, HEAD, HEAD_BYTES, Head, IMAGE, IMAGE_HEAD_BYTES,
    checksum,
};
use crate::limits::{IMAGE_BYTES_MAX, KEY_BYTES_MAX};

/// Why a stream is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum StreamFault {
    #[error(
        "chunk {number} of the stream has {bytes} bytes: should be {CHUNK_HEAD_BYTES} to {SNAPSHOT_CHUNK_BYTES_MAX}"
    )]
    Size { number: u32, bytes: usize },
    #[error("chunk {number} of the stream has format {found}: this version reads format {FORMAT}")]
    Format { number: u32, found: u8 },
    #[error("chunk {found} of the stream came where chunk {number} should be")]
    Order { number: u32, found: u32 },
    #[error("chunk {number} of the stream is damaged, or one before it is another stream's")]
    Checksum { number: u32 },
    #[error("the stream holds a record that is none: {0}")]
    Record(String),
    #[error("the stream ends before its end record")]
    Cut,
}

/// A record of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    Head(Head),
    Image(TwinKey, &'a [u8]),
    End(Digest),
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    Images,
    Over,
}

/// A stream that is being read.
#[derive(Debug)]
pub(crate) struct Reader {
    /// What came and is not yet given, from `given` on.
    records: Vec<u8>,
    given: usize,
    number: u32,
    checksum: u32,
    stage: Stage,
}

impl Reader {
    /// One of which nothing came yet.
    pub(crate) const fn new() -> Self {
        Self { records: Vec::new(), given: 0, number: 0, checksum: 0, stage: Stage::Head }
    }

    /// Takes in the next chunk; then call [`Reader::record`] until there is none.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<(), StreamFault> {
        let number = self.number;
        if !(CHUNK_HEAD_BYTES..=SNAPSHOT_CHUNK_BYTES_MAX).contains(&chunk.len()) {
            return Err(StreamFault::Size { number, bytes: chunk.len() });
        }
        let mut bytes = Bytes(chunk);
        let [found] = bytes.array();
        if found != FORMAT {
            return Err(StreamFault::Format { number, found });
        }
        let found = u32::from_le_bytes(bytes.array());
        if found != number {
            return Err(StreamFault::Order { number, found });
        }
        let sum = u32::from_le_bytes(bytes.array());
        if sum != checksum(self.checksum, number, bytes.0) {
            return Err(StreamFault::Checksum { number });
        }
        self.checksum = sum;
        self.number = number.checked_add(1).ok_or(StreamFault::Order { number, found })?;
        self.records.drain(..self.given);
        self.given = 0;
        self.records.extend_from_slice(bytes.0);
        Ok(())
    }

    /// The next record that is whole; `None` if it is not all there yet.
    pub(crate) fn record(&mut self) -> Result<Option<Piece<'_>>, StreamFault> {
        let rest = &self.records[self.given..];
        let Some((&kind, body)) = rest.split_first() else { return Ok(None) };
        let (size, stage) = match (self.stage, kind) {
            (Stage::Head, HEAD) => (1 + HEAD_BYTES, Stage::Images),
            (Stage::Images, IMAGE) if rest.len() < IMAGE_HEAD_BYTES => return Ok(None),
            (Stage::Images, IMAGE) => (image_size(body)?, Stage::Images),
            (Stage::Images, END) => (1 + END_BYTES, Stage::Over),
            (stage, kind) => {
                return Err(StreamFault::Record(format!("kind {kind} in stage {stage:?}")));
            }
        };
        if rest.len() < size {
            return Ok(None);
        }
        self.stage = stage;
        let record = &self.records[self.given + 1..self.given + size];
        self.given += size;
        parse(kind, record).map(Some)
    }

    /// Nothing more will come.
    pub(crate) fn finish(&self) -> Result<(), StreamFault> {
        match self.stage {
            Stage::Over if self.given == self.records.len() => Ok(()),
            Stage::Over => Err(StreamFault::Record("something after the end".into())),
            _ => Err(StreamFault::Cut),
        }
    }
}

/// Bytes of an image's record, kind included, from its lengths.
fn image_size(body: &[u8]) -> Result<usize, StreamFault> {
    let (key, image) = lengths(&mut Bytes(body));
    if key > KEY_BYTES_MAX || image > IMAGE_BYTES_MAX {
        return Err(StreamFault::Record(format!(
            "a key of {key} bytes with an image of {image}: at most {KEY_BYTES_MAX} and \
             {IMAGE_BYTES_MAX}"
        )));
    }
    Ok(IMAGE_HEAD_BYTES + key + image)
}

fn lengths(bytes: &mut Bytes<'_>) -> (usize, usize) {
    let key = usize::from(u16::from_le_bytes(bytes.array()));
    let image = u32::from_le_bytes(bytes.array());
    (key, usize::try_from(image).unwrap_or(usize::MAX))
}

/// The record of this kind, which has the length that its kind asks for.
fn parse(kind: u8, record: &[u8]) -> Result<Piece<'_>, StreamFault> {
    let mut bytes = Bytes(record);
    match kind {
        HEAD => Ok(Piece::Head(Head::from_bytes(&bytes.array()))),
        IMAGE => {
            let (key, _) = lengths(&mut bytes);
            let (key, image) = bytes.0.split_at(key);
            let key = std::str::from_utf8(key)
                .ok()
                .filter(|key| key.contains('/'))
                .and_then(|key| TwinKey::parse(key).ok())
                .ok_or_else(|| StreamFault::Record("an image whose key is none".into()))?;
            Ok(Piece::Image(key, image))
        }
        _ => {
            let count = u64::from_le_bytes(bytes.array());
            Ok(Piece::End(Digest { count, sum: u64::from_le_bytes(bytes.array()) }))
        }
    }
}

/// Bytes of which there are known to be enough.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let (first, rest) = self.0.split_first_chunk().expect("the length was compared before");
        self.0 = rest;
        *first
    }
}
