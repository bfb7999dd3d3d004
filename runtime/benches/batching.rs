//! When the next batch goes: as soon as the last was handed to the log (what the `Shard` machine does), or
//! after a linger of 1 ms. Sixteen shards with their machines, tables, consensus groups and one log on the
//! disk, both ways in turn, in one run. `cargo bench -p pollux-runtime --bench batching [-- SECONDS]`.
//!
//! "Closed": each device reports again as soon as its report is acknowledged. "Open": reports come at a
//! rate, whatever became of the ones before. Processor time is that of the whole process, load included.

#![expect(clippy::print_stdout, reason = "a benchmark reports on the terminal")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use pollux_cluster::{
    Disk, Epoch as LeaderEpoch, Fault, Group, GroupId, GroupOptions, LocalNetwork, Log, LogOptions,
    NodeId, Position, Recovered, SnapshotSink, SnapshotSource, StateMachine,
};
use pollux_twin::change::Section;
use pollux_twin::shard::{Now, Options, Output, ProposalId, Shard, Slot, Wait};
use pollux_twin::table::{self, Outcome, Table};
use pollux_twin::{Change, Effect, Entry, Epoch, JsonLimits, Mark, Time, TwinKey, Value};
use tokio::sync::mpsc;

const SHARDS: u32 = 16;
const LINGER: Duration = Duration::from_millis(1);
/// Twins of a shard that reports of an open load go to.
const TWINS: u32 = 64;
/// Reports that wait for a shard; an open load that meets it is too high, and the run is void.
const WAITING_MAX: usize = 65_536;
/// What an acknowledgement weighs at the gate.
const ACK_BYTES: usize = 64;
const REPORT: &str = r#"{"n":12,"pad":"xyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"}"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    WhenHanded,
    Linger,
}

#[derive(Clone, Copy, Debug)]
enum Load {
    /// So many devices a shard, one report in flight each.
    Closed(u32),
    /// So many reports a second, over all shards.
    Open(u32),
}

/// The replica's side: the table, as in a node.
#[derive(Clone)]
struct Replica(Arc<Mutex<Table>>);

impl StateMachine for Replica {
    fn recovered(&mut self) -> Result<Recovered, Fault> {
        Ok(Recovered::default())
    }
    fn apply(&mut self, position: Position, entry: &[u8]) -> Bytes {
        let entry = Entry::decode(entry).expect("encoded below");
        let mut table = self.0.lock().expect("no panic");
        let applied = table.apply(position.index + 1, entry).expect("a sound table");
        Bytes::copy_from_slice(&applied.outcome.to_bytes())
    }
    fn advance(&mut self, position: Position, _: Option<Bytes>) {
        self.0.lock().expect("no panic").advance(position.index + 1);
    }
    fn snapshot(&mut self) -> Result<Box<dyn SnapshotSource>, Fault> {
        Err(Fault::StateMachine("nothing to cut".into()))
    }
    fn install(&mut self, _: Position, _: Bytes, _: Box<dyn SnapshotSink>) -> Result<(), Fault> {
        Ok(())
    }
}

/// A report under way: of which twin, since when.
type Report = (u32, Instant);
/// Until when devices whose report was acknowledged report again; none in an open load.
type Again = Option<Instant>;
type Answers = FuturesUnordered<BoxFuture<'static, (ProposalId, Outcome)>>;

/// One shard as its owner drives it.
struct Owner {
    group: Group,
    epoch: LeaderEpoch,
    machine: Shard<Report>,
    slots: Vec<Slot>,
    began: Instant,
    patch: Value,
    batches: u64,
    laps: Vec<Duration>,
}

