//! Every key of a node's configuration: its name, type, default and what it means.
//!
//! The texts here are the documentation: `pollux config show` prints them. What values are
//! possible is [`super::check`]'s to say.

use pollux_cluster::limits::SNAPSHOT_BYTES_PER_S_DEFAULT;
use serde::{Deserialize, Serialize};

/// One key as documented.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Section and name, joined by a dot.
    pub(super) path: &'static str,
    /// Its documentation, a line each.
    pub(super) doc: &'static [&'static str],
}

/// Declares a section once: the struct, its defaults, and the texts for people.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $name:ident $prefix:literal {
            $($(#[doc = $doc:literal])+ $key:ident: $kind:ty = $default:expr,)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $key: $kind,)+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        impl $name {
            pub(super) const KEYS: &[Key] = &[
                $(Key { path: concat!($prefix, stringify!($key)), doc: &[$($doc),+] },)+
            ];
        }
    };
}

section! {
    /// This node among others.
    NodeSection "node." {
        /// A name for people, in what the node traces and in the cluster's status; no two nodes have
        /// the same. Empty: one is made up.
        name: String = String::new(),
        /// Where the node stands: replicas of a shard are spread over zones. Empty: nowhere known.
        zone: String = String::new(),
        /// How many shards the node owns beside others; twice the weight, twice the shards.
        weight: u64 = 100,
        /// How often the files of certificates, keys and CAs are looked at; those that changed are used from then on.
        /// SIGHUP makes the node look at once.
        certificates_look_ms: u64 = 60_000,
    }
}

section! {
    /// Where this node listens. Port 0 takes any free port.
    ListenSection "listen." {
        /// Devices, by QUIC: address and UDP port.
        devices: String = "0.0.0.0:4433".into(),
        /// Services, by gRPC: address and TCP port.
        grpc: String = "127.0.0.1:4434".into(),
        /// Services, by HTTP/JSON, with /metrics, /healthz and /readyz: address and TCP port.
        http: String = "127.0.0.1:4435".into(),
        /// The cluster's other nodes, by QUIC: address and UDP port.
        peers: String = "127.0.0.1:4436".into(),
    }
}

section! {
    /// Where others reach this node, if not where it listens: host and port. Empty: as listened on,
    /// and 127.0.0.1 in place of an address that stands for all.
    AdvertiseSection "advertise." {
        /// For devices: host and UDP port.
        devices: String = String::new(),
        /// For services by gRPC: host and TCP port.
        grpc: String = String::new(),
        /// For services by HTTP: host and TCP port.
        http: String = String::new(),
        /// For the cluster's other nodes: host and UDP port.
        peers: String = String::new(),
    }
}

section! {
    /// The endpoints for services.
    ServicesSection "services." {
        /// PEM file with the certificate chain of the gRPC and HTTP endpoints; empty: no TLS.
        cert: String = String::new(),
        /// PEM file with the private key that belongs to it.
        key: String = String::new(),
        /// Allow these endpoints without TLS on an address that others can reach.
        plaintext: bool = false,
    }
}

section! {
    /// Who may do what at the endpoints for services.
    AccessSection "access." {
        /// `enforced`: each call takes a token, and a policy that allows it. `open`: nobody is checked.
        /// `auto`: open while gRPC and HTTP listen on loopback only; elsewhere it must be said.
        mode: String = "auto".into(),
        /// Issuer of signed tokens (OpenID Connect) that are taken beside the cluster's own: as their
        /// `iss` says it. Empty: none.
        jwt_issuer: String = String::new(),
        /// What their `aud` must name.
        jwt_audience: String = String::new(),
        /// Where the issuer's public keys are, a JSON Web Key Set: a file, read again when it changes, or an https URL.
        /// Empty: where the issuer says (OpenID Connect Discovery), if `jwt_issuer` is an https URL.
        jwt_keys: String = String::new(),
        /// PEM file with the CAs by which that URL's server is known. Empty: those that the system trusts.
        jwt_ca: String = String::new(),
        /// Keys at a URL are fetched at least this often; more often where the answer's `cache-control` says so, and
        /// when a token names a key that is not there.
        jwt_refresh_ms: u64 = 600_000,
    }
}

section! {
    /// What all nodes of a cluster must agree on.
    ClusterSection "cluster." {
        /// Number of shards, 1 to 4096. Fixed when the data directory is created.
        shards: u64 = 16,
    }
}

