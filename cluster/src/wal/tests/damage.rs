//! A recorded run, cut at every byte, flipped at every byte, and with power lost at every write.

use std::path::PathBuf;
use std::sync::atomic::Ordering::SeqCst;

use super::model::{Driven, Numbers, State, Step, entry, open, options};
use crate::fault::Fault;
use crate::wal::{Log, SimDisk};

const SEGMENT: u64 = 4096;

/// A short life of two groups over several segments; the disk at its end, not closed.
async fn recorded() -> (SimDisk, Vec<Driven>) {
    let disk = SimDisk::new();
    let log = open(&disk, SEGMENT);
    let mut groups = vec![Driven::new(&log, 0), Driven::new(&log, 3)];
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for round in 0..60 {
        for group in &mut groups {
            let step = numbers.step(group.states.last().unwrap(), 120);
            group.step(step).await;
            let next = group.states.last().unwrap().entries.last().map(|e| e.position);
            let purged = group.states.last().unwrap().purged;
            let next = next.or(purged);
            let next = next.map_or(0, |p| p.index + 1);
            group.step(Step::Append(vec![entry(50 + round, next, 8)])).await;
            group.settled().await;
        }
    }
    let copy = disk.after_power_failure(|_| true);
    log.close();
    (copy, groups)
}

fn reopened(disk: &SimDisk, groups: &[Driven]) -> Result<Vec<State>, Fault> {
    let (log, _) = Log::open(options(SEGMENT), disk.clone())?;
    let states = groups.iter().map(|group| State::of(&log, group.group)).collect();
    log.close();
    Ok(states)
}

fn copy(disk: &SimDisk) -> SimDisk {
    disk.after_power_failure(|_| true)
}

