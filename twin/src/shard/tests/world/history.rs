//! What must be true of every release, judged by a model of the log that shares no code with the
//! table.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cell::Cell;

use crate::change::{Effect, Section};
use crate::entry::{Entry, Epoch};
use crate::id::TwinKey;
use crate::table::Table;
use crate::value::Value;

/// What an answer told of the tags section.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Told {
    Written { version: u64, n: i64 },
    Read { version: u64, n: i64 },
}

/// An output on its way through a shard.
#[derive(Debug)]
pub(super) struct Token {
    key: TwinKey,
    actor: u64,
    order: u64,
    told: Told,
    /// When it was decided, which here is when the request arrived.
    moment: u64,
    /// The newest version that anyone was told of before.
    floor: u64,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct History {
    moment: u64,
    actors: u64,
    /// How many outputs of each actor were released.
    heard: BTreeMap<u64, u64>,
    gone: BTreeSet<u64>,
    /// The newest version of each twin that anyone was told of.
    known: BTreeMap<TwinKey, u64>,
    /// What took effect: the value at each version, from 1.
    values: BTreeMap<TwinKey, Vec<i64>>,
    generation: Option<(Epoch, u64, u64)>,
    pub(super) writes: u64,
    pub(super) reads: u64,
    pub(super) dropped: u64,
    pub(super) skipped: u64,
    pub(super) passivated: Cell<u64>,
}

impl History {
    /// A moment after all before.
    pub(super) fn moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    pub(super) fn new_actor(&mut self) -> u64 {
        self.actors += 1;
        self.actors
    }

    pub(super) fn token(&mut self, key: &TwinKey, actor: u64, order: u64, told: Told) -> Token {
        let floor = self.known.get(key).copied().unwrap_or(0);
        Token { key: key.clone(), actor, order, told, moment: self.moment(), floor }
    }

    /// At most one generation's batches take effect, in order, without a gap.
    pub(super) fn committed(&mut self, entry: &Entry) {
        match entry {
            Entry::Open { epoch, generation, .. } => {
                let newest = self.generation.map(|(epoch, generation, _)| (epoch, generation));
                if newest < Some((*epoch, *generation)) {
                    self.generation = Some((*epoch, *generation, 0));
                }
            }
            Entry::Batch { epoch, generation, number, changes, .. } => {
                let before = Some((*epoch, *generation, number - 1));
                if self.generation != before {
                    self.skipped += 1;
                    return;
                }
                self.generation = Some((*epoch, *generation, *number));
                for (key, change) in changes {
                    if let Effect::Patched { section: Section::Tags, patch, .. } = &change.effect
                        && let Value::Object(patch) = patch
                        && let Some(Value::Int(n)) = patch.get("n")
                    {
                        self.values.entry(key.clone()).or_default().push(*n);
                    }
                }
            }
        }
    }

    pub(super) fn released(&mut self, token: &Token, table: &Table, barrier_begun: u64) {
        assert!(!self.gone.contains(&token.actor), "released after its actor was dropped");
        let heard = self.heard.entry(token.actor).or_default();
        assert_eq!(*heard, token.order, "a slot's outputs leave in order");
        *heard += 1;
        let (Told::Written { version, n } | Told::Read { version, n }) = token.told;
        self.check_effective(&token.key, version, n);
        let applied =
            table.twin(&token.key).unwrap().map_or(0, |twin| twin.section_version(Section::Tags));
        assert!(applied >= version, "released before the table had it");
        if let Told::Read { .. } = token.told {
            assert!(barrier_begun > token.moment, "no barrier began after the read arrived");
            assert!(version >= token.floor, "a read is older than what was told before it");
            self.reads += 1;
        } else {
            self.writes += 1;
        }
        let known = self.known.entry(token.key.clone()).or_default();
        *known = version.max(*known);
    }

    /// What someone saw must be in the log for good.
    pub(super) fn check_effective(&self, key: &TwinKey, version: u64, n: i64) {
        let place = usize::try_from(version).unwrap().checked_sub(1);
        let value = place.map_or(Some(0), |place| {
            self.values.get(key).and_then(|values| values.get(place).copied())
        });
        assert_eq!(value, Some(n), "version {version} was seen and did not take effect");
    }

    /// All that the actor said must be out.
    pub(super) fn passivated(&self, actor: u64, said: u64) {
        assert_eq!(self.heard.get(&actor).copied().unwrap_or(0), said, "passivated too early");
        self.passivated.set(self.passivated.get() + 1);
    }

    pub(super) fn gone(&mut self, actor: u64, said: u64) {
        self.gone.insert(actor);
        self.dropped += said - self.heard.get(&actor).copied().unwrap_or(0);
    }

    /// The table is what the log says, and nothing that was told is lost.
    pub(super) fn compare(&self, table: &Table) {
        for (key, values) in &self.values {
            let twin = table.twin(key).unwrap().unwrap();
            assert_eq!(twin.section_version(Section::Tags), values.len() as u64);
            let Value::Object(tags) = twin.section(Section::Tags) else { panic!("an object") };
            assert_eq!(tags.get("n"), values.last().map(|n| Value::Int(*n)).as_ref());
        }
        for (key, version) in &self.known {
            let values = self.values.get(key).map_or(0, Vec::len);
            assert!(values as u64 >= *version, "{key} lost what was told");
        }
    }
}
