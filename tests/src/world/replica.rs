//! A table and how an entry of the log goes into it: the same for the node, for the judge's own
//! truth and for every replay, with the mutants that concern all replicas alike.

use pollux_twin::table::{Applied, Outcome, Table};
use pollux_twin::{Change, Entry, Mark, TwinKey};

use super::log::{Record, Slot};
use super::mutant::Mutant;

/// Whose table it is, as far as it matters to a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The judge's, or a replay's at the end.
    Judges,
    /// That of a node, and whether the entry was in its log when it started.
    Node { number: u64, restarted: bool },
}

/// Applies the entry at an index: what came of it, and the entry as it was applied.
pub(super) fn apply(
    mutant: Mutant,
    whose: Whose,
    table: &mut Table,
    (index, record): (u64, &Record),
) -> Option<(Applied, Entry)> {
    let Record::Entry(bytes) = record else {
        table.advance(index);
        return None;
    };
    let mut entry = Entry::decode(bytes).expect("what was encoded is read back");
    match mutant {
        Mutant::IgnoresFence => pretend_successor(table, &mut entry),
        Mutant::IgnoresEpoch => pretend_epoch(table, &mut entry),
        _ => {}
    }
    if forgets(mutant, whose, &entry) {
        forget_marks(mutant, &mut entry);
    }
    let applied = table.apply(index, entry.clone()).expect("the table is sound");
    Some((applied, entry))
}

/// Brings a table up to the last of these records, as a replay does.
pub(super) fn replay(mutant: Mutant, table: &mut Table, log: &[Slot], from: u64) {
    for (index, slot) in (1..).zip(log).filter(|(index, _)| *index >= from) {
        apply(mutant, Whose::Judges, table, (index, &slot.record));
    }
}

fn forgets(mutant: Mutant, whose: Whose, entry: &Entry) -> bool {
    let Whose::Node { number, restarted } = whose else { return false };
    let Entry::Batch { epoch, .. } = entry else { return false };
    match mutant {
        Mutant::ForgetsKeys | Mutant::ForgetsNumbers => restarted,
        Mutant::MarksStayHome => epoch.leader != number,
        _ => false,
    }
}

fn pretend_epoch(table: &Table, entry: &mut Entry) {
    if let Entry::Batch { epoch, .. } = entry {
        *epoch = table.fence().epoch;
    }
}

fn pretend_successor(table: &Table, entry: &mut Entry) {
    let fence = table.fence();
    if let Entry::Batch { epoch, generation, number, .. } = entry
        && fence.generation > 0
    {
        *epoch = fence.epoch;
        *generation = fence.generation;
        *number = fence.number + 1;
    }
}

fn forget_marks(mutant: Mutant, entry: &mut Entry) {
    let Entry::Batch { changes, .. } = entry else { return };
    for (_, change) in changes {
        let forget = match change.mark {
            Mark::Key(_) | Mark::EntryKey(_) => mutant != Mutant::ForgetsNumbers,
            Mark::Sequence { .. } => mutant != Mutant::ForgetsKeys,
            Mark::None => false,
        };
        if forget {
            change.mark = Mark::None;
        }
    }
}

/// The changes of an entry that took effect.
pub(super) fn changes(outcome: Outcome, entry: &Entry) -> &[(TwinKey, Change)] {
    match (outcome, entry) {
        (Outcome::Took { .. }, Entry::Batch { changes, .. }) => changes,
        _ => &[],
    }
}
