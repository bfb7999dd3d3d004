//! What is committed, as an observer beside the log sees it: every state that every twin was in,
//! and what brought it there. Fed from the disks, never from what a node says.

use std::collections::BTreeMap;

use pollux_twin::change::{CommandState, Section};
use pollux_twin::registration::{Credential, Proof, Registration};
use pollux_twin::table::{Outcome, Table};
use pollux_twin::twin::View;
use pollux_twin::{Change, Effect, Entry, Epoch, Mark, Rejection, Time, Twin, TwinKey, Value};

use super::caller::RESTORER;
use super::log::Slot;
use super::mutant::Mutant;
use super::replica::{self, Whose};

/// Which change of the whole log; the first is 1.
pub(super) type Place = u64;

/// One twin's past.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub(super) twin: Twin,
    /// After each of its changes, how it looked.
    pub(super) states: Vec<(Place, View)>,
    /// Numbered messages taken, by incarnation and number.
    pub(super) numbers: BTreeMap<(u64, u64), (Place, Option<Rejection>)>,
    /// Reports applied, in order: the application's own number and where.
    pub(super) reports: Vec<(u64, Place)>,
    /// What service calls did, by operation: the version that each application of it made, or the
    /// id of the command.
    pub(super) ops: BTreeMap<u64, Vec<u64>>,
    /// Incarnation of each session.
    pub(super) sessions: BTreeMap<u64, u64>,
    /// Everything that each command was.
    pub(super) commands: BTreeMap<u64, Vec<CommandState>>,
    /// Everything that its entry in the registry was.
    pub(super) entries: Vec<Registration>,
    /// Content of each section at each version.
    pub(super) contents: BTreeMap<(Section, u64), Value>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Truth {
    pub(super) mutant: Mutant,
    pub(super) table: Table,
    pub(super) index: u64,
    pub(super) place: Place,
    /// All that is committed, from index 1.
    pub(super) log: Vec<Slot>,
    /// Where each change stands in the log: index of its entry, and its number there.
    pub(super) changes: Vec<(u64, u32, TwinKey)>,
    /// How many epochs were opened.
    pub(super) epochs: u64,
    epoch: Epoch,
    pub(super) twins: BTreeMap<TwinKey, Past>,
}

impl Truth {
    pub(super) fn new(mutant: Mutant) -> Self {
        Self {
            mutant,
            table: Table::new(super::store::options()),
            index: 0,
            place: 0,
            log: Vec::new(),
            changes: Vec::new(),
            epochs: 0,
            epoch: Epoch::default(),
            twins: BTreeMap::new(),
        }
    }

    /// The next record of the log is on most disks.
    pub(super) fn learn(&mut self, index: u64, slot: &Slot) -> Option<(Outcome, Entry)> {
        assert_eq!(index, self.index + 1, "the log is learnt in order");
        self.index = index;
        self.log.push(slot.clone());
        let record = (index, &slot.record);
        let (applied, entry) = replica::apply(self.mutant, Whose::Judges, &mut self.table, record)?;
        let outcome = applied.outcome;
        let epoch = self.table.fence().epoch;
        self.epochs += u64::from(epoch != self.epoch);
        self.epoch = epoch;
        for ((key, change), ordinal) in replica::changes(outcome, &entry).iter().zip(1..) {
            self.place += 1;
            self.changes.push((index, ordinal, key.clone()));
            let past = self.twins.entry(key.clone()).or_default();
            past.learn(self.place, change);
        }
        Some((outcome, entry))
    }

    /// What stands at an index that is committed.
    pub(super) fn slot(&self, index: u64) -> &Slot {
        &self.log[usize::try_from(index - 1).expect("an index of a short run")]
    }

    /// How many changes there are up to an entry's end.
    pub(super) fn place_at(&self, index: u64) -> Place {
        self.changes.partition_point(|(at, ..)| *at <= index) as u64
    }

    /// The shard's time as of the newest entry.
    pub(super) fn time(&self) -> Time {
        self.table.fence().time
    }

    pub(super) fn past(&self, key: &TwinKey) -> Option<&Past> {
        self.twins.get(key)
    }
}

impl Past {
    fn learn(&mut self, place: Place, change: &Change) {
        if self.twin.apply(change).is_err() {
            return;
        }
        let view = self.twin.view();
        if let Mark::Sequence { seq, rejection } = &change.mark {
            let incarnation = view
                .presence
                .session
                .and_then(|session| self.sessions.get(&session))
                .copied()
                .unwrap_or_default();
            self.numbers.insert((incarnation, *seq), (place, rejection.clone()));
        }
        self.learn_effect(place, &change.effect, &view);
        for (section, seen) in [
            (Section::Tags, &view.tags),
            (Section::Desired, &view.desired),
            (Section::Reported, &view.reported),
        ] {
            self.contents.insert((section, seen.version), seen.value.clone());
        }
        self.states.push((place, view));
    }

    fn learn_effect(&mut self, place: Place, effect: &Effect, view: &View) {
        match effect {
            Effect::Patched { by, .. } if by == RESTORER => {}
            Effect::Patched { section: Section::Reported, patch, .. } => {
                if let Some(id) = number(patch.get("id")) {
                    self.reports.push((id, place));
                }
            }
            Effect::Patched { section, patch, .. } => {
                let version = match section {
                    Section::Tags => view.tags.version,
                    _ => view.desired.version,
                };
                if let Some(op) = number(patch.get("op")) {
                    self.effected(op, version);
                }
            }
            Effect::Deleted { by } => {
                if let Some(op) = by.strip_prefix("delete-").and_then(|op| op.parse().ok()) {
                    self.effected(op, view.version);
                }
            }
            Effect::Registered(entry) => {
                let before = self.entries.last().and_then(|before| before.credentials.last());
                let is_new = before != entry.credentials.last();
                self.entries.push(Registration::clone(entry));
                // One with another version of its type has the token that it had.
                if let (true, Some(Credential { proof: Proof::Token(digest), .. })) =
                    (is_new, entry.credentials.last())
                {
                    let op = digest.first_chunk().copied().map(u64::from_le_bytes);
                    self.effected(op.expect("a digest has so many bytes"), view.version);
                }
            }
            Effect::CommandQueued(command) => {
                self.commands.entry(command.id).or_default().push(command.state.clone());
                if let Some(op) = command.name.strip_prefix("op-").and_then(|op| op.parse().ok()) {
                    self.effected(op, command.id);
                }
            }
            Effect::CommandMoved { id, state } => {
                self.commands.entry(*id).or_default().push(state.clone());
            }
            Effect::Connected { session, incarnation, .. } => {
                self.sessions.insert(*session, *incarnation);
            }
            _ => {}
        }
    }

    fn effected(&mut self, op: u64, number: u64) {
        self.ops.entry(op).or_default().push(number);
    }
}

/// A value that is a whole number.
pub(super) fn number(value: Option<&Value>) -> Option<u64> {
    match value {
        Some(Value::Int(int)) => u64::try_from(*int).ok(),
        _ => None,
    }
}
