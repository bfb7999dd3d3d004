//! The newest committed changes of one shard, in log order, bounded in bytes: what a watcher can
//! resume from. Pure; [`super::hub`] wakes the watchers.

use std::collections::VecDeque;
use std::sync::Arc;

use pollux_proto::feed::Fit;
use pollux_proto::position::Place;
use pollux_twin::table::States;

use super::committed::Committed;

/// Where a walk over a shard's log stands; changes within an entry count from 1, and 0 stands for
/// "before the first".
pub type Cursor = Place;

/// One committed change, as watchers see it.
#[derive(Clone, Debug)]
pub struct Event {
    /// Where it stands.
    pub at: Cursor,
    /// What changed.
    pub what: Arc<Committed>,
    /// The twin around it, where somebody watches with a filter.
    pub states: Option<States>,
    /// What it is to the filter, once that was asked.
    pub fit: Option<Fit>,
    /// What it weighs in the ring.
    pub weight: usize,
}

/// What a reader needs of each change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The change alone.
    Changes,
    /// The twin around it too.
    States,
}

/// The position asked for is no longer kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOld;

/// The newest changes of a shard.
#[derive(Debug)]
pub struct Ring {
    events: VecDeque<Event>,
    bytes: usize,
    bytes_max: usize,
    /// Everything after this is in `events`.
    floor: Cursor,
    /// The last entry applied, whether or not it held changes.
    head: Cursor,
    /// Everything after this came with the twin around it.
    states_floor: Cursor,
}

impl Ring {
    /// An empty ring whose history begins after `index`.
    pub fn new(index: u64, bytes_max: usize) -> Self {
        let floor = Cursor { index, ordinal: u32::MAX };
        let (events, states_floor) = (VecDeque::new(), floor);
        Self { events, bytes: 0, bytes_max, floor, head: floor, states_floor }
    }

    /// Forgets all history, which begins anew after `index`: older cursors are too old.
    pub(crate) fn begin_after(&mut self, index: u64) {
        *self = Self::new(index, self.bytes_max);
    }

    /// Takes in the changes of one applied entry, oldest first.
    pub fn push(&mut self, index: u64, events: impl IntoIterator<Item = Event>) {
        debug_assert!(index >= self.head.index, "entries are applied in order");
        for event in events {
            self.bytes += event.weight;
            if event.states.is_none() {
                self.states_floor = event.at;
            }
            self.events.push_back(event);
        }
        self.head = Cursor { index, ordinal: u32::MAX };
        while self.bytes > self.bytes_max {
            let Some(event) = self.events.pop_front() else { break };
            self.bytes -= event.weight;
            self.floor = event.at;
        }
    }

    /// Where the newest applied entry ends.
    pub const fn head(&self) -> Cursor {
        self.head
    }

    /// Up to `max` events after the cursor, and the cursor that stands for having seen them.
    pub fn after(
        &self,
        cursor: Cursor,
        max: usize,
        need: Need,
    ) -> Result<(Vec<Event>, Cursor), TooOld> {
        let floor = match need {
            Need::Changes => self.floor,
            Need::States => self.floor.max(self.states_floor),
        };
        if cursor < floor || cursor.index > self.head.index {
            return Err(TooOld);
        }
        let from = self.events.partition_point(|event| event.at <= cursor);
        let events: Vec<_> = self.events.range(from..).take(max).cloned().collect();
        let next = match events.last() {
            Some(last) if from + events.len() < self.events.len() => last.at,
            _ => self.head,
        };
        Ok((events, next))
    }
}

/// A change of a twin that nobody looks at.
#[cfg(test)]
pub(super) fn event(index: u64, ordinal: u32) -> Event {
    use pollux_twin::Mark;
    marked("a", Mark::None, Cursor { index, ordinal })
}

/// A change of a twin that is only a mark.
#[cfg(test)]
pub(super) fn marked(key: &str, mark: pollux_twin::Mark, at: Cursor) -> Event {
    use pollux_twin::table::Versions;
    use pollux_twin::{Change, Effect, Time, TwinKey};
    let change = Change { at: Time::default(), mark, effect: Effect::None };
    let versions = Versions { twin: at.index, section: 0 };
    Event {
        at,
        what: Arc::new(Committed::new(TwinKey::parse(key).unwrap(), change, versions)),
        states: None,
        fit: None,
        weight: 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_each_event_once_in_order() {
        let mut ring = Ring::new(4, 1000);
        ring.push(5, [event(5, 1), event(5, 2)]);
        ring.push(6, []);
        ring.push(7, [event(7, 1)]);
        let mut cursor = Cursor { index: 4, ordinal: u32::MAX };
        let mut seen = Vec::new();
        loop {
            let (events, next) = ring.after(cursor, 1, Need::Changes).unwrap();
            if events.is_empty() {
                break;
            }
            seen.extend(events.iter().map(|event| (event.at.index, event.at.ordinal)));
            cursor = next;
        }
        assert_eq!(seen, [(5, 1), (5, 2), (7, 1)]);
        assert_eq!(cursor, ring.head());
    }

    #[test]
    fn who_needs_the_twins_begins_after_the_last_change_without() {
        let kept = |index, ordinal| {
            let after = Arc::from([]);
            Event { states: Some(States { before: None, after }), ..event(index, ordinal) }
        };
        let at = |index, ordinal| Cursor { index, ordinal };
        let mut ring = Ring::new(4, 1000);
        ring.push(5, [event(5, 1), kept(5, 2)]);
        ring.push(6, []);
        assert_eq!(ring.after(at(4, u32::MAX), 9, Need::States).err(), Some(TooOld));
        assert_eq!(ring.after(at(5, 1), 9, Need::States).unwrap().0.len(), 1);
        assert_eq!(ring.after(at(4, u32::MAX), 9, Need::Changes).unwrap().0.len(), 2);
        ring.push(7, [event(7, 1)]);
        assert_eq!(ring.after(at(5, 1), 9, Need::States).err(), Some(TooOld));
    }

    #[test]
    fn what_was_dropped_is_said_to_be_too_old() {
        let mut ring = Ring::new(0, 25);
        ring.push(1, [event(1, 1), event(1, 2), event(1, 3)]);
        assert_eq!(
            ring.after(Cursor { index: 0, ordinal: u32::MAX }, 9, Need::Changes).err(),
            Some(TooOld)
        );
        let (events, _) = ring.after(Cursor { index: 1, ordinal: 1 }, 9, Need::Changes).unwrap();
        assert_eq!(events.len(), 2);
        assert_eq!(
            ring.after(Cursor { index: 9, ordinal: 0 }, 9, Need::Changes).err(),
            Some(TooOld)
        );
        ring.begin_after(7);
        assert_eq!(
            ring.after(Cursor { index: 1, ordinal: 3 }, 9, Need::Changes).err(),
            Some(TooOld)
        );
        ring.push(8, [event(8, 1)]);
        let (events, _) =
            ring.after(Cursor { index: 7, ordinal: u32::MAX }, 9, Need::Changes).unwrap();
        assert_eq!(events.len(), 1);
    }
}
