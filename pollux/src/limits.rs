//! Bounds of the program, each with its reason. What an operator may change are flags; these only a
//! developer should.

use std::time::Duration;

/// How long a node may take to say where it listens: it starts within milliseconds, with a million twins
/// within seconds, and a slow disk takes its time. One of several waits for the others, too.
pub(crate) const START_MAX: Duration = Duration::from_secs(120);
/// Signals closer together than this are one: shorter than a person takes to decide on a second.
pub(crate) const SIGNALS_APART: Duration = Duration::from_millis(500);
/// How long a node may take to stop: as long as it gives itself to do so in order, and some.
pub(crate) const STOP_MAX: Duration = Duration::from_secs(30);
/// How often a cluster of this machine is asked whether it is at rest.
pub(crate) const SETTLED_LOOK: Duration = Duration::from_millis(100);
/// How long a cluster of this machine may take to come to rest: it copies next to nothing, on few cores.
pub(crate) const SETTLED_MAX: Duration = Duration::from_secs(120);
/// How often the survivors of a loss are asked who owns what: what is measured takes hundreds of
/// milliseconds.
pub(crate) const OWNERS_LOOK: Duration = Duration::from_millis(10);
/// How long an election may take before the story goes on without it.
pub(crate) const ELECTED_MAX: Duration = Duration::from_secs(30);
/// How long the devices of a measured job may take to connect: a hundred thousand handshakes on one core, and some.
pub(crate) const BENCH_CONNECT_MAX: Duration = Duration::from_secs(300);
/// How long one call of a measured job may take: its node is busy with all of the devices.
pub(crate) const BENCH_CALL_MAX: Duration = Duration::from_secs(60);
/// Bytes of an artifact in one message: far below what nodes take.
pub(crate) const ARTIFACT_PIECE_BYTES: usize = 256 * 1024;
/// Marks of a job's bar: with the counts behind it, it fits a narrow terminal.
pub(crate) const JOB_BAR_WIDTH: u64 = 24;
/// How long the fleet of a demonstration reports before something is done to the cluster.
pub(crate) const CALM: Duration = Duration::from_secs(4);
/// How long a demonstration may take in all, before its fleet ends by itself.
pub(crate) const RUN_MAX: Duration = Duration::from_secs(600);
/// How long a kill and all that follows may take where there are many: an election, a restart, and every
/// shard back with its usual owner.
pub(crate) const KILL_MAX: Duration = Duration::from_secs(60);
/// Kills come at different places of heartbeats and checkpoints: a step of the pause before each, in
/// milliseconds, and where it begins anew.
pub(crate) const KILL_STEP_MS: (u64, u64) = (137, 700);
/// Calls of services a second in a demonstration: enough that some fall into every step, few beside the
/// reports.
pub(crate) const SERVICE_RATE: f64 = 50.0;
/// Looks in a row that must show a cluster at rest before it counts as such where moves are yet to be
/// planned: some rounds of the steward, which looks each half second.
pub(crate) const SETTLED_LOOKS: u32 = 15;
/// How long a token may let a node in: nodes take no more.
pub(crate) const TOKEN_TIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// Devices of an import that wait to be sent: enough that reading the file is never waited for.
pub(crate) const IMPORT_AHEAD: usize = 1024;
/// Refused lines of an import that are shown one by one.
pub(crate) const IMPORT_SHOWN_MAX: usize = 100;
/// Largest datagram.
pub(crate) const WIRE_BYTES_MAX: usize = 64 * 1024;
/// Senders on one wire: the other nodes, and those that join.
pub(crate) const WIRE_FLOWS_MAX: usize = 64;
/// What the ports of one node of a local cluster are apart from those of the next: a node takes four.
pub(crate) const PORTS_APART: u16 = 10;
/// Most nodes of a cluster on one machine: each wants memory and shares the cores.
pub(crate) const LOCAL_NODES_MAX: usize = 9;
/// How long a node of this machine may take to tell what it counts.
pub(crate) const SCRAPE_MAX: Duration = Duration::from_secs(2);
/// Bytes of what it tells: its metrics take some tens of KiB.
pub(crate) const SCRAPE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How often a line about a run is printed where that does not replace the one before: each so many
/// seconds.
pub(crate) const LINE_EVERY: u64 = 5;
/// How often a backup begins a shard anew when its node is lost over it: an election each, and some more.
pub(crate) const SHARD_ATTEMPTS_MAX: u32 = 5;
/// Bytes of a backup between two words on its progress: every second or so.
pub(crate) const PROGRESS_BYTES: u64 = 32 * 1024 * 1024;
/// How often the members of etcd are asked whether they have found each other.
pub(crate) const ETCD_LOOK: Duration = Duration::from_millis(100);
/// How many times: ten seconds, where they take one.
pub(crate) const ETCD_LOOKS: usize = 100;
/// Longest life of a token of a principal, as nodes have it.
pub(crate) const ACCESS_TOKEN_TIME_MAX: Duration = Duration::from_secs(2 * 365 * 24 * 3600);
/// Longest time between two pictures of `top`.
pub(crate) const TOP_EVERY_MAX: Duration = Duration::from_secs(3600);
/// How often it is looked whether a key was pressed: nobody notices the wait.
pub(crate) const TOP_KEY_LOOK: Duration = Duration::from_millis(50);
/// Flushes that `doctor` tries: enough for a median, over in a second on the slowest disk.
pub(crate) const FLUSH_TRIALS: usize = 16;
/// A flush that takes no longer is good: acknowledgements within two round trips of a mobile network.
pub(crate) const FLUSH_GOOD: Duration = Duration::from_millis(20);
/// Files and connections that a node should be able to open: those of services are one each.
pub(crate) const FILES_MIN: u64 = 4096;
/// Bytes of a context's name: it is typed.
pub(crate) const CONTEXT_NAME_MAX: usize = 64;
/// Contexts that are remembered: more than anybody operates.
pub(crate) const CONTEXTS_MAX: usize = 1000;
