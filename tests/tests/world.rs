//! The seeded world: faults first, then quiet, then everything must have healed.
//!
//! `WORLD_SEED` runs one seed, `WORLD_SEEDS` so many from the first, `WORLD_FIRST` from another
//! first; `WORLD_TRACE` prints every event.

use std::env;

use pollux_tests::world::{Mutant, Report, Setup, run};

/// Seeds of an ordinary test run: some seconds.
const SEEDS: u64 = 200;
/// Seeds that a known bug gets to show itself in.
const MUTANT_SEEDS: u64 = 60;

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: give a whole number")))
}

#[test]
fn seeds() {
    let (first, count) = match number("WORLD_SEED") {
        Some(seed) => (seed, 1),
        None => (number("WORLD_FIRST").unwrap_or(1), number("WORLD_SEEDS").unwrap_or(SEEDS)),
    };
    let mut sum = Report::default();
    for seed in first..first + count {
        let report = run(&Setup::new(seed)).unwrap_or_else(|failure| panic!("{failure}"));
        sum.events += report.events;
        sum.changes += report.changes;
        sum.acknowledged += report.acknowledged;
        sum.returned += report.returned;
        sum.crashes += report.crashes;
        sum.reopened += report.reopened;
        sum.checkpoints += report.checkpoints;
    }
    println!("{count} seeds: {sum:?}");
    if count >= SEEDS {
        let all = [sum.acknowledged, sum.returned, sum.crashes, sum.reopened, sum.checkpoints];
        assert!(all.iter().all(|count| *count > 100), "the world was too quiet: {sum:?}");
    }
}

#[test]
fn one_seed_is_one_history() {
    for seed in 1..6 {
        let once = run(&Setup::new(seed)).unwrap_or_else(|failure| panic!("{failure}"));
        let twice = run(&Setup::new(seed)).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(once, twice, "seed {seed} gives two histories");
    }
    let trace = |seed| run(&Setup::new(seed)).map(|report| report.trace);
    assert_ne!(trace(6), trace(7));
}

fn found(mutant: Mutant) {
    let failure = (1..=MUTANT_SEEDS)
        .find_map(|seed| run(&Setup { mutant, ..Setup::new(seed) }).err())
        .unwrap_or_else(|| panic!("{mutant:?} was not found"));
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
