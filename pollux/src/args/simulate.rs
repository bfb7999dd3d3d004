//! Flags of the verbs that put a node under load.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::duration;
use super::node::local_nodes;

pub(super) const SIM_EXAMPLES: &str = "\
Examples:
  pollux sim --devices 500 --rate 1000 --duration 30s --verify
  pollux sim --devices 5000 --load one-in-flight --html report.html
  pollux sim --target 127.0.0.1:4433 --pki .pollux-dev/pki --grpc http://127.0.0.1:4434
  pollux sim --nodes 3 --verify --duration 40s --faults '5s kill owner 3s; 20s stop 2 2s'
Without --target it starts a node of its own, or several, whose data it removes afterwards.
Exits with 1 if anything acknowledged was lost, doubled, or went back.

Steps of --faults, each with its time from the beginning of the measurement; TARGET is a node's id,
`owner` (of most shards then) or `any`:
  5s kill TARGET [TIME]           kill -9, started again after TIME, with `start` or with `heal`
  5s stop TARGET TIME             stands still for TIME (SIGSTOP), as a stalled machine
  5s partition TARGET [TIME]      cut off from the other nodes, for TIME or until `heal`; not from devices
  5s slow TARGET DELAY [TIME]     each sync of its log takes DELAY longer, for TIME or until `heal`
  5s restart TARGET               stopped in order and started again
  5s start TARGET                 one that was killed
  5s heal                         all of that is over
Steps are divided by lines or by `;`, and # begins a comment. When the measurement ends, all is healed.";

/// What devices do once they are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LoadName {
    /// All together send --rate reports a second.
    Paced,
    /// Each sends its next report when the last is acknowledged.
    OneInFlight,
    /// Nothing.
    Idle,
    /// They leave again at once and come back.
    Connects,
    /// Nothing, but services read twins as fast as they are answered.
    Reads,
}

/// The form of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShapeName {
    /// A number and a text.
    Flat,
    /// Some of sixteen members.
    Wide,
    /// Objects within objects.
    Deep,
    /// Each of the others in turn.
    Mixed,
}

/// Flags of `sim`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SimArgs {
    /// Simulated devices.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) devices: u32,
    /// What they do once they are connected.
    #[arg(long, value_enum, default_value_t = LoadName::Paced)]
    pub(crate) load: LoadName,
    /// Reports a second of all devices together; by default one of each.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Connects or reads under way at once, for those loads.
    #[arg(long, default_value_t = 64)]
    pub(crate) parallel: u32,
    /// How long is measured.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// Load before the measurement begins.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub(crate) warm_up: Duration,
    /// Decides every choice of the run.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Check at the end that nothing acknowledged was lost, doubled or went back.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Devices that begin to connect each second; 0: as fast as they are welcomed.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) connect_rate: f64,
    /// Bytes of a report as JSON, about.
    #[arg(long, default_value_t = 100)]
    pub(crate) report_bytes: usize,
    /// Form of the reports.
    #[arg(long, value_enum, default_value_t = ShapeName::Flat)]
    pub(crate) shape: ShapeName,
    /// Durable telemetry messages a second, of all devices together.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) telemetry_rate: f64,
    /// Volatile telemetry datagrams a second, of all devices together.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) volatile_rate: f64,
    /// Changes of desired a second, by services.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) desired_rate: f64,
    /// Commands a second, by services, each waited for.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) command_rate: f64,
    /// Devices a second that drop their connection and come back.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) drop_rate: f64,
    /// How long a dropped device stays away.
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = duration)]
    pub(crate) away: Duration,
    /// Device endpoints of a running cluster; without them a node is started for the run.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', requires = "pki")]
    pub(crate) target: Vec<String>,
    /// Nodes of a cluster that is started for the run.
    #[arg(long, default_value_t = 1, value_parser = local_nodes, conflicts_with = "target")]
    pub(crate) nodes: usize,
    /// What is done to those nodes while it is measured: a file with a step a line, or the steps
    /// themselves.
    #[arg(long, value_name = "FILE|STEPS", conflicts_with_all = ["target", "forever"])]
    pub(crate) faults: Option<String>,
    /// Folder with device-ca.pem, device-ca.key and server-ca.pem of that cluster.
    #[arg(long, value_name = "DIR")]
    pub(crate) pki: Option<PathBuf>,
    /// gRPC endpoints of that cluster; needed for --verify and for what services do.
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub(crate) grpc: Vec<String>,
    /// Process id of the server, if it runs on this machine: its CPU and memory are measured.
    #[arg(long, value_name = "PID", requires = "target")]
    pub(crate) server_pid: Option<u32>,
    /// Name in the nodes' certificates, if not the host that is dialled.
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,
    /// Tenant of the devices.
    #[arg(long, default_value = "default")]
    pub(crate) tenant: String,
    /// Devices are named with this and a number.
    #[arg(long, default_value = "sim-")]
    pub(crate) prefix: String,
    /// Folder for the data of the node that is started; it must not exist, and is removed.
    #[arg(long, value_name = "DIR", conflicts_with = "target")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Also write the report as one HTML page with plots.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Core for the node that is started (needs taskset).
    #[arg(long, value_name = "CORE", conflicts_with = "target")]
    pub(crate) server_core: Option<u32>,
    /// Go on until standard input closes; for `dev`.
    #[arg(long, hide = true)]
    pub(crate) forever: bool,
}

pub(super) const BENCH_EXAMPLES: &str = "\
Examples:
  pollux bench reports --devices 5000 --server-core 0
  taskset -c 1 pollux bench idle --devices 10000 --server-core 0 --output json
A node, then a bare server over the same transport with messages of the same sizes, under the same
load. Figures are per CPU second of the server, so that they hold on a busy machine.";

