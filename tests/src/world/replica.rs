//! A table and how an entry of the log goes into it: the same for the node, for the judge's own
//! truth and for every replay, with the mutants that concern all replicas alike.

use pollux_twin::table::{Outcome, Table};
use pollux_twin::{Change, Entry, Mark, TwinKey};

use super::log::{Log, Record};
use super::mutant::Mutant;

/// Applies the entry at an index: what came of it, and the entry as it was applied.
pub(super) fn apply(
    mutant: Mutant,
    table: &mut Table,
    index: u64,
    record: &Record,
) -> Option<(Outcome, Entry)> {
    let Record::Entry(bytes) = record else {
        table.advance(index);
        return None;
    };
    let mut entry = Entry::decode(bytes).expect("what was encoded is read back");
    if mutant == Mutant::IgnoresFence {
        pretend_successor(table, &mut entry);
    }
    let applied = table.apply(index, entry.clone()).expect("the table is sound");
    Some((applied.outcome, entry))
}

/// Brings a table up to an index of the log, as a start does.
pub(super) fn replay(mutant: Mutant, table: &mut Table, log: &Log, from: u64, upto: u64) {
    for index in from..=upto {
        match (mutant, log.record(index)) {
            (Mutant::ForgetsKeys | Mutant::ForgetsNumbers, Record::Entry(bytes)) => {
                let mut entry = Entry::decode(bytes).expect("what was encoded is read back");
                forget_marks(mutant, &mut entry);
                table.apply(index, entry).expect("the table is sound");
            }
            (_, record) => {
                apply(mutant, table, index, record);
            }
        }
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
            Mark::Key(_) => mutant == Mutant::ForgetsKeys,
            Mark::Sequence { .. } => mutant == Mutant::ForgetsNumbers,
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
