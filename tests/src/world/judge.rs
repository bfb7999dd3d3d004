//! Watches everything that anyone can see and asks every invariant whether it may be so. The first
//! thing that may not be ends the run.

use pollux_runtime::watch::{Cursor, Event as WatchEvent};
use pollux_twin::output::Answer;
use pollux_twin::table::{Header, Outcome, Table};
use pollux_twin::{Change, Entry, Rejection, TwinKey, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::caller::Op;
use super::invariants;
use super::log::{Log, Slot};
use super::mutant::Mutant;
use super::node::Out;
use super::truth::{Place, Truth};

/// Something that someone can see.
pub(super) enum Seen<'a> {
    /// An entry is on disk, and came to this.
    Logged { index: u64, entry: &'a Entry, outcome: Outcome },
    /// A change is on disk and took effect.
    Changed { key: &'a TwinKey, change: &'a Change },
    /// The node let something out.
    Released { out: &'a Out },
    /// A device's application handed a report to its SDK.
    Reported { device: &'a TwinKey, id: u64, keeps: bool, good: bool },
    /// A device's report was answered.
    Acknowledged { device: &'a TwinKey, id: u64, result: &'a Result<u64, Rejection> },
    /// A device was shown its desired section.
    Shown { device: &'a TwinKey, life: u64, version: u64, desired: &'a Value },
    /// A device was given a command.
    Commanded { device: &'a TwinKey, id: u64 },
    /// A device's application did a command and answered it.
    Executed { device: &'a TwinKey, id: u64 },
    /// A caller's operation has its answer.
    Returned { op: &'a Op, result: &'a Result<Answer, Rejection> },
    /// An actor whose changes are all applied, as it would be packed, beside the table's image.
    Settled { key: &'a TwinKey, own: &'a [u8], table: Option<Arc<[u8]>> },
    /// A checkpoint is durable.
    Checkpointed { header: Header, images: &'a BTreeMap<TwinKey, Arc<[u8]>> },
    /// A node started or was brought up, and this is its table when it first had all there is.
    Restored { table: &'a Table },
    /// A node applies an entry of its log.
    Applied { host: usize, index: u64, slot: &'a Slot },
    /// So many nodes have what is committed at an index on their disks.
    Held { index: u64, having: usize, of: usize },
    /// A watcher that stood at `from` was told these changes, and stands at `to`.
    Watched { from: Cursor, to: Cursor, events: &'a [WatchEvent] },
    /// A watcher got the full picture of a table, and goes on after it from `head`.
    Pictured { head: Cursor, table: &'a Table },
}

/// How things stand when all was quiet for a while.
pub(super) struct End<'a> {
    /// The nodes' own tables.
    pub(super) tables: Vec<&'a Table>,
    /// Which devices have a session, and its epoch.
    pub(super) sessions: BTreeMap<TwinKey, Option<u64>>,
    /// What has not healed.
    pub(super) sick: Vec<String>,
}

/// What an invariant says.
pub(super) type Verdict = Result<(), String>;

/// One rule that always holds.
pub(super) trait Invariant {
    /// Its name, the file's.
    fn name(&self) -> &'static str;
    /// Whether this may be.
    fn see(&mut self, truth: &Truth, seen: &Seen<'_>) -> Verdict;
    /// Whether it may end like this.
    fn end(&mut self, _truth: &Truth, _end: &End<'_>) -> Verdict {
        Ok(())
    }
}

/// The invariants and the truth they compare with.
pub(super) struct Judge {
    pub(super) truth: Truth,
    invariants: Vec<Box<dyn Invariant>>,
    /// Whether everything is printed as it happens.
    pub(super) tells: bool,
    /// The first thing that was wrong: which invariant, and what.
    pub(super) wrong: Option<(&'static str, String)>,
}

impl Judge {
    pub(super) fn new(mutant: Mutant) -> Self {
        Self {
            truth: Truth::new(mutant),
            invariants: invariants::all(mutant),
            tells: std::env::var_os("WORLD_TRACE").is_some(),
            wrong: None,
        }
    }

    /// The log is committed up to an index, and this node has it.
    pub(super) fn learn(&mut self, log: &Log, upto: u64) {
        for index in self.truth.index + 1..=upto {
            let Some(slot) = log.slot(index) else {
                let purged =
                    format!("entry {index} was purged before it was known to be committed");
                return note(&mut self.wrong, "log", Err(purged));
            };
            let Some((outcome, entry)) = self.truth.learn(index, slot) else { continue };
            if self.tells {
                eprintln!("        {index} {outcome:?} {entry:?}");
            }
            self.see(&Seen::Logged { index, entry: &entry, outcome });
            for (key, change) in super::replica::changes(outcome, &entry) {
                self.see(&Seen::Changed { key, change });
            }
        }
    }

    pub(super) fn see(&mut self, seen: &Seen<'_>) {
        for invariant in &mut self.invariants {
            let verdict = invariant.see(&self.truth, seen);
            note(&mut self.wrong, invariant.name(), verdict);
        }
    }

    pub(super) fn end(&mut self, end: &End<'_>) {
        for invariant in &mut self.invariants {
            let verdict = invariant.end(&self.truth, end);
            note(&mut self.wrong, invariant.name(), verdict);
        }
    }

    /// The newest change that is on disk.
    pub(super) const fn place(&self) -> Place {
        self.truth.place
    }
}

fn note(wrong: &mut Option<(&'static str, String)>, name: &'static str, verdict: Verdict) {
    if let Err(text) = verdict
        && wrong.is_none()
    {
        *wrong = Some((name, text));
    }
}
