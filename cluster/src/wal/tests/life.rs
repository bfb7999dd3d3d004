//! A log's life without damage: rotation, purging, recycling, idle groups, a full disk, a failing sync.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use super::model::{Driven, Numbers, State, Step, at, entry, open, options, vote};
use crate::fault::Fault;
use crate::ids::GroupId;
use crate::wal::{Log, SimDisk, Space};

const SEGMENT: u64 = 4096;

async fn until(what: &str, mut good: impl FnMut() -> bool) {
    for _ in 0..5000 {
        if good() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("waited five seconds for {what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_closed_comes_back() {
    for seed in 1..20_u64 {
        let disk = SimDisk::new();
        let mut numbers = Numbers(seed);
        let mut last: Vec<State> = vec![State::default(); 4];
        for _ in 0..3 {
            let log = open(&disk, SEGMENT);
            for (group, wanted) in last.iter_mut().enumerate() {
                let mut driven = Driven::new(&log, u32::try_from(group).unwrap());
                assert_eq!(driven.states[0], *wanted, "seed {seed}");
                for _ in 0..15 {
                    let step = numbers.step(driven.states.last().unwrap(), 300);
                    driven.step(step).await;
                }
                *wanted = driven.states.last().unwrap().clone();
            }
            log.close();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purged_segments_are_recycled_and_an_idle_group_does_not_hold_them() {
    let disk = SimDisk::new();
    let log = open(&disk, SEGMENT);
    let mut idle = Driven::new(&log, 9);
    idle.step(Step::Append(vec![entry(1, 0, 20), entry(1, 1, 20)])).await;
    idle.step(Step::Vote(4)).await;
    let mut busy = Driven::new(&log, 1);
    for index in 0..400 {
        busy.step(Step::Append(vec![entry(1, index, 200)])).await;
        if index % 10 == 9 {
            busy.settled().await;
            busy.step(Step::Purge(at(1, index - 5))).await;
        }
    }
    busy.step(Step::Vote(2)).await;
    let stats = log.stats();
    assert!(stats.bytes_appended > 20 * SEGMENT, "{stats:?}");
    assert!(stats.rewritten >= 2, "{stats:?}");
    until("few segments", || log.stats().segments <= 4 && disk.paths().len() <= 9).await;
    log.close();
    let log = open(&disk, SEGMENT);
    assert_eq!(State::of(&log, 9), *idle.states.last().unwrap());
    assert_eq!(State::of(&log, 1), *busy.states.last().unwrap());
    assert_eq!(log.group(GroupId(9)).unwrap().vote(), Some(vote(4)));
    log.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_met_with_the_reserve_and_passes() {
    let disk = SimDisk::new();
    let log = open(&disk, SEGMENT);
    let mut group = Driven::new(&log, 1);
    group.step(Step::Append(vec![entry(1, 0, 10)])).await;
    until("the spares", || disk.paths().len() == 3).await;
    assert_eq!(log.space(), Space::Ok);
    // One segment in use, two ready: no room for a fourth.
    disk.set_capacity(Some(3 * SEGMENT));
    let mut index = 1;
    while log.space() == Space::Ok {
        group.step(Step::Append(vec![entry(1, index, 500)])).await;
        group.settled().await;
        index += 1;
        assert!(index < 100, "the log must say that it runs low");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Low is said while a whole segment is left.
    for _ in 0..5 {
        group.step(Step::Append(vec![entry(1, index, 500)])).await;
        index += 1;
    }
    group.settled().await;
    assert_eq!(log.space(), Space::Low);
    assert_eq!(disk.gave_up(), None);
    // The checkpoint lets the log go: there is room again by itself.
    group.step(Step::Purge(at(1, index - 2))).await;
    until("room", || log.space() == Space::Ok).await;
    group.step(Step::Append(vec![entry(1, index, 500)])).await;
    group.settled().await;
    log.close();
    let log = open(&disk, SEGMENT);
    assert_eq!(State::of(&log, 1), *group.states.last().unwrap());
    log.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sync_ends_everything_and_acknowledges_nothing() {
    let disk = SimDisk::new();
    let log = open(&disk, SEGMENT);
    let group = log.group(GroupId(1)).unwrap();
    disk.fail_syncs();
    let acknowledged = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&acknowledged);
    let done = Box::new(move || flag.store(true, SeqCst));
    group.append(vec![entry(1, 0, 10)], done).await.unwrap();
    until("the end", || disk.gave_up().is_some()).await;
    assert!(matches!(group.save_vote(vote(2)).await, Err(Fault::Closed(_))));
    log.close();
    assert!(!acknowledged.load(SeqCst));
    assert!(disk.gave_up().unwrap().contains("sync"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_segment_size_may_change_between_starts() {
    let disk = SimDisk::new();
    let mut last = State::default();
    for segment in [SEGMENT, 4 * SEGMENT, SEGMENT, 2 * SEGMENT] {
        let log = open(&disk, segment);
        let mut group = Driven::new(&log, 1);
        assert_eq!(group.states[0], last);
        let next = last.entries.len() as u64;
        for index in next..next + 60 {
            group.step(Step::Append(vec![entry(1, index, 300)])).await;
        }
        last = group.states.last().unwrap().clone();
        log.close();
    }
}

#[tokio::test]
async fn wrong_appends_and_options_are_refused() {
    let disk = SimDisk::new();
    let log = open(&disk, SEGMENT);
    let group = log.group(GroupId(1)).unwrap();
    group.append(vec![entry(1, 0, 10)], Box::new(|| {})).await.unwrap();
    let hole = group.append(vec![entry(1, 2, 10)], Box::new(|| {})).await;
    assert!(hole.unwrap_err().to_string().contains("does not follow"));
    let large = group.append(vec![entry(1, 1, 2000)], Box::new(|| {})).await;
    assert!(large.unwrap_err().to_string().contains("at most 1365"));
    assert_eq!(group.last(), Some(at(1, 0)));
    assert_eq!(group.index_within(0, 5), 1);
    let mut few = options(SEGMENT);
    few.spare_segments = 1;
    assert!(matches!(Log::open(few, disk.clone()), Err(Fault::Options(_))));
    assert!(matches!(Log::open(options(1000), disk.clone()), Err(Fault::Options(_))));
    log.close();
    disk.put(std::path::Path::new("/log/stray"), Vec::new());
    assert!(matches!(Log::open(options(SEGMENT), disk), Err(Fault::Options(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_group_keeps_what_it_had_promised_and_nothing_else() {
    let disk = SimDisk::new();
    let mut last = State::default();
    let mut left = State::default();
    for life in 0..4 {
        let log = open(&disk, SEGMENT);
        let mut other = Driven::new(&log, 2);
        assert_eq!(other.states[0], last);
        let mut leaving = Driven::new(&log, 1);
        assert_eq!(leaving.states[0], left, "life {life}");
        let first = life * 1000;
        if life > 0 {
            // A group that comes back with a state begins where that ends.
            leaving.step(Step::Purge(at(1, first - 1))).await;
        }
        leaving.step(Step::Vote(7 + life)).await;
        for index in first..first + 40 {
            leaving.step(Step::Append(vec![entry(1, index, 200)])).await;
            let next = last.entries.len() as u64;
            other.step(Step::Append(vec![entry(1, next, 100)])).await;
            last = other.states.last().unwrap().clone();
        }
        leaving.settled().await;
        let group = log.group(GroupId(1)).unwrap();
        group.mark_committed(at(1, first + 20));
        group.forget().await.unwrap();
        // What it had promised stays.
        left = State { vote: Some(vote(7 + life)), ..State::default() };
        assert_eq!(State::of(&log, 1), left);
        // As found after power is lost at once, and after more was written and it was closed.
        let found = open(&disk.after_power_failure(|_| false), SEGMENT);
        assert_eq!(State::of(&found, 1), left);
        assert!(found.group(GroupId(1)).unwrap().is_below_floor());
        assert_eq!(State::of(&found, 2), last);
        found.close();
        for _ in 0..30 {
            let next = last.entries.len() as u64;
            other.step(Step::Append(vec![entry(1, next, 300)])).await;
            last = other.states.last().unwrap().clone();
        }
        other.settled().await;
        log.close();
    }
}
