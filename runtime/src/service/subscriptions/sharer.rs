//! One of those that share a subscription, as its node sees it: what it holds, what it has to give up, and whom it does
//! not hear of any more. Pure: the driver (`shared`) reads and writes the record, and tells the events.
//!
//! A shard goes from one to another in three steps. Its holder tells no more of it; waits until what it told is
//! acknowledged, but not for ever; and writes down who has it now. All of a record is written over the version that was
//! read, so that one of them decides at a time, and what a holder acknowledges counts only for what it still holds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pollux_proto::position::{Place, Position};
use pollux_twin::ShardId;

use super::super::limits::{
    ACKNOWLEDGE_EVERY, SHARER_LOOKS, SHARER_SETTLES, SHARER_SILENT, SHARERS_AT_PACE, SHARERS_MAX,
};
use super::record::Record;
use super::share::{Consumer, Consumers};

/// Why a consumer is none of those that share any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// Another stream took its name.
    TakenOver,
    /// It was not heard of for too long, or the subscription was made anew.
    Forgotten,
}

/// What was told of a shard that it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Held {
    /// Where it goes on.
    at: Option<Place>,
    /// Place of the last event, which is to be acknowledged.
    told: Option<Place>,
    /// In the middle of a picture, which has no place.
    in_picture: bool,
    /// For how long another should have had it, if so.
    unwanted: Option<Duration>,
}

/// What was heard of another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Heard {
    turn: u64,
    beat: u64,
    /// For how long that was all.
    silent: Duration,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Sharer {
    pub(super) name: String,
    turn: u64,
    lineage: u64,
    all: Vec<ShardId>,
    held: BTreeMap<ShardId, Held>,
    acknowledged: BTreeMap<ShardId, Place>,
    others: BTreeMap<String, Heard>,
    looked_at: Option<Duration>,
}

/// How far apart the looks of each are where so many share, at the most: a look may fail to be written once.
fn apart(consumers: usize) -> Duration {
    pace(consumers) * SHARER_LOOKS
}

/// The same if all goes well.
pub(super) fn pace(consumers: usize) -> Duration {
    let slower = u32::try_from(consumers.div_ceil(SHARERS_AT_PACE)).unwrap_or(1).max(1);
    ACKNOWLEDGE_EVERY * slower
}

impl Sharer {
    pub(super) fn new(name: String, turn: u64, lineage: u64, all: Vec<ShardId>) -> Self {
        let (held, acknowledged, others) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { name, turn, lineage, all, held, acknowledged, others, looked_at: None }
    }

    /// It comes, under a name that may be there already; false if there is no room.
    pub(super) fn join(&self, consumers: &mut Consumers) -> bool {
        self.forget_silent(consumers);
        if consumers.0.len() >= SHARERS_MAX && !consumers.0.contains_key(&self.name) {
            return false;
        }
        let one = consumers.0.entry(self.name.clone()).or_default();
        *one = Consumer { turn: self.turn, beat: 0, shards: std::mem::take(&mut one.shards) };
        consumers.give_out(&self.all);
        true
    }

    /// It leaves, and what it has acknowledged counts.
    pub(super) fn leave(&self, record: &Record) -> Result<Record, Gone> {
        let mut next = self.remember(record)?;
        if let Some(consumers) = &mut next.consumers {
            consumers.0.remove(&self.name);
            consumers.give_out(&self.all);
        }
        Ok(next)
    }

    /// A look at the record. Of the time since the last one counts what looks are apart: one that stood still itself has
    /// not heard others be silent.
    pub(super) fn look(&mut self, now: Duration, record: &Record) {
        let Some(consumers) = &record.consumers else { return };
        let passed = now.saturating_sub(self.looked_at.replace(now).unwrap_or(now));
        let passed = passed.min(apart(consumers.0.len()));
        let goal = consumers.goal(&self.all);
        for (shard, held) in &mut self.held {
            let is_wanted = goal.get(shard).is_none_or(|to| *to == self.name);
            let unwanted = held.unwanted.map_or(Duration::ZERO, |before| before + passed);
            held.unwanted = (!is_wanted).then_some(unwanted);
        }
        let others = consumers.0.iter().filter(|(name, _)| **name != self.name);
        let heard = others.map(|(name, Consumer { turn, beat, .. })| {
            let before = self.others.get(name);
            let same = before.filter(|heard| (heard.turn, heard.beat) == (*turn, *beat));
            let silent = same.map_or(Duration::ZERO, |heard| heard.silent + passed);
            (name.clone(), Heard { turn: *turn, beat: *beat, silent })
        });
        self.others = heard.collect();
    }