impl Owner {
    /// Starts a shard: its group led, its machine open, its twins active.
    async fn start(log: &Log, id: u32, twins: u32) -> Self {
        let table = Arc::new(Mutex::new(Table::new(table::Options::default())));
        let (options, network) = (GroupOptions::shard(), Arc::new(LocalNetwork::new()));
        let replica = Replica(Arc::clone(&table));
        let group = Group::start(GroupId(id), NodeId(1), options, log, network, replica).await;
        let group = group.expect("a log that fits");
        group.initialize_alone().await.expect("a running group");
        let mut leadership = group.leadership();
        let ours = leadership.wait_for(|l| l.ours.is_some()).await.expect("a running group").ours;
        let epoch = ours.expect("just checked").epoch();
        let fence = table.lock().expect("no panic").fence();
        let mut owner = Self {
            group,
            epoch,
            machine: Shard::new(Options::default()),
            slots: Vec::new(),
            began: Instant::now(),
            patch: Value::from_json(REPORT, &JsonLimits::default()).expect("json of this file"),
            batches: 0,
            laps: Vec::new(),
        };
        let now = owner.now();
        owner.machine.open(now, Epoch { term: epoch.term, leader: epoch.leader }, &fence);
        owner.opened().await;
        for twin in 0..twins {
            let key = TwinKey::parse(&format!("twin-{id}-{twin}")).expect("a good name");
            let now = owner.now();
            owner.slots.push(owner.machine.activate(now, key));
        }
        owner
    }

    async fn opened(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Propose { id, entry } => {
                    let proposal = self.group.propose(self.epoch, entry.encode().into()).await;
                    let applied = proposal.expect("a leader alone").applied().await;
                    let answer = applied.expect("a leader alone").answer;
                    self.machine.applied(id, Outcome::from_bytes(&answer).expect("an outcome"));
                }
                Output::Opened => return,
                other => panic!("nothing else comes of an opening: {other:?}"),
            }
        }
        panic!("the shard did not open");
    }

    fn now(&self) -> Now {
        let wall = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Now { wall: Time::from_ms(ms(wall)), monotonic_ms: ms(self.began.elapsed()) }
    }

    fn report(&mut self, report: Report) {
        let now = self.now();
        let effect = Effect::Patched {
            section: Section::Reported,
            patch: self.patch.clone(),
            whole: false,
            observed_at: None,
            by: "device".into(),
        };
        let change = Change { at: self.machine.time(now), mark: Mark::None, effect };
        let slot = self.slots[report.0 as usize];
        self.machine.decided(now, slot, [change], [(report, ACK_BYTES)], Wait::Changes);
    }

    /// Carries out what the machine says; reports acknowledged come again in a closed load.
    async fn drain(&mut self, answers: &mut Answers, waiting: &mut VecDeque<Report>, again: Again) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Propose { id, entry } => {
                    self.batches += 1;
                    let entry = Bytes::from(entry.encode());
                    let proposal = self.group.propose(self.epoch, entry).await;
                    self.machine.handed(id);
                    let proposal = proposal.expect("a leader alone");
                    answers.push(Box::pin(async move {
                        let applied = proposal.applied().await.expect("a leader alone");
                        (id, Outcome::from_bytes(&applied.answer).expect("an outcome"))
                    }));
                }
                Output::Release((device, since)) => {
                    self.laps.push(since.elapsed());
                    if again.is_some_and(|until| Instant::now() < until) {
                        waiting.push_back((device, Instant::now()));
                    }
                }
                other => panic!("nothing is lost here: {other:?}"),
            }
        }
    }

    /// Runs until the time is over and all is acknowledged.
    async fn run(
        mut self,
        policy: Policy,
        load: Load,
        mut arrivals: mpsc::Receiver<Report>,
        until: Instant,
    ) -> (Vec<Duration>, u64) {
        let mut waiting: VecDeque<Report> = VecDeque::new();
        let mut answers = Answers::new();
        let mut linger: Option<Instant> = None;
        let (mut open, mut again) = (true, None);
        if let Load::Closed(devices) = load {
            again = Some(until);
            waiting.extend((0..devices).map(|device| (device, Instant::now())));
        }
        loop {
            // With a linger, what came waits until its time; without, the machine has it at once.
            if !waiting.is_empty() {
                let due = *linger.get_or_insert_with(|| Instant::now() + LINGER);
                if policy == Policy::WhenHanded || due <= Instant::now() {
                    linger = None;
                    waiting.drain(..).for_each(|report| self.report(report));
                }
            }
            self.drain(&mut answers, &mut waiting, again).await;
            // Reports that came again just now have no time yet.
            if linger.is_none() && !waiting.is_empty() {
                continue;
            }
            if answers.is_empty() && waiting.is_empty() && !open {
                return (self.laps, self.batches);
            }
            let timer = async {
                match linger {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                Some((id, outcome)) = answers.next(), if !answers.is_empty() => {
                    self.machine.applied(id, outcome);
                }
                arrived = arrivals.recv(), if open => {
                    open = arrived.is_some();
                    waiting.extend(arrived);
                    while let Ok(report) = arrivals.try_recv() {
                        waiting.push_back(report);
                    }
                }
                () = timer, if linger.is_some() => {}
            }
        }
    }
}

