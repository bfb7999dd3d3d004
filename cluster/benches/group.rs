//! Proposal to answer on a node alone: 16 groups on one log on the disk, openraft and all.
//! `cargo bench -p pollux-cluster --bench group [-- SECONDS]`.

#![expect(clippy::print_stdout, reason = "a benchmark reports on the terminal")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pollux_cluster::{
    Disk, Epoch, Fault, Group, GroupId, GroupOptions, LocalNetwork, Log, LogOptions, NodeId,
    Position, Recovered, SnapshotSink, SnapshotSource, StateMachine,
};

const GROUPS: u32 = 16;

/// Answers with nothing; remembers nothing.
struct Sink;

impl StateMachine for Sink {
    fn recovered(&mut self) -> Result<Recovered, Fault> {
        Ok(Recovered::default())
    }
    fn apply(&mut self, _: Position, _: &[u8]) -> Bytes {
        Bytes::new()
    }
    fn advance(&mut self, _: Position, _: Option<Bytes>) {}
    fn snapshot(&mut self) -> Result<Box<dyn SnapshotSource>, Fault> {
        Err(Fault::StateMachine("nothing to cut".into()))
    }
    fn install(&mut self, _: Position, _: Bytes, _: Box<dyn SnapshotSink>) -> Result<(), Fault> {
        Ok(())
    }
}

async fn start(log: &Log, group: u32) -> (Group, Epoch, Duration) {
    let network = Arc::new(LocalNetwork::new());
    let began = Instant::now();
    let options = GroupOptions::shard();
    let group = Group::start(GroupId(group), NodeId(1), options, log, network, Sink);
    let group = group.await.expect("a log that fits");
    group.initialize_alone().await.expect("a running group");
    let mut leadership = group.leadership();
    let ours = leadership.wait_for(|l| l.ours.is_some()).await.expect("a running group");
    let epoch = ours.ours.expect("just checked").epoch();
    drop(ours);
    (group, epoch, began.elapsed())
}

/// Keeps `pipeline` entries under way until the time is over; at least `pace` between two.
async fn load(
    group: Group,
    epoch: Epoch,
    entry: Bytes,
    pipeline: usize,
    pace: Duration,
    time: Duration,
) -> Vec<Duration> {
    let began = Instant::now();
    let mut under_way = std::collections::VecDeque::new();
    let mut laps = Vec::new();
    while began.elapsed() < time {
        if under_way.len() >= pipeline
            && let Some((lap, proposal)) = under_way.pop_front()
        {
            let (lap, proposal): (Instant, pollux_cluster::Proposal) = (lap, proposal);
            proposal.applied().await.expect("a leader alone");
            laps.push(lap.elapsed());
            if !pace.is_zero() {
                tokio::time::sleep(pace).await;
            }
        }
        let lap = Instant::now();
        let proposal = group.propose(epoch, entry.clone()).await.expect("a running group");
        under_way.push_back((lap, proposal));
    }
    for (_, proposal) in under_way {
        proposal.applied().await.expect("a leader alone");
    }
    laps
}

fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.split(' ').skip(13).take(2).filter_map(|n| n.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

async fn measure(
    groups: &[(Group, Epoch)],
    bytes: usize,
    pipeline: usize,
    pace_ms: u64,
    seconds: u64,
) {
    let entry = Bytes::from(vec![7; bytes]);
    let (pace, time) = (Duration::from_millis(pace_ms), Duration::from_secs(seconds));
    let (began, cpu_before) = (Instant::now(), cpu());
    let runs: Vec<_> = groups
        .iter()
        .map(|(group, epoch)| {
            tokio::spawn(load(group.clone(), *epoch, entry.clone(), pipeline, pace, time))
        })
        .collect();
    let mut laps = Vec::new();
    for run in runs {
        laps.extend(run.await.expect("no panic"));
    }
    let (took, used) = (began.elapsed().as_secs_f64(), (cpu() - cpu_before).as_secs_f64());
    laps.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let count = laps.len() as f64;
    let ms = |i: usize| laps[i].as_secs_f64() * 1e3;
    let (p50, p99) = (ms(laps.len() / 2), ms(laps.len() * 99 / 100));
    println!(
        "{bytes:>7} B  pipeline {pipeline:>2}  pace {pace_ms:>2} ms: {:>8.0} entries/s  p50 {p50:>6.2} ms  \
         p99 {p99:>6.2} ms  cpu {:>5.1} us/entry",
        count / took,
        used / count * 1e6
    );
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let seconds = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(3);
    let dir = tempfile::tempdir_in(".").expect("a directory on the disk under test");
    for round in ["first", "second"] {
        let (log, recovery) = Log::open(LogOptions::new(dir.path()), Disk).expect("a log");
        let mut groups = Vec::new();
        let mut slowest = Duration::ZERO;
        for id in 1..=GROUPS {
            let (group, epoch, took) = start(&log, id).await;
            slowest = slowest.max(took);
            groups.push((group, epoch));
        }
        println!("{round} start: leader of each group within {slowest:?}; log: {recovery:?}");
        if round == "second" {
            for (bytes, pipeline, pace_ms) in [
                (220, 1, 0),
                (220, 2, 0),
                (220, 16, 0),
                (3_500, 2, 0),
                (28_000, 2, 0),
                (3_500, 1, 5),
            ] {
                measure(&groups, bytes, pipeline, pace_ms, seconds).await;
            }
        } else {
            measure(&groups, 1000, 1, 5, 1).await;
        }
        for (group, _) in groups {
            group.shutdown().await;
        }
        log.close();
    }
}
