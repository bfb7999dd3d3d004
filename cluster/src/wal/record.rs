//! What the log remembers: entries, votes, and marks. Owns their meaning and their bytes inside a
//! frame; leaves frames to `format` and files to others.

use bytes::Bytes;

use super::format::{FrameWriter, Kind, u32_at, u64_at};
use crate::ids::{Epoch, Position};

/// What an entry carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing: a new leader's first entry.
    Blank,
    /// The application's bytes.
    Normal(Bytes),
    /// A membership, encoded by whoever speaks to the consensus library.
    Membership(Bytes),
}

impl Body {
    /// The bytes it carries.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Blank => &[],
            Self::Normal(b) | Self::Membership(b) => b,
        }
    }
}

/// An entry of a group's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place, and the leader that wrote it.
    pub position: Position,
    /// What it carries.
    pub body: Body,
}

/// A node's vote in a group: the leader it follows or would follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The leader voted for.
    pub epoch: Epoch,
    /// Whether a majority is known to have granted it.
    pub committed: bool,
}

/// Everything about a group that is not an entry, as of some place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) vote: Option<Vote>,
    pub(crate) purged: Option<Position>,
    pub(crate) committed: Option<Position>,
    /// The last entry of a replica that has left this node; see [`Tail`](super::tail::Tail).
    pub(crate) floor: Option<Position>,
    /// The index after the last entry.
    pub(crate) next: u64,
}

/// One frame's meaning.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Entries(Vec<Entry>),
    Vote(Vote),
    /// All entries from this index on are gone.
    Truncate(u64),
    /// All entries up to this one, inclusive, are gone.
    Purge(Position),
    Committed(Position),
    State(Marks),
    Seal,
}

const LENGTH_BITS: u32 = 30;
const LENGTH_MASK: u32 = (1 << LENGTH_BITS) - 1;

/// Bytes of an entries frame before its entries.
pub(crate) const RUN_BYTES: usize = 24;

/// Begins a frame of entries written by one leader at consecutive places.
pub(crate) fn begin_entries(w: &mut FrameWriter, group: u32, first: Position) {
    w.begin(Kind::Entries, group);
    put_position(&mut w.buf, first);
}

/// Adds an entry to the frame begun.
pub(crate) fn push_entry(buf: &mut Vec<u8>, body: &Body) {
    let tag: u32 = match body {
        Body::Blank => 0,
        Body::Normal(_) => 1,
        Body::Membership(_) => 2,
    };
    let bytes = body.bytes();
    let length = u32::try_from(bytes.len()).expect("an entry is bounded far below 1 GiB");
    buf.extend_from_slice(&(tag << LENGTH_BITS | length).to_le_bytes());
    buf.extend_from_slice(bytes);
}

/// Bytes that an entry takes inside its frame.
pub(crate) fn entry_bytes(body: &Body) -> usize {
    4 + body.bytes().len()
}

pub(crate) fn put_vote(w: &mut FrameWriter, group: u32, vote: Vote) {
    w.begin(Kind::Vote, group);
    vote_bytes(&mut w.buf, vote);
    w.finish();
}

pub(crate) fn put_truncate(w: &mut FrameWriter, group: u32, from: u64) {
    w.begin(Kind::Truncate, group);
    w.buf.extend_from_slice(&from.to_le_bytes());
    w.finish();
}

pub(crate) fn put_mark(w: &mut FrameWriter, group: u32, kind: Kind, position: Position) {
    w.begin(kind, group);
    put_position(&mut w.buf, position);
    w.finish();
}

pub(crate) fn put_state(w: &mut FrameWriter, group: u32, marks: &Marks) {
    w.begin(Kind::State, group);
    w.buf.extend_from_slice(&marks.next.to_le_bytes());
    let has = u8::from(marks.vote.is_some())
        | u8::from(marks.purged.is_some()) << 1
        | u8::from(marks.committed.is_some()) << 2
        | u8::from(marks.floor.is_some()) << 3;
    w.buf.push(has);
    if let Some(vote) = marks.vote {
        vote_bytes(&mut w.buf, vote);
    }
    for position in [marks.purged, marks.committed, marks.floor].into_iter().flatten() {
        put_position(&mut w.buf, position);
    }
    w.finish();
}

/// Most bytes a group's state takes, frame included.
pub(crate) const STATE_BYTES_MAX: usize = 32 + 8 + 1 + 17 + 24 + 24 + 24 + 6;

pub(crate) fn put_seal(w: &mut FrameWriter) {
    w.begin(Kind::Seal, 0);
    w.finish();
}

fn put_position(buf: &mut Vec<u8>, p: Position) {
    for n in [p.term, p.leader, p.index] {
        buf.extend_from_slice(&n.to_le_bytes());
    }
}

fn vote_bytes(buf: &mut Vec<u8>, vote: Vote) {
    buf.extend_from_slice(&vote.epoch.term.to_le_bytes());
    buf.extend_from_slice(&vote.epoch.leader.to_le_bytes());
    buf.push(u8::from(vote.committed));
}

