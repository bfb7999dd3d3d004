//! Which values are possible, and what would be right where one is not.

mod access;
mod devices;
mod twins;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use pollux_cluster::limits::{
    HEARTBEAT_MS_MIN, SNAPSHOT_BYTES_PER_S_MAX, SNAPSHOT_BYTES_PER_S_MIN,
};
use pollux_twin::id::SLOTS;

use super::checked::{
    Advertise, ArtifactsConfig, Checked, CheckpointConfig, ClusterConfig, Listen, LogConfig,
    RaftConfig, ServiceConfig, TlsFiles, TraceConfig, TraceFormat,
};
use super::error::{ConfigError, ConfigErrors};
use super::keys::NodeConfig;
use crate::config::NodeConfig as Written;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const DAY_MS: u64 = 24 * 3600 * 1000;

/// Checks `config`; `origins` says where a value that is no default was written.
pub(super) fn check(
    config: &NodeConfig,
    origins: &BTreeMap<String, String>,
) -> Result<Checked, ConfigErrors> {
    let mut checks = Checks { origins, errors: Vec::new() };
    let listen = checks.listen(config);
    let checked = Checked {
        data_dir: checks.data_dir(config),
        node_name: checks.node_name(config),
        zone: checks.zone(config),
        weight: checks.count("node.weight", config.node.weight, 1, 10_000),
        certificates_look: checks.ms(
            "node.certificates_look_ms",
            config.node.certificates_look_ms,
            100,
            DAY_MS,
        ),
        listen,
        advertise: checks.advertise(config, listen),
        services: checks.services(config, listen),
        access: access::check(&mut checks, config, listen),
        cluster: checks.cluster(config),
        devices: checks.devices(config),
        limits: checks.limits(config),
        log: checks.log(config),
        checkpoint: checks.checkpoint(config),
        artifacts: checks.artifacts(config),
        twins: checks.twins(config),
        watch_bytes_per_shard: checks.size(
            "watch.bytes_per_shard",
            config.watch.bytes_per_shard,
            64 * KIB,
            4 * GIB,
        ),
        indexes: checks.indexes(config),
        raft: checks.raft(config),
        trace: checks.trace(config),
    };
    if checks.errors.is_empty() { Ok(checked) } else { Err(ConfigErrors(checks.errors)) }
}

struct Checks<'a> {
    origins: &'a BTreeMap<String, String>,
    errors: Vec<ConfigError>,
}

