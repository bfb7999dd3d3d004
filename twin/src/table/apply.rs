//! Applying entries of the log: the same on every replica, from the log alone (safety rule 9).

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::place::{Hot, Place};
use super::places::Found;
use super::tally::Counts;
use super::{Fault, Outcome, Table};
use crate::change::{Change, Effect};
use crate::entry::Entry;
use crate::id::TwinKey;
use crate::image::{Flags, ImageError};
use crate::twin::Quarantine;

/// What came of an entry.
#[derive(Debug)]
pub struct Applied {
    /// For whoever proposed it.
    pub outcome: Outcome,
    /// For whoever watches: one for each change, in order, whose ordinal is its place here. Empty
    /// if the entry was skipped.
    pub events: Vec<Event>,
}

/// A change that is in the log for good.
#[derive(Debug)]
pub struct Event {
    /// Whose.
    pub key: TwinKey,
    /// The change.
    pub change: Change,
    /// What came of it, or why the twin is set aside; watchers are told only of the former.
    pub result: Result<Versions, Quarantine>,
    /// The twin before and after, where that is kept; see [`Table::keep_states`].
    pub states: Option<States>,
}

/// A twin's images around a change.
#[derive(Clone, Debug)]
pub struct States {
    /// Before it; `None` if nobody had spoken of the twin.
    pub before: Option<Arc<[u8]>>,
    /// After it.
    pub after: Arc<[u8]>,
}

/// Versions of a twin after a change; zero if the table was restored from later than the change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// Of the whole.
    pub twin: u64,
    /// Of the section that changed; zero if none did.
    pub section: u64,
}

impl Table {
    /// Applies the entry at this log index. A fault is for good: the table is half-way.
    pub fn apply(&mut self, index: u64, entry: Entry) -> Result<Applied, Fault> {
        self.advance(index);
        match entry {
            Entry::Open { epoch, generation, time } => {
                let outcome = self.fence.open(epoch, generation, time);
                if let Outcome::Took { time } = outcome {
                    self.opened = time;
                }
                Ok(Applied { outcome, events: Vec::new() })
            }
            Entry::Batch { epoch, generation, number, time, changes } => {
                let outcome = self.fence.batch(epoch, generation, number, time);
                if outcome == Outcome::Skipped {
                    return Ok(Applied { outcome, events: Vec::new() });
                }
                let mut events = Vec::with_capacity(changes.len());
                for (key, change) in changes {
                    match self.carry_out(&key, &change) {
                        Ok((result, states)) => {
                            events.push(Event { key, change, result, states });
                        }
                        Err(error) => return Err(Fault { key, error }),
                    }
                }
                self.cache.cool(&mut self.places, &mut self.tenants);
                Ok(Applied { outcome, events })
            }
        }
    }

    /// From now on, or no longer, events carry the twin as it was and is: at each change it is packed.
    pub const fn keep_states(&mut self, keep: bool) {
        self.keeps_states = keep;
    }

    /// The log is at this index with an entry that is not for the table.
    pub fn advance(&mut self, index: u64) {
        assert!(index > self.index, "the log is applied in order, each entry once");
        self.index = index;
    }

    fn carry_out(
        &mut self,
        key: &TwinKey,
        change: &Change,
    ) -> Result<(Result<Versions, Quarantine>, Option<States>), ImageError> {
        let floor = self.fence.epoch.floor();
        let absent = || Place::Hot(Hot::absent(floor).into());
        let (id, found) = self.places.find_or_add(key, absent);
        let (_, place) = self.places.get_mut(id);
        let packed = matches!(place, Place::Packed(_));
        let hot = place.heat()?;
        if packed || found == Found::Added {
            self.cache.enter(id, hot);
        }
        self.counts.twins += u64::from(found == Found::Added);
        if hot.unpacked >= self.index {
            // Replay over an image that has this already.
            return Ok((Ok(Versions::default()), None));
        }
        if hot.index <= self.cuts.index {
            self.cuts.about_to_change(id, key, hot);
        }
        self.pictures.about_to_change(id, key, hot);
        let indexed = self.indexes.before(&change.effect, &hot.twin);
        let kept = self.keeps_states;
        let before = (kept && found == Found::There).then(|| hot.pack());
        let buried = hot.twin.restorable_until();
        let result = hot.twin.apply(change);
        if buried != hot.twin.restorable_until() {
            buried.map(|until| self.buried.remove(&(until, key.clone())));
            self.buried.extend(hot.twin.restorable_until().map(|until| (until, key.clone())));
        }
        self.indexes.changed(id, indexed, &hot.twin);
        hot.index = self.index;
        hot.image = None;
        let weighed = (hot.bytes, hot.flags);
        self.cache.changed(hot);
        note(&mut self.counts, &mut self.wakeful, key, hot);
        self.tenants.note(key, weighed, (hot.bytes, hot.flags));
        let states = kept.then(|| States { before, after: hot.pack() });
        Ok((result.map(|()| versions(hot, change)), states))
    }
}

/// Keeps count of what the twin is now.
fn note(counts: &mut Counts, wakeful: &mut BTreeSet<TwinKey>, key: &TwinKey, hot: &mut Hot) {
    let (before, after) = (hot.flags, Flags::of(&hot.twin));
    if before != after {
        hot.flags = after;
        counts.subtract(before);
        counts.add(after);
        if after.is_wakeful() {
            wakeful.insert(key.clone());
        } else {
            wakeful.remove(key);
        }
    }
}

fn versions(hot: &Hot, change: &Change) -> Versions {
    let section = match &change.effect {
        Effect::Patched { section, .. } => hot.twin.section_version(*section),
        _ => 0,
    };
    Versions { twin: hot.twin.version(), section }
}
