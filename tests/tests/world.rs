//! The seeded world: faults first, then quiet, then everything must have healed; on one node, and on
//! three to seven.
//!
//! `WORLD_SEED` runs one seed, `WORLD_SEEDS` so many from the first, `WORLD_FIRST` from another
//! first; `WORLD_TRACE` prints every event.

use std::env;

use pollux_tests::world::{Failure, Mutant, Report, Setup, run};

/// Seeds of an ordinary test run: some seconds.
const SEEDS: u64 = 200;
/// Seeds that a known bug gets to show itself in.
const MUTANT_SEEDS: u64 = 500;

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: give a whole number")))
}

/// Runs the seeds that are asked for, and gives what they came to if those are the ordinary many.
fn seeds(setup: fn(u64) -> Setup) -> Option<Report> {
    let (first, count) = match number("WORLD_SEED") {
        Some(seed) => (seed, 1),
        None => (number("WORLD_FIRST").unwrap_or(1), number("WORLD_SEEDS").unwrap_or(SEEDS)),
    };
    let mut sum = Report::default();
    for seed in first..first + count {
        let report = run(&setup(seed)).unwrap_or_else(|failure| panic!("{failure}"));
        sum.add(&report);
    }
    eprintln!("{count} seeds: {sum:?}");
    (count >= SEEDS).then_some(sum)
}

#[test]
fn one_node() {
    let Some(sum) = seeds(Setup::alone) else { return };
    let all = [sum.acknowledged, sum.returned, sum.watched, sum.crashes];
    let rest = [sum.reopened, sum.checkpoints];
    assert!(all.iter().chain(&rest).all(|count| *count > 100), "it was too quiet: {sum:?}");
}

#[test]
fn several_nodes() {
    let Some(sum) = seeds(Setup::cluster) else { return };
    let all = [sum.acknowledged, sum.returned, sum.watched, sum.crashes, sum.epochs];
    let rest = [sum.parted, sum.installs, sum.hand_offs, sum.reopened, sum.checkpoints];
    assert!(all.iter().chain(&rest).all(|count| *count > 50), "it was too quiet: {sum:?}");
}

#[test]
fn one_seed_is_one_history() {
    for setup in [Setup::alone, Setup::cluster] {
        for seed in 1..4 {
            let once = run(&setup(seed)).unwrap_or_else(|failure| panic!("{failure}"));
            let twice = run(&setup(seed)).unwrap_or_else(|failure| panic!("{failure}"));
            assert_eq!(once, twice, "seed {seed} gives two histories");
        }
        let trace = |seed| run(&setup(seed)).map(|report| report.trace);
        assert_ne!(trace(6), trace(7));
    }
}

fn first(setup: fn(u64) -> Setup, mutant: Mutant) -> Option<Failure> {
    (1..=MUTANT_SEEDS).find_map(|seed| run(&Setup { mutant, ..setup(seed) }).err())
}

fn found(mutant: Mutant) {
    let failure = first(Setup::alone, mutant).unwrap_or_else(|| panic!("{mutant:?} was not found"));
    eprintln!("{mutant:?}: {failure}");
}

/// A bug that takes several nodes to show itself.
fn found_by_several(mutant: Mutant) {
    let failure =
        first(Setup::cluster, mutant).unwrap_or_else(|| panic!("{mutant:?} was not found"));
    eprintln!("{mutant:?}: {failure}");
}

#[test]
fn finds_an_early_release() {
    found(Mutant::ReleasesEarly);
}

#[test]
fn finds_an_ignored_fence() {
    found(Mutant::IgnoresFence);
}

#[test]
fn finds_forgotten_keys() {
    found(Mutant::ForgetsKeys);
}

#[test]
fn finds_forgotten_numbers() {
    found(Mutant::ForgetsNumbers);
}

#[test]
fn finds_a_skipped_sync() {
    found(Mutant::SkipsSync);
}

#[test]
fn finds_forgotten_presence() {
    found(Mutant::ForgetsPresence);
}

#[test]
fn finds_a_log_purged_too_far() {
    found(Mutant::PurgesTooFar);
}

#[test]
fn finds_a_commit_by_one_disk() {
    found_by_several(Mutant::CommitsAlone);
}

#[test]
fn finds_an_ignored_epoch() {
    found_by_several(Mutant::IgnoresEpoch);
}

#[test]
fn finds_marks_that_are_not_replicated() {
    found_by_several(Mutant::MarksStayHome);
}

#[test]
fn finds_reads_of_an_isolated_owner() {
    found_by_several(Mutant::AnswersIsolated);
}

#[test]
fn finds_an_acknowledgement_before_the_sync() {
    found_by_several(Mutant::AcksBeforeSync);
}

#[test]
fn finds_a_mislabelled_state() {
    found_by_several(Mutant::MislabelsState);
}