    /// What the record should be, if anything of it should be different.
    pub(super) fn decide(
        &self,
        record: &Record,
        has_to_beat: Beat,
    ) -> Result<Option<Record>, Gone> {
        let mut next = self.remember(record)?;
        let reached = next.places(self.lineage);
        let Some(consumers) = &mut next.consumers else { return Err(Gone::Forgotten) };
        self.forget_silent(consumers);
        consumers.give_out(&self.all);
        let goal = consumers.goal(&self.all).into_iter().map(|(shard, to)| (shard, to.to_owned()));
        for (shard, to) in goal.collect::<Vec<_>>() {
            let Some(held) = self.held.get(&shard).filter(|_| to != self.name) else { continue };
            let is_late = held.unwanted.is_some_and(|unwanted| unwanted >= SHARER_SETTLES);
            let is_due = reached.get(&shard).copied() >= held.told || is_late;
            if is_due && !held.in_picture && consumers.holder(shard) == Some(&self.name) {
                consumers.give(shard, &to);
            }
        }
        if next == *record && has_to_beat == Beat::NotYet {
            return Ok(None);
        }
        if let Some(own) = next.consumers.as_mut().and_then(|all| all.0.get_mut(&self.name)) {
            own.beat += 1;
        }
        Ok(Some(next))
    }

    /// The record that is now.
    pub(super) fn adopt(&mut self, record: &Record) {
        let own = record.consumers.as_ref().and_then(|all| all.0.get(&self.name));
        let own = own.map(|one| one.shards.clone()).unwrap_or_default();
        self.held.retain(|shard, _| own.contains(shard));
        for shard in own {
            self.held.entry(shard).or_default();
        }
        let (held, reached) = (&self.held, record.places(self.lineage));
        self.acknowledged.retain(|shard, place| {
            held.contains_key(shard) && reached.get(shard).is_none_or(|reached| reached < place)
        });
    }

    /// The shards of which events are to be told, each with the place after which they are, if any were.
    pub(super) fn tells(&self) -> BTreeMap<ShardId, Option<Place>> {
        let tells = |held: &Held| held.unwanted.is_none() || held.in_picture;
        let told = self.held.iter().filter(|(_, held)| tells(held));
        told.map(|(shard, held)| (*shard, held.at)).collect()
    }

    /// How many shards there are.
    pub(super) const fn shards(&self) -> usize {
        self.all.len()
    }

    /// Those, for people and programs.
    pub(super) fn holds(&self) -> BTreeSet<ShardId> {
        self.tells().into_keys().collect()
    }

    /// The position after an event: all that was told till then is before it.
    pub(super) fn position(&self, shard: ShardId, place: Place) -> Position {
        let at = |(shard, held): (&ShardId, &Held)| Some((*shard, held.at?));
        let mut shards: BTreeMap<_, _> = self.held.iter().filter_map(at).collect();
        shards.insert(shard, place);
        Position { lineage: self.lineage, shards }
    }

    /// An event is told; of a picture's twins only the end has a place.
    pub(super) fn told(&mut self, shard: ShardId, place: Option<Place>) {
        let Some(held) = self.held.get_mut(&shard) else { return };
        held.in_picture = place.is_none();
        if place.is_some() {
            (held.at, held.told) = (place, place);
        }
    }

    /// A place is told that is no event.
    pub(super) fn passed(&mut self, shard: ShardId, place: Place) {
        if let Some(held) = self.held.get_mut(&shard) {
            held.at = Some(place);
        }
    }

    /// An event of a shard is done.
    pub(super) fn acknowledged(&mut self, shard: ShardId, place: Place) {
        let known = self.acknowledged.entry(shard).or_default();
        *known = place.max(*known);
    }

    /// The record with what was acknowledged of shards that are its own.
    fn remember(&self, record: &Record) -> Result<Record, Gone> {
        let consumers = record.consumers.as_ref().ok_or(Gone::Forgotten)?;
        let own = consumers.0.get(&self.name).ok_or(Gone::Forgotten)?;
        if own.turn != self.turn {
            return Err(Gone::TakenOver);
        }
        let mut next = record.clone();
        let done = self.acknowledged.iter().filter(|(shard, _)| own.shards.contains(shard));
        next.reach(self.lineage, done.map(|(shard, place)| (*shard, *place)), &self.all);
        Ok(next)
    }

    /// What those hold that were silent for too long, as it knows them, is nobody's.
    fn forget_silent(&self, consumers: &mut Consumers) {
        let patience = SHARER_SILENT + apart(consumers.0.len());
        consumers.0.retain(|name, one| {
            self.others.get(name).is_none_or(|heard| {
                (one.turn, one.beat) != (heard.turn, heard.beat) || heard.silent < patience
            })
        });
    }
}

/// Whether others must hear of it now, though there is nothing to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    Due,
    NotYet,
}

#[cfg(test)]
mod tests;
