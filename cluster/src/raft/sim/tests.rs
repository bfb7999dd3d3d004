//! Many seeds without a broken law, and one seed is one history.
//!
//! `WORLD_SEED` runs one seed, `WORLD_SEEDS` a share of so many from the first, `WORLD_FIRST` from
//! another first; `WORLD_TRACE` prints every event.

use std::env;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

use super::truth::Counts;
use super::world::{Report, Setup, run};

/// Seeds of an ordinary test run: some seconds.
const SEEDS: u64 = 6;
/// One in so many of the seeds asked for is run here: a second of this world costs far more than one
/// of the other.
const SHARE: u64 = 25;

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: give a whole number")))
}

fn failure(seed: u64, report: &Report) -> Option<String> {
    let breaches: Vec<String> =
        report.breaches.iter().map(|b| format!("  {:?}: {}", b.law, b.what)).collect();
    (!breaches.is_empty()).then(|| {
        format!(
            "seed {seed} broke:\n{}\nagain: WORLD_SEED={seed} cargo test -p pollux-cluster --lib \
             raft::sim::tests::groups_keep_the_laws",
            breaches.join("\n"),
        )
    })
}

/// Runs seeds on all cores, and gives what they came to, or the first that failed.
fn run_all(first: u64, count: u64) -> Result<Counts, String> {
    let next = AtomicU64::new(first);
    let sum = Mutex::new(Ok(Counts::default()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, SeqCst);
                    if seed >= first + count || sum.lock().unwrap().is_err() {
                        return;
                    }
                    let report = run(Setup::of(seed));
                    let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                    match (failure(seed, &report), &mut *sum) {
                        (None, Ok(sum)) => sum.add(&report.counts),
                        (Some(failure), Ok(_)) => *sum = Err(failure),
                        (_, Err(_)) => {}
                    }
                }
            });
        }
    });
    sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn groups_keep_the_laws() {
    let (first, count) = match number("WORLD_SEED") {
        Some(seed) => (seed, 1),
        None => {
            let count = number("WORLD_SEEDS").map_or(SEEDS, |seeds| seeds.div_ceil(SHARE));
            (number("WORLD_FIRST").unwrap_or(1), count)
        }
    };
    let sum = run_all(first, count).unwrap_or_else(|failure| panic!("{failure}"));
    eprintln!("{count} seeds: {sum:?}");
    let Some(few) = count.checked_sub(SEEDS) else { return };
    let all = [sum.acknowledged, sum.reads, sum.reads_alone, sum.epochs, sum.crashes];
    let rest = [sum.doubled_calls, sum.checkpoints, sum.snapshots, sum.members_changed];
    assert!(all.iter().chain(&rest).all(|count| *count > few / 2), "it was too quiet: {sum:?}");
}

#[test]
fn one_seed_is_one_history() {
    for seed in 1..3 {
        let (once, twice) = (run(Setup::of(seed)), run(Setup::of(seed)));
        assert_eq!(once, twice, "seed {seed} gives two histories");
    }
    assert_ne!(run(Setup::of(1)).trace, run(Setup::of(2)).trace);
}