/// Sends reports at a rate until the time is over. Sleeps of a thread are finer than a runtime's timers.
fn arrive(shards: &[mpsc::Sender<Report>], per_s: u32, until: Instant) {
    let step = Duration::from_secs(1) / per_s;
    let mut due = Instant::now();
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    while Instant::now() < until {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        while due <= Instant::now() {
            due += step;
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            let [shard, twin, ..] = chance.to_le_bytes();
            let shard = &shards[usize::from(shard) % shards.len()];
            let report = (u32::from(twin) % TWINS, Instant::now());
            shard.try_send(report).expect("a rate that the log keeps up with");
        }
    }
}

fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.split(' ').skip(13).take(2).filter_map(|n| n.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

async fn measure(policy: Policy, load: Load, seconds: u64) {
    let dir = tempfile::tempdir_in(".").expect("a directory on the disk under test");
    let (log, _) = Log::open(LogOptions::new(dir.path()), Disk).expect("a fresh directory");
    let twins = match load {
        Load::Closed(devices) => devices,
        Load::Open(_) => TWINS,
    };
    let mut owners = Vec::new();
    for id in 1..=SHARDS {
        owners.push(Owner::start(&log, id, twins).await);
    }
    let groups: Vec<Group> = owners.iter().map(|owner| owner.group.clone()).collect();
    let (began, cpu_before, syncs_before) = (Instant::now(), cpu(), log.stats().syncs);
    let until = began + Duration::from_secs(seconds);
    let (mut senders, mut runs) = (Vec::new(), Vec::new());
    for owner in owners {
        let (sender, arrivals) = mpsc::channel(WAITING_MAX);
        senders.push(sender);
        runs.push(tokio::spawn(owner.run(policy, load, arrivals, until)));
    }
    match load {
        Load::Closed(_) => drop(senders),
        Load::Open(per_s) => drop(std::thread::spawn(move || arrive(&senders, per_s, until))),
    }
    let (mut laps, mut batches) = (Vec::new(), 0);
    for run in runs {
        let (of_shard, count) = run.await.expect("no panic");
        laps.extend(of_shard);
        batches += count;
    }
    let (took, used) = (began.elapsed(), cpu() - cpu_before);
    show(policy, load, &mut laps, batches, log.stats().syncs - syncs_before, took, used);
    for group in groups {
        group.shutdown().await;
    }
    log.close();
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn show(
    policy: Policy,
    load: Load,
    laps: &mut [Duration],
    batches: u64,
    syncs: u64,
    took: Duration,
    used: Duration,
) {
    laps.sort_unstable();
    let ms = |i: usize| laps[i].as_secs_f64() * 1e3;
    let (count, seconds) = (laps.len() as f64, took.as_secs_f64());
    let policy = match policy {
        Policy::WhenHanded => "when handed",
        Policy::Linger => "linger 1 ms",
    };
    println!(
        "{:<12} {policy}: {:>7.0} acks/s  p50 {:>6.2} ms  p99 {:>6.2} ms  {:>6.1} a batch  \
         {:>5.0} syncs/s  cpu {:>6.1} us/ack",
        format!("{load:?}"),
        count / seconds,
        ms(laps.len() / 2),
        ms(laps.len() * 99 / 100),
        count / batches as f64,
        syncs as f64 / seconds,
        used.as_secs_f64() / count * 1e6,
    );
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let seconds = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(3);
    for load in [
        Load::Open(100),
        Load::Open(1_000),
        Load::Open(10_000),
        Load::Closed(1),
        Load::Closed(16),
        Load::Closed(320),
    ] {
        for order in [[Policy::WhenHanded, Policy::Linger], [Policy::Linger, Policy::WhenHanded]] {
            // Each goes first once, as the disk is not equally fast at all times.
            for policy in order {
                measure(policy, load, seconds).await;
            }
        }
    }
}