section! {
    /// The endpoint for devices.
    DevicesSection "devices." {
        /// PEM file with the CAs whose client certificates are trusted; empty: the CA that the
        /// node made itself at its first start, in pki/ of the data directory.
        ca: String = String::new(),
        /// PEM file with the certificate chain that devices see; empty: one made at each start,
        /// signed by the node's own server CA.
        cert: String = String::new(),
        /// PEM file with the private key that belongs to it.
        key: String = String::new(),
        /// Further DNS names and addresses for the certificate that the node makes itself;
        /// localhost, 127.0.0.1 and ::1 are always in it.
        names: Vec<String> = Vec::new(),
        /// The node pings a silent connection this often; 0: it leaves that to the device.
        keep_alive_ms: u64 = 0,
        /// A connection silent for this long is over.
        idle_timeout_ms: u64 = 60_000,
        /// Frames per second that one device may send on average; more are not read until later.
        rate_per_s: u64 = 200,
        /// Frames that one device may send at once before that rate holds.
        rate_burst: u64 = 400,
        /// Connections that the node holds; further ones are refused.
        connections_max: u64 = 200_000,
        /// Handshakes under way at once at most. How many it is at a time follows from how late the node
        /// runs; twice as many connections wait, and the newest beyond them are refused for now.
        handshakes_max: u64 = 1024,
        /// Relay devices that cannot dial the node that owns their shard, where that is another one.
        relay: bool = true,
        /// Which devices may come: "proven", any that proves itself and is not disabled; or "registered", only
        /// those that were registered before.
        admission: String = "proven".to_owned(),
        /// How long a deleted twin can be brought back; 0: not at all, and nothing of it is kept.
        restorable_ms: u64 = 604_800_000,
        /// Take devices without a certificate that show a token of their own.
        tokens: bool = false,
    }
}

section! {
    /// Bounds of what a twin holds. Lower ones than what is stored refuse further growth only.
    LimitsSection "limits." {
        /// Bytes of one section (tags, desired, reported) as JSON.
        section_bytes_max: u64 = 64 * 1024,
        /// Nesting of a value.
        depth_max: u64 = 16,
        /// Bytes of one key.
        key_bytes_max: u64 = 256,
        /// Keys of one object.
        object_keys_max: u64 = 1024,
        /// Bytes of a command's payload or answer.
        command_bytes_max: u64 = 16 * 1024,
    }
}

section! {
    /// The node's write-ahead log.
    LogSection "log." {
        /// Bytes of one segment file; each is preallocated whole.
        segment_bytes: u64 = 64 * 1024 * 1024,
        /// Segments kept ready, so that a full disk is noticed before an append meets it.
        spare_segments: u64 = 2,
        /// For trials only: a file with the milliseconds that each sync of the log shall take longer, read at
        /// each; as if the disk were slow. Empty: none.
        slowed_by: String = String::new(),
    }
}

section! {
    /// Checkpoints: changed twins go from memory to sled, then the log before them can go.
    CheckpointSection "checkpoint." {
        /// A checkpoint at least this often while twins change.
        interval_ms: u64 = 30_000,
        /// A checkpoint when a shard's log has grown by this many bytes since its last one.
        log_bytes: u64 = 32 * 1024 * 1024,
        /// Memory that sled may use as its cache.
        cache_bytes: u64 = 64 * 1024 * 1024,
        /// Free bytes on the disk below which writes are refused; reads go on.
        reserve_bytes: u64 = 64 * 1024 * 1024,
    }
}

section! {
    /// Artifacts: firmware and other software that devices come for.
    ArtifactsSection "artifacts." {
        /// Bytes of one artifact at most; all nodes should have the same.
        size_bytes_max: u64 = 1024 * 1024 * 1024,
        /// Free bytes on the disk that artifacts leave.
        free_bytes_kept: u64 = 256 * 1024 * 1024,
        /// Bytes a second at which this node fetches artifacts from others, all of them together.
        fetch_bytes_per_s: u64 = 64 * 1024 * 1024,
    }
}

section! {
    /// Twins in memory.
    TwinsSection "twins." {
        /// A twin without a session and without messages for this long is passivated.
        idle_ms: u64 = 600_000,
        /// Bytes of unpacked twins that the tables of all shards may cache.
        hot_bytes: u64 = 64 * 1024 * 1024,
        /// Bytes of outputs of one shard that may wait for the log.
        gate_bytes: u64 = 32 * 1024 * 1024,
    }
}

