//! A configuration that can be acted on: parsed, in range, typed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use pollux_twin::index::IndexPath;
use pollux_twin::limits::Limits;

/// What a node is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Directory that holds everything this node must not lose.
    pub data_dir: PathBuf,
    /// The node's name for people; empty: one is made up.
    pub node_name: String,
    /// Where it stands; empty: nowhere known.
    pub zone: String,
    /// Its share of the shards beside others'.
    pub weight: u32,
    /// How often the files of certificates, keys and CAs are looked at.
    pub certificates_look: Duration,
    /// Where it listens.
    pub listen: Listen,
    /// Where others reach it.
    pub advertise: Advertise,
    /// The endpoints for services.
    pub services: ServiceConfig,
    /// Who may do what there.
    pub access: AccessConfig,
    /// What all nodes of the cluster agree on.
    pub cluster: ClusterConfig,
    /// The endpoint for devices.
    pub devices: DevicesConfig,
    /// Bounds of what a twin holds.
    pub limits: Limits,
    /// The write-ahead log.
    pub log: LogConfig,
    /// Checkpoints.
    pub checkpoint: CheckpointConfig,
    /// Artifacts.
    pub artifacts: ArtifactsConfig,
    /// Twins in memory.
    pub twins: TwinsConfig,
    /// Bytes of past changes that each shard keeps for watchers.
    pub watch_bytes_per_shard: usize,
    /// Paths that have an index.
    pub indexes: Vec<IndexPath>,
    /// Elections.
    pub raft: RaftConfig,
    /// Tracing; set up by the binary.
    pub trace: TraceConfig,
}

/// Addresses to listen on; port 0 takes any free port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Devices, QUIC over UDP.
    pub devices: SocketAddr,
    /// Services, gRPC over TCP.
    pub grpc: SocketAddr,
    /// Services, HTTP over TCP.
    pub http: SocketAddr,
    /// Other nodes, QUIC over UDP.
    pub peers: SocketAddr,
}

/// Where others reach a node, as `host:port`; `None`: where it listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertise {
    /// Devices.
    pub devices: Option<String>,
    /// Services by gRPC.
    pub grpc: Option<String>,
    /// Services by HTTP.
    pub http: Option<String>,
    /// Other nodes.
    pub peers: Option<String>,
}

/// A certificate chain and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, end entity first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The endpoints for services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceConfig {
    /// Where gRPC listens.
    pub grpc: SocketAddr,
    /// Where HTTP listens.
    pub http: SocketAddr,
    /// TLS for both; `None`: plaintext, on loopback or because the operator said so.
    pub tls: Option<TlsFiles>,
    /// Nesting of values in requests: as much as a twin takes.
    pub depth_max: usize,
}

impl ServiceConfig {
    /// Whether both are for callers of this machine only.
    pub fn is_local(&self) -> bool {
        self.grpc.ip().is_loopback() && self.http.ip().is_loopback()
    }

    /// Whether what others send is readable on the way.
    pub fn is_plaintext_for_others(&self) -> bool {
        self.tls.is_none() && !self.is_local()
    }
}

/// Who may do what at the endpoints for services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessConfig {
    /// Whether callers are checked.
    pub mode: AccessMode,
    /// Whose signed tokens are taken.
    pub issuer: Option<IssuerConfig>,
}

/// Whether callers are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessMode {
    /// They are not.
    Open,
    /// Each call takes a token, and a policy that allows it.
    Enforced,
}

/// An issuer of signed tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerConfig {
    /// As tokens name it.
    pub issuer: String,
    /// Whom tokens must be for.
    pub audience: String,
    /// Where its public keys are.
    pub keys: KeySource,
    /// CAs by which its server is known; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// How often keys at a URL are fetched at least.
    pub refresh: Duration,
}

/// Where the public keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In a file.
    File(PathBuf),
    /// At a URL.
    Url(String),
    /// Where the issuer, which is a URL, says.
    Discovered,
}

/// What all nodes of a cluster agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// Number of shards, at least 1.
    pub shards: u16,
}

/// The endpoint for devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicesConfig {
    /// CAs of client certificates; `None`: the node's own.
    pub ca: Option<PathBuf>,
    /// The certificate that devices see; `None`: the node makes one.
    pub tls: Option<TlsFiles>,
    /// Further names in the certificate that the node makes.
    pub names: Vec<String>,
    /// How often the node pings a silent connection; `None`: never.
    pub keep_alive: Option<Duration>,
    /// A connection silent for this long is over.
    pub idle_timeout: Duration,
    /// Frames a second of one device, on average.
    pub rate_per_s: u32,
    /// Frames of one device at once.
    pub rate_burst: u32,
    /// Connections held.
    pub connections_max: u32,
    /// Handshakes under way at once at most.
    pub handshakes_max: u32,
    /// Whether devices are relayed that cannot dial their owner.
    pub relay: bool,
    /// Whether devices may come without a certificate.
    pub tokens: bool,
}

/// The write-ahead log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Bytes of one segment.
    pub segment_bytes: u64,
    /// Segments kept ready.
    pub spare_segments: u32,
    /// For trials: the file that says how much longer each sync shall take.
    pub slowed_by: Option<PathBuf>,
}

/// Checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointConfig {
    /// At least this often while twins change.
    pub interval: Duration,
    /// When a shard's log has grown by this much.
    pub log_bytes: u64,
    /// sled's cache.
    pub cache_bytes: u64,
    /// Free disk bytes below which writes are refused.
    pub reserve_bytes: u64,
}

/// Artifacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArtifactsConfig {
    /// Bytes of one at most.
    pub size_bytes_max: u64,
    /// Free disk bytes that they leave.
    pub free_bytes_kept: u64,
    /// How fast they are fetched from other nodes.
    pub fetch_bytes_per_s: u64,
}

/// Twins in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwinsConfig {
    /// Quiet time before a twin is passivated.
    pub idle: Duration,
    /// Bytes of unpacked twins cached by all tables.
    pub hot_bytes: usize,
    /// Bytes of one shard's outputs that may wait for the log.
    pub gate_bytes: usize,
}

/// Elections, and snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaftConfig {
    /// Time between signs of life.
    pub heartbeat: Duration,
    /// Shortest silence before an election.
    pub election_min: Duration,
    /// Longest.
    pub election_max: Duration,
    /// How fast states of shards leave this node.
    pub snapshot_bytes_per_s: u64,
}

/// Tracing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceConfig {
    /// Level or directives.
    pub filter: String,
    /// How it is written.
    pub format: TraceFormat,
}

/// How traces are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
}