pub(super) const BENCH_START_EXAMPLES: &str = "\
Examples:
  pollux bench start --twins 100000
  pollux bench start --twins 1000000
The twins are written through a node, which is then stopped in order. Each start reads its files from
the disk, not from the kernel's cache; a thousand twins are compared after each.";

/// Verbs of `bench`.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Durable reports, one in flight for each device, beside a bare QUIC echo without a log.
    #[command(after_help = BENCH_EXAMPLES)]
    Reports(BenchArgs),
    /// Full mutual-TLS connects, beside a bare QUIC server.
    #[command(after_help = BENCH_EXAMPLES)]
    Connects(BenchArgs),
    /// Memory of idle connected devices, beside a bare QUIC server.
    #[command(after_help = BENCH_EXAMPLES)]
    Idle(BenchArgs),
    /// Twins read by gRPC, beside a bare tonic server.
    #[command(after_help = BENCH_EXAMPLES)]
    Reads(BenchArgs),
    /// From the start of a node with many twins to the first read answered.
    #[command(after_help = BENCH_START_EXAMPLES)]
    Start(BenchStartArgs),
    /// How long a node takes to find few of many twins, without an index and with one; and what it writes
    /// meanwhile.
    #[command(after_help = "Example:\n  pollux bench query --twins 1000000 --rounds 3 --writes 8s")]
    Query(BenchQueryArgs),
    /// How fast a node registers very many devices over one import.
    #[command(after_help = "Example:\n  pollux bench register --devices 1000000")]
    Register(BenchRegisterArgs),
    /// How many changes a node tells its watchers for a second of its CPU, in batches and one by one.
    #[command(after_help = "Example:\n  pollux bench watch --watchers 1000 --duration 8s")]
    Watch(BenchWatchArgs),
    /// How long a job takes that sets desired of very many connected devices, until all have acknowledged it.
    #[command(after_help = "Example:\n  pollux bench job --devices 100000")]
    Job(BenchJobArgs),
    /// What policies cost reports and reads: a node under many of them beside one that is open.
    #[command(after_help = "Example:\n  pollux bench policies --policies 100 --rounds 4")]
    Policies(BenchPoliciesArgs),
    /// Durable writes of three nodes on this machine, beside three members of etcd where it is installed.
    #[command(after_help = "Example:\n  pollux bench writes --duration 8s --rounds 2")]
    Writes(BenchWritesArgs),
    /// The bare server, as the others start it.
    #[command(hide = true)]
    Serve(ServeArgs),
}

/// Flags of `bench writes`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchWritesArgs {
    /// How long each load is measured.
    #[arg(long, value_name = "TIME", default_value = "8s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// How long each runs before that.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub(crate) warm_up: Duration,
    /// How often both are measured, in turn.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
}

/// Flags of `bench watch`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchWatchArgs {
    /// Watchers; a node has room for 1024.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) watchers: usize,
    /// How long each load is measured.
    #[arg(long, value_name = "TIME", default_value = "8s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// How long each runs before that.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub(crate) warm_up: Duration,
    /// Core for the node that is started (needs taskset); run this program on another.
    #[arg(long, value_name = "CORE")]
    pub(crate) server_core: Option<u32>,
}

/// Flags of `bench register`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchRegisterArgs {
    /// Devices.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) devices: u32,
    /// Core for the node that is started (needs taskset).
    #[arg(long, value_name = "CORE")]
    pub(crate) server_core: Option<u32>,
}

/// Flags of `bench job`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchJobArgs {
    /// Devices, all connected.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) devices: u32,
    /// Core for the node that is started (needs taskset).
    #[arg(long, value_name = "CORE")]
    pub(crate) server_core: Option<u32>,
}

/// Flags of `bench start`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchStartArgs {
    /// Twins, of about 500 bytes of JSON each.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) twins: u32,
    /// Folder for their data: filled if it is not there, and kept. By default one that is removed.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// How often a node is started on them.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Core for the node that is started (needs taskset).
    #[arg(long, value_name = "CORE")]
    pub(crate) server_core: Option<u32>,
}

/// Flags of `bench query`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchQueryArgs {
    /// What is looked at, and how often.
    #[command(flatten)]
    pub(crate) start: BenchStartArgs,
    /// Also measure for so long what is written alone, and for as long while all twins are looked at again and
    /// again; 0s: do not.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    pub(crate) writes: Duration,
}

/// Flags of a comparison.
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchArgs {
    /// Devices.
    #[arg(long, default_value_t = 1000)]
    pub(crate) devices: u32,
    /// How long each side is measured.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// Load before each measurement.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub(crate) warm_up: Duration,
    /// Connects or reads under way at once.
    #[arg(long, default_value_t = 64)]
    pub(crate) parallel: u32,
    /// Bytes of a report as JSON, about.
    #[arg(long, default_value_t = 100)]
    pub(crate) report_bytes: usize,
    /// How often both sides are measured, in turn.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Core for the servers (needs taskset); run this program on another.
    #[arg(long, value_name = "CORE")]
    pub(crate) server_core: Option<u32>,
}

/// Flags of `bench policies`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchPoliciesArgs {
    /// What both are put to.
    #[command(flatten)]
    pub(crate) bench: BenchArgs,
    /// Policies, each with a filter and of a principal of its own.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) policies: u32,
}

/// Flags of the bare server.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeArgs {
    /// Folder for its certificates.
    #[arg(long)]
    pub(crate) pki: PathBuf,
    /// Bytes of a message.
    #[arg(long)]
    pub(crate) up: usize,
    /// Bytes of an answer.
    #[arg(long)]
    pub(crate) down: usize,
    /// Bytes of a report as JSON, about.
    #[arg(long)]
    pub(crate) report_bytes: usize,
}