section! {
    /// Watches of changes.
    WatchSection "watch." {
        /// Bytes of past changes that each shard keeps for watchers to resume from.
        bytes_per_shard: u64 = 4 * 1024 * 1024,
    }
}

section! {
    /// Queries of twins.
    QuerySection "query." {
        /// Paths that have an index, such as `tags.site`: at most 16, within tags, desired or reported. Each
        /// costs memory on every replica, and finds twins by what stands there without looking at all.
        indexes: Vec<String> = Vec::new(),
    }
}

section! {
    /// Elections among the replicas of a shard.
    RaftSection "raft." {
        /// The owner shows that it is alive this often.
        heartbeat_ms: u64 = 100,
        /// Shortest silence after which replicas elect another owner.
        election_min_ms: u64 = 300,
        /// Longest such silence; each election draws between the two.
        election_max_ms: u64 = 400,
        /// Bytes a second at which this node brings up replicas of others with whole states, all of them
        /// together; to one node never more than 128 MiB.
        snapshot_bytes_per_s: u64 = SNAPSHOT_BYTES_PER_S_DEFAULT,
    }
}

section! {
    /// What the node says about itself while it runs.
    TraceSection "trace." {
        /// What is traced: a level (error, warn, info, debug, trace), or directives such as
        /// `info,pollux_runtime::session=debug`.
        filter: String = "info,openraft=error".into(),
        /// `human`, `json`, or `auto`: human on a terminal, JSON otherwise.
        format: String = "auto".into(),
    }
}

/// A node's configuration as it is written: a TOML file, variables and flags fill it in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeConfig {
    /// Directory that holds everything this node must not lose.
    pub data_dir: String,
    /// `[node]`
    pub node: NodeSection,
    /// `[listen]`
    pub listen: ListenSection,
    /// `[advertise]`
    pub advertise: AdvertiseSection,
    /// `[services]`
    pub services: ServicesSection,
    /// `[access]`
    pub access: AccessSection,
    /// `[cluster]`
    pub cluster: ClusterSection,
    /// `[devices]`
    pub devices: DevicesSection,
    /// `[limits]`
    pub limits: LimitsSection,
    /// `[log]`
    pub log: LogSection,
    /// `[checkpoint]`
    pub checkpoint: CheckpointSection,
    /// `[artifacts]`
    pub artifacts: ArtifactsSection,
    /// `[twins]`
    pub twins: TwinsSection,
    /// `[watch]`
    pub watch: WatchSection,
    /// `[query]`
    pub query: QuerySection,
    /// `[raft]`
    pub raft: RaftSection,
    /// `[trace]`
    pub trace: TraceSection,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            data_dir: "pollux-data".into(),
            node: NodeSection::default(),
            listen: ListenSection::default(),
            advertise: AdvertiseSection::default(),
            services: ServicesSection::default(),
            access: AccessSection::default(),
            cluster: ClusterSection::default(),
            devices: DevicesSection::default(),
            limits: LimitsSection::default(),
            log: LogSection::default(),
            checkpoint: CheckpointSection::default(),
            artifacts: ArtifactsSection::default(),
            twins: TwinsSection::default(),
            watch: WatchSection::default(),
            query: QuerySection::default(),
            raft: RaftSection::default(),
            trace: TraceSection::default(),
        }
    }
}

/// All keys, in the order in which they are shown.
pub(super) fn all() -> impl Iterator<Item = &'static Key> {
    const TOP: &[Key] = &[Key {
        path: "data_dir",
        doc: &[" Directory that holds everything this node must not lose."],
    }];
    [
        TOP,
        NodeSection::KEYS,
        ListenSection::KEYS,
        AdvertiseSection::KEYS,
        ServicesSection::KEYS,
        AccessSection::KEYS,
        ClusterSection::KEYS,
        DevicesSection::KEYS,
        LimitsSection::KEYS,
        LogSection::KEYS,
        CheckpointSection::KEYS,
        ArtifactsSection::KEYS,
        TwinsSection::KEYS,
        WatchSection::KEYS,
        QuerySection::KEYS,
        RaftSection::KEYS,
        TraceSection::KEYS,
    ]
    .into_iter()
    .flatten()
}