impl Checks<'_> {
    fn refuse(&mut self, key: &str, value: impl Display, right: impl Into<String>) {
        self.errors.push(ConfigError::Impossible {
            key: key.to_owned(),
            origin: self.origins.get(key).map_or("the defaults", String::as_str).to_owned(),
            value: value.to_string(),
            right: right.into(),
        });
    }

    fn range(&mut self, key: &str, value: u64, min: u64, max: u64) -> u64 {
        if value < min || value > max {
            self.refuse(key, value, format!("it takes {min} to {max}"));
        }
        value
    }

    fn size(&mut self, key: &str, value: u64, min: u64, max: u64) -> usize {
        usize::try_from(self.range(key, value, min, max)).unwrap_or(usize::MAX)
    }

    fn count(&mut self, key: &str, value: u64, min: u32, max: u32) -> u32 {
        u32::try_from(self.range(key, value, min.into(), max.into())).unwrap_or(max)
    }

    fn ms(&mut self, key: &str, value: u64, min: u64, max: u64) -> Duration {
        Duration::from_millis(self.range(key, value, min, max))
    }

    fn address(&mut self, key: &str, text: &str) -> SocketAddr {
        text.parse().unwrap_or_else(|_| {
            let right = "it takes an address and a port, such as 127.0.0.1:4433 or [::]:4433";
            self.refuse(key, format!("{text:?}"), right);
            SocketAddr::from(([127, 0, 0, 1], 0))
        })
    }

    fn pair(&mut self, section: &str, cert: &str, key: &str) -> Option<TlsFiles> {
        match (cert.is_empty(), key.is_empty()) {
            (true, true) => None,
            (false, false) => {
                self.readable(&format!("{section}.cert"), cert);
                self.readable(&format!("{section}.key"), key);
                Some(TlsFiles { cert: cert.into(), key: key.into() })
            }
            (true, false) => {
                let right = format!("set {section}.cert too: the two belong together");
                self.refuse(&format!("{section}.key"), format!("{key:?}"), right);
                None
            }
            (false, true) => {
                let right = format!("set {section}.key too: the two belong together");
                self.refuse(&format!("{section}.cert"), format!("{cert:?}"), right);
                None
            }
        }
    }

    fn readable(&mut self, key: &str, path: &str) {
        if let Err(error) = std::fs::File::open(path) {
            let right = format!("it takes a PEM file that can be read: {error}");
            self.refuse(key, format!("{path:?}"), right);
        }
    }

    fn data_dir(&mut self, config: &Written) -> PathBuf {
        if config.data_dir.is_empty() {
            self.refuse("data_dir", "empty", "it takes the path of a directory");
        }
        PathBuf::from(&config.data_dir)
    }

    fn node_name(&mut self, config: &Written) -> String {
        let name = &config.node.name;
        if name.len() > 64 || !name.bytes().all(|b| b.is_ascii_graphic()) {
            let right = "it takes up to 64 printable ASCII characters without spaces";
            self.refuse("node.name", format!("{name:?}"), right);
        }
        name.clone()
    }

    fn zone(&mut self, config: &Written) -> String {
        let zone = &config.node.zone;
        if zone.len() > 64 || !zone.bytes().all(|b| b.is_ascii_graphic()) {
            let right = "it takes up to 64 printable ASCII characters without spaces";
            self.refuse("node.zone", format!("{zone:?}"), right);
        }
        zone.clone()
    }

    fn advertise(&mut self, config: &Written, listen: Listen) -> Advertise {
        let advertise = &config.advertise;
        if advertise.peers.is_empty() && listen.peers.ip().is_unspecified() {
            let right = "other nodes cannot dial that: set advertise.peers to the host and port where they \
                         reach this one";
            self.refuse("listen.peers", listen.peers, right);
        }
        Advertise {
            devices: self.reachable("advertise.devices", &advertise.devices),
            grpc: self.reachable("advertise.grpc", &advertise.grpc),
            http: self.reachable("advertise.http", &advertise.http),
            peers: self.reachable("advertise.peers", &advertise.peers),
        }
    }

    fn reachable(&mut self, key: &str, text: &str) -> Option<String> {
        if text.is_empty() {
            return None;
        }
        let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        let port = port.and_then(|(_, port)| port.parse::<u16>().ok()).filter(|port| *port > 0);
        if port.is_none() || text.len() > 259 || !text.bytes().all(|b| b.is_ascii_graphic()) {
            let right = "it takes a host and a port that others reach, such as node-1.example:4433";
            self.refuse(key, format!("{text:?}"), right);
        }
        Some(text.to_owned())
    }

    fn listen(&mut self, config: &Written) -> Listen {
        let listen = Listen {
            devices: self.address("listen.devices", &config.listen.devices),
            grpc: self.address("listen.grpc", &config.listen.grpc),
            http: self.address("listen.http", &config.listen.http),
            peers: self.address("listen.peers", &config.listen.peers),
        };
        if listen.devices == listen.peers && listen.devices.port() != 0 {
            let right = "it needs another port than listen.devices";
            self.refuse("listen.peers", listen.peers, right);
        }
        if listen.grpc == listen.http && listen.grpc.port() != 0 {
            let right = "it needs another port than listen.grpc";
            self.refuse("listen.http", listen.http, right);
        }
        listen
    }

    fn services(&mut self, config: &Written, listen: Listen) -> ServiceConfig {
        let tls = self.pair("services", &config.services.cert, &config.services.key);
        if tls.is_none() && !config.services.plaintext {
            let open = [("listen.grpc", listen.grpc), ("listen.http", listen.http)];
            for (key, address) in open.into_iter().filter(|(_, a)| !a.ip().is_loopback()) {
                let right = "without TLS only a loopback address such as 127.0.0.1 is safe: set \
                             services.cert and services.key, or say services.plaintext = true if \
                             the network is trusted";
                self.refuse(key, address, right);
            }
        }
        let depth_max = usize::try_from(config.limits.depth_max).unwrap_or(usize::MAX);
        ServiceConfig { grpc: listen.grpc, http: listen.http, tls, depth_max }
    }

    fn cluster(&mut self, config: &Written) -> ClusterConfig {
        let shards = self.range("cluster.shards", config.cluster.shards, 1, SLOTS.into());
        ClusterConfig { shards: u16::try_from(shards).unwrap_or(SLOTS) }
    }

    fn log(&mut self, config: &Written) -> LogConfig {
        let log = &config.log;
        LogConfig {
            segment_bytes: self.range("log.segment_bytes", log.segment_bytes, 4 * MIB, GIB),
            spare_segments: self.count("log.spare_segments", log.spare_segments, 2, 64),
            slowed_by: Some(&log.slowed_by).filter(|path| !path.is_empty()).map(PathBuf::from),
        }
    }

    fn checkpoint(&mut self, config: &Written) -> CheckpointConfig {
        let checkpoint = &config.checkpoint;
        CheckpointConfig {
            interval: self.ms("checkpoint.interval_ms", checkpoint.interval_ms, 100, DAY_MS),
            log_bytes: self.range("checkpoint.log_bytes", checkpoint.log_bytes, 64 * KIB, 64 * GIB),
            cache_bytes: self.range(
                "checkpoint.cache_bytes",
                checkpoint.cache_bytes,
                MIB,
                64 * GIB,
            ),
            reserve_bytes: self.range(
                "checkpoint.reserve_bytes",
                checkpoint.reserve_bytes,
                MIB,
                1024 * GIB,
            ),
        }
    }

    fn artifacts(&mut self, config: &Written) -> ArtifactsConfig {
        let given = &config.artifacts;
        let mut range = |key, given, least, most| self.range(key, given, least, most);
        ArtifactsConfig {
            size_bytes_max: range("artifacts.size_bytes_max", given.size_bytes_max, KIB, 64 * GIB),
            free_bytes_kept: range(
                "artifacts.free_bytes_kept",
                given.free_bytes_kept,
                0,
                1024 * GIB,
            ),
            fetch_bytes_per_s: range(
                "artifacts.fetch_bytes_per_s",
                given.fetch_bytes_per_s,
                KIB,
                64 * GIB,
            ),
        }
    }

    fn raft(&mut self, config: &Written) -> RaftConfig {
        let raft = &config.raft;
        let heartbeat = self.ms("raft.heartbeat_ms", raft.heartbeat_ms, HEARTBEAT_MS_MIN, 60_000);
        let election_min = self.ms("raft.election_min_ms", raft.election_min_ms, 20, 120_000);
        let election_max = self.ms("raft.election_max_ms", raft.election_max_ms, 30, 240_000);
        if election_min < heartbeat * 2 {
            let right = "it must be at least twice raft.heartbeat_ms, best three times";
            self.refuse("raft.election_min_ms", raft.election_min_ms, right);
        }
        if election_max <= election_min {
            let right = "it must be more than raft.election_min_ms, best by a heartbeat";
            self.refuse("raft.election_max_ms", raft.election_max_ms, right);
        }
        let snapshot_bytes_per_s = self.range(
            "raft.snapshot_bytes_per_s",
            raft.snapshot_bytes_per_s,
            SNAPSHOT_BYTES_PER_S_MIN,
            SNAPSHOT_BYTES_PER_S_MAX,
        );
        RaftConfig { heartbeat, election_min, election_max, snapshot_bytes_per_s }
    }

    fn trace(&mut self, config: &Written) -> TraceConfig {
        let format = match config.trace.format.as_str() {
            "auto" => TraceFormat::Auto,
            "human" => TraceFormat::Human,
            "json" => TraceFormat::Json,
            other => {
                self.refuse("trace.format", format!("{other:?}"), "it takes auto, human or json");
                TraceFormat::Auto
            }
        };
        if config.trace.filter.trim().is_empty() {
            let right = "it takes a level: error, warn, info, debug or trace";
            self.refuse("trace.filter", "empty", right);
        }
        for directive in config.trace.filter.split(',').filter(|one| !is_directive(one)) {
            let right = format!(
                "{directive:?} in it has no level: write error, warn, info, debug, trace or off after ="
            );
            self.refuse("trace.filter", format!("{:?}", config.trace.filter), right);
        }
        TraceConfig { filter: config.trace.filter.clone(), format }
    }
}