/// The segments that hold frames, oldest first, with their content.
fn segments(disk: &SimDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let contents = disk.paths().into_iter().map(|path| {
        let content = disk.content(&path).unwrap();
        (path, content)
    });
    contents.filter(|(_, content)| content.get(32..40).is_some_and(|b| b != [0; 8])).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cut_leaves_a_prefix_or_is_refused() {
    let (disk, groups) = recorded().await;
    let files = segments(&disk);
    assert!(files.len() > 2, "the run must reach over several segments");
    for (number, (path, content)) in files.iter().enumerate() {
        let tail = number + 1 == files.len();
        // The disk's part is what is cut here; beyond the frames there is nothing to lose.
        for end in 0..content.len() {
            let disk = copy(&disk);
            disk.put(path, content[..end].to_vec());
            check(&disk, &groups, path, tail, &format!("cut at {end}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_flip_leaves_a_prefix_or_is_refused() {
    let (disk, groups) = recorded().await;
    let files = segments(&disk);
    for (number, (path, content)) in files.iter().enumerate() {
        let tail = number + 1 == files.len();
        for byte in 0..content.len() {
            let disk = copy(&disk);
            let mut bad = content.clone();
            bad[byte] ^= 1 << (byte % 8);
            disk.put(path, bad);
            check(&disk, &groups, path, tail, &format!("flip at {byte}"));
        }
    }
}

/// After damage a log is refused, naming the file, or comes back as a state each group went through.
/// Only what was written last of all may be missing: no later sync proves that it was durable.
fn check(disk: &SimDisk, groups: &[Driven], path: &std::path::Path, tail: bool, what: &str) {
    let what = format!("{} {what}", path.display());
    match reopened(disk, groups) {
        Err(Fault::Corrupt { file, .. }) => assert_eq!(file, path.display().to_string(), "{what}"),
        Err(other) => panic!("{what}: {other}"),
        Ok(states) => {
            for (group, state) in groups.iter().zip(&states) {
                let newest = group.states.len() - 1;
                let oldest = if tail { 0 } else { newest };
                let found = group.place(state, oldest);
                assert!(found.is_some(), "{what}: group {} is in no state it was in", group.group);
            }
        }
    }
}

/// The last batch written can be lost to damage, nothing before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_before_the_last_batch_is_always_refused() {
    let (disk, groups) = recorded().await;
    let files = segments(&disk);
    let (path, content) = files.last().unwrap();
    let mut lost_most = 0;
    for byte in 0..content.len() {
        let disk = copy(&disk);
        let mut bad = content.clone();
        bad[byte] ^= 0x40;
        disk.put(path, bad);
        let Ok(states) = reopened(&disk, &groups) else { continue };
        let lost = groups.iter().zip(&states).map(|(group, state)| {
            let newest = group.states.len() - 1;
            newest - (0..=newest).rev().find(|&i| group.states[i] == *state).unwrap()
        });
        lost_most = lost_most.max(lost.sum());
    }
    assert!(lost_most <= 2, "{lost_most} steps were lost: more than those of the last batches");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_failure_loses_nothing_acknowledged() {
    for seed in 1..60_u64 {
        let disk = SimDisk::new();
        let log = open(&disk, SEGMENT);
        let mut groups = vec![Driven::new(&log, 0), Driven::new(&log, 1), Driven::new(&log, 2)];
        let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for _ in 0..20 + numbers.below(60) {
            let group = &mut groups[numbers.size_below(3)];
            let step = numbers.step(group.states.last().unwrap(), 200);
            group.step(step).await;
        }
        // Power fails at an arbitrary moment of the writer thread, any sectors survive.
        let acknowledged: Vec<usize> = groups.iter().map(|g| g.acknowledged.load(SeqCst)).collect();
        let survivors = numbers.below(4);
        let after = disk.after_power_failure(|sector| match survivors {
            0 => false,
            1 => true,
            _ => !(sector + seed).is_multiple_of(3),
        });
        let states = reopened(&after, &groups).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        for ((group, state), acknowledged) in groups.iter().zip(&states).zip(acknowledged) {
            let found = group.place(state, acknowledged);
            assert!(found.is_some(), "seed {seed}: group {} lost a promise", group.group);
        }
        // What came back is whole: it can be written to and read again.
        let log = open(&after, SEGMENT);
        let mut group = Driven::new(&log, 0);
        for _ in 0..30 {
            let step = numbers.step(group.states.last().unwrap(), 200);
            group.step(step).await;
        }
        group.step(Step::Vote(99)).await;
        log.close();
        let groups = [group];
        let states = reopened(&after, &groups).unwrap();
        assert_eq!(states[0], *groups[0].states.last().unwrap(), "seed {seed}");
    }
}

/// Many short lives of one disk, each ended by a power failure. Votes of groups that are idle must
/// outlive every segment they were written in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_lives_keep_all_promises() {
    for seed in 1..40_u64 {
        let mut disk = SimDisk::new();
        let mut numbers = Numbers(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let log = open(&disk, SEGMENT);
        let mut idle = Driven::new(&log, 7);
        idle.step(Step::Append(vec![entry(1, 0, 30)])).await;
        idle.step(Step::Vote(6)).await;
        log.close();
        let wanted = idle.states.last().unwrap();
        for life in 0..12 {
            let log = open(&disk, SEGMENT);
            assert_eq!(State::of(&log, 7), *wanted, "seed {seed}, life {life}");
            let mut busy = Driven::new(&log, 1);
            for _ in 0..numbers.below(25) {
                let step = numbers.step(busy.states.last().unwrap(), 900);
                let last = busy.states.last().unwrap().entries.last().map(|e| e.position);
                busy.step(step).await;
                if let Some(last) = last.filter(|_| numbers.below(3) == 0)
                    && busy.states.last().unwrap().entries.iter().any(|e| e.position == last)
                {
                    busy.step(Step::Purge(last)).await;
                }
            }
            let acknowledged = busy.acknowledged.load(SeqCst);
            let survivors = numbers.below(3);
            disk = disk.after_power_failure(|sector| match survivors {
                0 => false,
                1 => (sector + seed).is_multiple_of(2),
                _ => true,
            });
            let (log, _) = Log::open(options(SEGMENT), copy(&disk))
                .unwrap_or_else(|e| panic!("seed {seed}, life {life}: {e}"));
            let found = busy.place(&State::of(&log, 1), acknowledged);
            assert!(found.is_some(), "seed {seed}, life {life}: a promise was lost");
        }
    }
}

#[test]
fn a_lost_segment_is_noticed() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (disk, groups) = runtime.block_on(recorded());
    let files = segments(&disk);
    for (number, (path, _)) in files.iter().enumerate().take(files.len() - 1) {
        let after = SimDisk::new();
        for other in disk.paths().iter().filter(|other| *other != path) {
            after.put(other, disk.content(other).unwrap());
        }
        match reopened(&after, &groups) {
            Err(Fault::Corrupt { .. }) => {}
            // The oldest may have held nothing that counts any more.
            Ok(states) if number == 0 => {
                for (group, state) in groups.iter().zip(&states) {
                    assert_eq!(group.states.last().unwrap(), state);
                }
            }
            other => panic!("{}: {other:?}", path.display()),
        }
    }
}
