//! Reading the log back. Owns which bytes count, what they add up to, and what is damage; pure: bytes
//! in, state out. Leaves files to `open`.
//!
//! A crash can only hurt the tail: the segment that is not sealed, from the first bad frame on, and only
//! where nothing later shows that these bytes were once durable. The tail is cut there. Damage
//! anywhere else is refused, naming file and offset, for it may have been acknowledged.

use std::collections::BTreeMap;

use super::format::{ALIGN, HEADER_BYTES, Header, parse_frame, parse_header};
use super::record::{Entry, Marks, Record, parse};
use crate::fault::Fault;
use crate::ids::Position;

/// A group's part of the log, as read back.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    pub(crate) marks: Marks,
    /// Entries by index, each with the segment that holds its newest copy.
    pub(crate) entries: BTreeMap<u64, (Entry, u64)>,
}

/// Where writing goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) id: u64,
    pub(crate) offset: usize,
    pub(crate) chain: u32,
}

/// A log being read back, segment by segment.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    pub(crate) groups: BTreeMap<u32, Replayed>,
    /// The segments in use, oldest first.
    pub(crate) used: Vec<Header>,
    /// The prepared segments after them.
    pub(crate) spare: Vec<Header>,
    pub(crate) end: Option<End>,
    first_name: String,
    tail_name: String,
    last_id: Option<u64>,
}

impl Replay {
    /// Reads the next segment. Segments must come in the order of their ids.
    pub(crate) fn segment(&mut self, name: &str, id: u64, bytes: &[u8]) -> Result<(), Fault> {
        let corrupt = |offset: usize, reason: String| Fault::Corrupt {
            file: name.into(),
            offset: offset as u64,
            reason,
        };
        let header = parse_header(bytes).map_err(|reason| corrupt(0, reason))?;
        if header.id != id {
            return Err(corrupt(
                0,
                format!("its header names segment {}, its name {id}", header.id),
            ));
        }
        match self.last_id.replace(id) {
            None => self.first_name = name.into(),
            Some(last) if last + 1 == id => {}
            Some(last) => {
                return Err(corrupt(0, format!("segment {} before it is missing", last + 1)));
            }
        }
        if self.end.is_some() {
            return self.beyond_the_tail(header, bytes);
        }
        let (mut at, mut chain) = (HEADER_BYTES, header.crc);
        while let Some(frame) = parse_frame(bytes, at, id).filter(|f| f.chain == chain) {
            let record = parse(frame.kind, frame.payload).map_err(|e| corrupt(at, e.into()))?;
            if record == Record::Seal {
                self.used.push(header);
                return Ok(());
            }
            self.apply(frame.group, record, id).map_err(|reason| corrupt(at, reason))?;
            (at, chain) = (frame.end, frame.crc);
        }
        if let Some(later) = durable_proof(bytes, at, id) {
            let reason =
                format!("a bad frame, yet the frame at {later} shows that it was durable once");
            return Err(corrupt(at, reason));
        }
        self.used.push(header);
        self.tail_name = name.into();
        self.end = Some(End { id, offset: at, chain });
        Ok(())
    }

    /// After a segment that is not sealed only unused ones may follow.
    fn beyond_the_tail(&mut self, header: Header, bytes: &[u8]) -> Result<(), Fault> {
        let id = header.id;
        let mut places = (HEADER_BYTES..bytes.len()).step_by(ALIGN);
        let used = places.any(|at| parse_frame(bytes, at, id).is_some());
        if let (true, Some(end)) = (used, self.end) {
            return Err(Fault::Corrupt {
                file: self.tail_name.clone(),
                offset: end.offset as u64,
                reason: format!("a bad frame, yet segment {id} after it is in use"),
            });
        }
        self.spare.push(header);
        Ok(())
    }

    fn apply(&mut self, group: u32, record: Record, segment: u64) -> Result<(), String> {
        let g = self.groups.entry(group).or_default();
        match record {
            Record::Entries(entries) => {
                for entry in entries {
                    g.insert(entry, segment)?;
                }
            }
            Record::Vote(vote) => g.marks.vote = Some(vote),
            Record::Truncate(from) => {
                g.entries.split_off(&from);
                g.marks.next = from.max(g.marks.purged.map_or(0, |p| p.index + 1));
            }
            Record::Purge(position) => g.purge(position),
            Record::Committed(position) => g.marks.committed = Some(position),
            Record::State(marks) => {
                if let Some(purged) = marks.purged {
                    g.purge(purged);
                }
                g.marks = marks;
            }
            Record::Seal => {}
        }
        Ok(())
    }

    /// All segments are read: checks that every group's log is without a hole.
    pub(crate) fn finish(&mut self) -> Result<(), Fault> {
        self.groups.retain(|_, group| !group.is_nothing());
        for (id, group) in &mut self.groups {
            group.check().map_err(|reason| Fault::Corrupt {
                file: self.first_name.clone(),
                offset: 0,
                reason: format!("group {id}: {reason}; an older segment must have been lost"),
            })?;
        }
        Ok(())
    }
}

impl Replayed {
    fn insert(&mut self, entry: Entry, segment: u64) -> Result<(), String> {
        let position = entry.position;
        if self.marks.purged.is_some_and(|purged| position.index <= purged.index) {
            return Ok(());
        }
        match self.entries.get_mut(&position.index) {
            Some((old, place)) if old.position == position => *place = segment,
            Some((old, _)) => {
                return Err(format!(
                    "entry {position} follows entry {} without a truncation",
                    old.position
                ));
            }
            None => {
                self.entries.insert(position.index, (entry, segment));
            }
        }
        self.marks.next = self.marks.next.max(position.index + 1);
        Ok(())
    }

    fn purge(&mut self, position: Position) {
        self.entries = self.entries.split_off(&(position.index + 1));
        self.marks.purged = Some(position);
        self.marks.next = self.marks.next.max(position.index + 1);
    }

    /// Whether it is as if the group had never been here.
    fn is_nothing(&self) -> bool {
        self.entries.is_empty() && self.marks == Marks::default()
    }

    fn check(&mut self) -> Result<(), String> {
        let first = match (self.marks.purged, self.entries.first_key_value()) {
            (Some(purged), _) => purged.index + 1,
            (None, Some((first, _))) if *first <= 1 => *first,
            (None, _) => 0,
        };
        let mut next = first;
        for index in self.entries.keys() {
            if *index != next {
                return Err(format!("entries {next} to {} are missing", index - 1));
            }
            next += 1;
        }
        if next < self.marks.next {
            return Err(format!("entries {next} to {} are missing", self.marks.next - 1));
        }
        // The mark is not synced by itself; what it said beyond the tail is known to no one.
        self.marks.committed = self.marks.committed.filter(|c| c.index < next);
        Ok(())
    }
}

/// A frame after `at` which says that the byte at `at` was durable when it was written.
fn durable_proof(bytes: &[u8], at: usize, id: u64) -> Option<usize> {
    (at..bytes.len()).step_by(ALIGN).find(|&later| {
        parse_frame(bytes, later, id).is_some_and(|frame| frame.synced as usize > at)
    })
}