/// Whether a part of a filter may be a directive; those that name spans and fields are left to the filter.
fn is_directive(part: &str) -> bool {
    match part.rsplit_once('=') {
        Some((target, level)) if !target.contains(['[', '{']) => {
            level.trim().parse::<tracing::level_filters::LevelFilter>().is_ok()
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{KeySource, Layers};

    fn refused(text: &str, expected: &str) {
        let errors = Layers::new().text(text, "a.toml").check().expect_err(text).to_string();
        assert!(errors.contains(expected), "{text}: {errors}");
    }

    #[test]
    fn the_defaults_are_possible() {
        let checked = Layers::new().check().unwrap();
        assert_eq!(checked.limits, pollux_twin::limits::Limits::default());
        assert_eq!(checked.services.tls, None);
    }

    #[test]
    fn impossible_values_are_refused_with_what_would_be_right() {
        refused("[cluster]\nshards = 0", "cluster.shards in a.toml is 0; it takes 1 to 4096");
        refused("[cluster]\nshards = 5000", "it takes 1 to 4096");
        refused("[listen]\ndevices = \"here\"", "it takes an address and a port");
        refused("[listen]\nhttp = \"127.0.0.1:4434\"", "another port than listen.grpc");
        refused("[listen]\ngrpc = \"0.0.0.0:4434\"", "services.plaintext = true");
        refused("[devices]\ncert = \"a.pem\"", "set devices.key too");
        refused("[access]\nmode = \"closed\"", "it takes auto, open or enforced");
        refused("[access]\njwt_issuer = \"https://id\"", "set all three");
        let jwt =
            |more: &str| format!("[access]\njwt_issuer = \"id\"\njwt_audience = \"a\"\n{more}");
        refused(
            &jwt(""),
            "access.jwt_keys in the defaults is empty; without it jwt_issuer has to be a URL",
        );
        refused(&jwt("jwt_keys = \"http://id.example/keys\""), "it takes https");
        refused(
            &jwt("jwt_keys = \"/none\""),
            "a JSON Web Key Set that can be read, or an https URL",
        );
        refused(
            &jwt("jwt_keys = \"https://id\"\njwt_ca = \"/none\""),
            "access.jwt_ca in a.toml is \"/none\"",
        );
        refused("[access]\njwt_refresh_ms = 10", "it takes 1000 to 86400000");
        refused("[devices]\nkeep_alive_ms = 70000", "less than devices.idle_timeout_ms");
        refused("[devices]\nrate_burst = 1", "at least devices.rate_per_s");
        refused("[raft]\nelection_min_ms = 150", "twice raft.heartbeat_ms");
        refused("[raft]\nelection_max_ms = 300", "more than raft.election_min_ms");
        refused(
            "[raft]\nsnapshot_bytes_per_s = 0",
            "snapshot_bytes_per_s in a.toml is 0; it takes 1048576",
        );
        refused("[listen]\npeers = \"0.0.0.0:4433\"", "another port than listen.devices");
        refused("[advertise]\npeers = \"node-1\"", "a host and a port");
        refused("[node]\nzone = \"two words\"", "without spaces");
        refused("[trace]\nformat = \"xml\"", "it takes auto, human or json");
        refused("[log]\nsegment_bytes = 100", "it takes 4194304 to 1073741824");
        refused(
            "[query]\nindexes = [\"tags\"]",
            "query.indexes in a.toml is \"tags\"; line 1, column 1: only what tags, desired or reported have",
        );
        refused("[query]\nindexes = [\"tags.a +\"]", "it takes paths such as tags.site");
        refused("[query]\nindexes = [\"presence.node\"]", "only what tags, desired or reported");
        refused("[query]\nindexes = [\"tags.a\", \"tags['a']\"]", "it is there twice");
        let many: Vec<_> = (0..17).map(|n| format!("\"tags.n{n}\"")).collect();
        refused(&format!("[query]\nindexes = [{}]", many.join(", ")), "it takes at most 16");
        refused("data_dir = \"\"", "the path of a directory");
        refused("[services]\ncert = \"/none.pem\"\nkey = \"/none.key\"", "services.key in a.toml");
        refused("[listen]\npeers = \"0.0.0.0:4436\"", "set advertise.peers");
        refused("[trace]\nfilter = \"info,x=loud\"", "\"x=loud\" in it has no level");
    }

    #[test]
    fn keys_of_an_issuer_are_in_a_file_at_a_url_or_where_it_says() {
        let issuer = |keys: &str| {
            let named = "jwt_issuer = \"https://id.example\"\njwt_audience = \"a\"";
            let text = format!("[access]\n{named}\njwt_keys = {keys:?}");
            Layers::new().text(&text, "a.toml").check().unwrap().access.issuer.unwrap().keys
        };
        assert_eq!(issuer(""), KeySource::Discovered);
        assert_eq!(issuer("https://id.example/k"), KeySource::Url("https://id.example/k".into()));
        assert_eq!(issuer("/dev/null"), KeySource::File("/dev/null".into()));
    }

    #[test]
    fn paths_of_indexes_are_read() {
        let text = "[query]\nindexes = [\"tags.site\", \"reported['a b'].c\"]";
        let checked = Layers::new().text(text, "a.toml").check().unwrap();
        let paths: Vec<_> = checked.indexes.iter().map(ToString::to_string).collect();
        assert_eq!(paths, ["tags.site", "reported[\"a b\"].c"]);
    }

    #[test]
    fn plaintext_for_others_needs_a_word_and_gets_it() {
        let text = "[listen]\ngrpc = \"0.0.0.0:4434\"\n[services]\nplaintext = true\n";
        let open = format!("{text}[access]\nmode = \"open\"");
        assert!(Layers::new().text(&open, "a.toml").check().is_ok());
        let enforced = format!("{text}[access]\nmode = \"enforced\"");
        assert!(Layers::new().text(&enforced, "a.toml").check().is_ok());
        refused(text, "access.mode = \"enforced\" and make the first operator");
    }

    #[test]
    fn numbers_out_of_their_type_are_refused() {
        let text = "cluster.shards in a.toml is 99999; it takes 1 to 4096";
        refused("[cluster]\nshards = 99999", text);
        refused("[node]\nweight = 99999999999", "it takes 1 to 10000");
        refused("[cluster]\nshards = -1", "a whole number, 0 or more");
    }
}