/// The meaning of a verified frame, or what is wrong with its payload.
pub(crate) fn parse(kind: Kind, payload: &[u8]) -> Result<Record, &'static str> {
    let mut r = Reader(payload);
    let record = match kind {
        Kind::Entries => Record::Entries(entries(payload)?),
        Kind::Vote => Record::Vote(r.vote()?),
        Kind::Truncate => Record::Truncate(r.u64()?),
        Kind::Purge => Record::Purge(r.position()?),
        Kind::Committed => Record::Committed(r.position()?),
        Kind::State => {
            let next = r.u64()?;
            let has = r.take(1)?[0];
            let vote = if has & 1 != 0 { Some(r.vote()?) } else { None };
            let purged = if has & 2 != 0 { Some(r.position()?) } else { None };
            let committed = if has & 4 != 0 { Some(r.position()?) } else { None };
            let floor = if has & 8 != 0 { Some(r.position()?) } else { None };
            Record::State(Marks { vote, purged, committed, floor, next })
        }
        Kind::Seal => Record::Seal,
    };
    if kind != Kind::Entries && !r.0.is_empty() {
        return Err("a record has bytes left over");
    }
    Ok(record)
}

/// Copies the payload once and cuts the entries out of the copy.
fn entries(payload: &[u8]) -> Result<Vec<Entry>, &'static str> {
    let mut position = Reader(payload).position()?;
    let mut rest = Bytes::copy_from_slice(&payload[RUN_BYTES..]);
    let mut out = Vec::new();
    while !rest.is_empty() {
        if rest.len() < 4 {
            return Err("an entry is cut off");
        }
        let head = u32_at(&rest.split_to(4), 0);
        let length = (head & LENGTH_MASK) as usize;
        if length > rest.len() {
            return Err("an entry is longer than its frame");
        }
        let bytes = rest.split_to(length);
        let body = match head >> LENGTH_BITS {
            0 => Body::Blank,
            1 => Body::Normal(bytes),
            2 => Body::Membership(bytes),
            _ => return Err("an entry of a kind this release does not know"),
        };
        out.push(Entry { position, body });
        position.index = position.index.checked_add(1).ok_or("an index beyond 64 bits")?;
    }
    if out.is_empty() { Err("a frame of entries holds none") } else { Ok(out) }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], &'static str> {
        let (head, rest) = self.0.split_at_checked(n).ok_or("a record is cut off")?;
        self.0 = rest;
        Ok(head)
    }

    fn u64(&mut self) -> Result<u64, &'static str> {
        Ok(u64_at(self.take(8)?, 0))
    }

    fn position(&mut self) -> Result<Position, &'static str> {
        Ok(Position { term: self.u64()?, leader: self.u64()?, index: self.u64()? })
    }

    fn vote(&mut self) -> Result<Vote, &'static str> {
        let epoch = Epoch { term: self.u64()?, leader: self.u64()? };
        Ok(Vote { epoch, committed: self.take(1)?[0] != 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::parse_frame;
    use super::*;

    fn back(w: &FrameWriter) -> Record {
        let f = parse_frame(&w.buf, 0, 1).unwrap();
        parse(f.kind, f.payload).unwrap()
    }

    #[test]
    fn records_come_back_as_written() {
        let p = Position { term: 3, leader: 2, index: 9 };
        let vote = Vote { epoch: p.epoch(), committed: true };
        let mut w = FrameWriter::new(1, 0);
        begin_entries(&mut w, 4, p);
        let bodies =
            [Body::Blank, Body::Normal(Bytes::from("ab")), Body::Membership(Bytes::from("m"))];
        for b in &bodies {
            push_entry(&mut w.buf, b);
        }
        w.finish();
        let want = bodies
            .into_iter()
            .enumerate()
            .map(|(i, body)| Entry { position: Position { index: 9 + i as u64, ..p }, body });
        assert_eq!(back(&w), Record::Entries(want.collect()));

        let mut w = FrameWriter::new(1, 0);
        put_vote(&mut w, 0, vote);
        assert_eq!(back(&w), Record::Vote(vote));
        for vote in [None, Some(vote)] {
            for purged in [None, Some(p)] {
                let (committed, floor) = (purged, purged);
                let marks = Marks { vote, purged, committed, floor, next: 17 };
                let mut w = FrameWriter::new(1, 0);
                put_state(&mut w, 0, &marks);
                assert!(w.buf.len() <= STATE_BYTES_MAX);
                assert_eq!(back(&w), Record::State(marks));
            }
        }
    }

    #[test]
    fn hostile_payloads_are_refused_not_panicked_over() {
        for kind in [Kind::Entries, Kind::Vote, Kind::Truncate, Kind::Purge, Kind::State] {
            for len in 0..40 {
                let _ = parse(kind, &vec![0xff; len]);
            }
        }
    }
}
