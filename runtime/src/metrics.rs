//! What a node counts: one struct of plain atomics, cheap enough for the path of a report.
//!
//! Names follow Prometheus (base units, `_total`); every label has a fixed set of values. What the
//! numbers mean is in the help text of each; serving them is service/'s business.

mod calls;
mod histogram;
mod hot;
mod labelled;
mod process;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

pub use calls::{Calls, Door, Method};
pub use histogram::{Counts, Histogram};
pub use hot::{HotTwin, HotTwins};
pub use labelled::Labelled;
pub(crate) use process::cpu_seconds;
pub use process::resident_bytes;

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How a hello can end.
const HELLO_RESULTS: &[&str] = &[
    "welcome",
    "not_you",
    "not_allowed",
    "busy",
    "invalid",
    "redirect",
    "relayed",
    "enrolled",
    "not_enrolled",
];

/// How a connection that a device begins is answered.
const HANDSHAKE_ANSWERS: &[&str] = &["begun", "retry", "refused"];

/// Kinds of device frames, most frequent first.
const FRAME_KINDS: &[&str] = &[
    "report",
    "telemetry",
    "ping",
    "desired_ack",
    "command_result",
    "command_unknown",
    "get",
    "hello",
    "invalid",
];

/// Why a numbered frame was not taken.
const NACK_REASONS: &[&str] = &["out_of_order", "overloaded"];

/// Reasons of rejections, as the status table of proto/ names them, and those of HTTP alone.
pub(crate) const REASONS: &[&str] = &[
    "not_found",
    "version_mismatch",
    "overloaded",
    "device_offline",
    "not_an_object",
    "too_large",
    "too_deep",
    "bad_key",
    "too_many",
    "invalid",
    "unknown_command",
    "command_over",
    "key_reused",
    "session_over",
    "out_of_order",
    "out_of_space",
    "quarantined",
    "not_owner",
    "behind",
    "not_registered",
    "disabled",
    "bad_credential",
    "unknown_credential",
    "level_too_low",
    "unknown",
    "unauthenticated",
    "forbidden",
    "schema_violated",
    "unknown_type",
    "unknown_group",
    "not_enrolled",
    "took_too_long",
    "refused",
    "unavailable",
    "unsupported_media_type",
    "timeout",
    "range_not_satisfiable",
];

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $field:ident: $kind:ty = $make:expr;)*) => {
        /// Everything a node counts. Fields are shared atomics: clone one to keep it at hand.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $($(#[doc = $help])+ pub $field: $kind,)*
        }

        impl Metrics {
            /// All metrics, at zero.
            pub fn new() -> Self {
                let mut registry = Registry::with_prefix("pollux");
                $(
                    let $field: $kind = $make;
                    // The encoder appends `_total` to counters by itself.
                    let name = stringify!($field).trim_end_matches("_total");
                    let help = concat!($($help),+).trim().trim_end_matches('.');
                    registry.register(name, help, $field.clone());
                )*
                registry.register_collector(Box::new(process::Process));
                Self { registry, $($field,)* }
            }
        }
    };
}

/// Certificates that a node depends on.
const CERTIFICATES: &[&str] =
    &["cluster-ca", "server-ca", "device-ca", "node", "server", "services"];

/// Limits of tenants.
const TENANT_LIMITS: &[&str] = &["devices", "messages", "writes", "bytes"];

/// How attempts to fetch something end.
const FETCHES: &[&str] = &["ok", "failed"];

/// Parts of a node that have certificates.
const CERTIFIED: &[&str] = &["devices", "services", "peers", "enrolments"];

/// What becomes of a device's download.
const DOWNLOAD_RESULTS: &[&str] = &["begun", "done", "broken", "refused"];

/// Where states of shards went.
const DIRECTIONS: &[&str] = &["sent", "received"];

metrics! {
    /// When a certificate ends that this node depends on, in seconds since 1970; 0 where there is none.
    certificate_end_timestamp_seconds: Labelled<Gauge> =
        Labelled::with("certificate", CERTIFICATES, Gauge::default);
    /// Times that other certificates, keys or CAs came into use while the node runs, by what they are for.
    certificates_taken_total: Labelled = Labelled::new("part", CERTIFIED);
    /// 1 where the files of certificates, keys or CAs are not fit, and what was in use before still is.
    certificates_stale: Labelled<Gauge> = Labelled::with("part", CERTIFIED, Gauge::default);
    /// What was refused for a limit of its tenant, by the limit.
    tenant_refusals_total: Labelled = Labelled::new("limit", TENANT_LIMITS);
    /// Devices of tenants that have limits, in shards that this node owns.
    tenant_devices: Family<Vec<(String, String)>, Gauge> = Family::default();
    /// Bytes of twins of tenants that have limits, in shards that this node owns.
    tenant_bytes: Family<Vec<(String, String)>, Gauge> = Family::default();
    /// When the keys of the issuer of signed tokens were read or fetched last, in seconds since 1970; 0: there are none.
    issuer_keys_timestamp_seconds: Gauge = Gauge::default();
    /// Attempts to fetch the keys of the issuer of signed tokens.
    issuer_fetches_total: Labelled = Labelled::new("result", FETCHES);
    /// Devices with an open session.
    devices_connected: Gauge = Gauge::default();
    /// Devices' sessions on other nodes that this one relays.
    sessions_relayed: Gauge = Gauge::default();
    /// Connections that devices began, by answer: handshake begun, asked to prove the address, refused.
    handshakes_total: Labelled = Labelled::new("answer", HANDSHAKE_ANSWERS);
    /// Handshakes with devices under way.
    handshakes_under_way: Gauge = Gauge::default();
    /// Connections of devices that wait for their handshake.
    handshakes_waiting: Gauge = Gauge::default();
    /// Handshakes that may be under way at once, by how late the node runs.
    handshakes_max: Gauge = Gauge::default();
    /// Hellos by how they ended.
    hellos_total: Labelled = Labelled::new("result", HELLO_RESULTS);
    /// Artifacts that devices came for, by what became of it.
    downloads_total: Labelled = Labelled::new("result", DOWNLOAD_RESULTS);
    /// Artifacts that there are and whose bytes are not on this node.
    artifacts_missing: Gauge = Gauge::default();
    /// Frames received from devices.
    device_frames_total: Labelled = Labelled::new("kind", FRAME_KINDS);
    /// Numbered frames acknowledged as durable.
    acks_total: Counter = Counter::default();
    /// Numbered frames not taken, to be sent again.
    nacks_total: Labelled = Labelled::new("reason", NACK_REASONS);
    /// Requests of devices and services that were refused.
    rejections_total: Labelled = Labelled::new("reason", REASONS);
    /// From the receipt of a numbered frame to its acknowledgement being written.
    ack_seconds: Histogram = Histogram::seconds();
    /// Telemetry datagrams received.
    datagrams_total: Counter = Counter::default();
    /// Telemetry datagrams dropped: malformed, of an old session, or for want of room.
    datagrams_dropped_total: Counter = Counter::default();
    /// Telemetry that watches and subscriptions asked for and were too slow to take.
    telemetry_left_out_total: Counter = Counter::default();
    /// Batches of changes committed.
    batches_total: Counter = Counter::default();
    /// Changes committed.
    changes_total: Counter = Counter::default();
    /// Bytes of a batch as it goes into the log.
    batch_bytes: Histogram = Histogram::bytes();
    /// From handing a batch to the log to its commit.
    commit_seconds: Histogram = Histogram::seconds();
    /// Twins in the tables of this node.
    twins: Gauge = Gauge::default();
    /// Twins with a running actor.
    twins_active: Gauge = Gauge::default();
    /// Twins given an actor.
    activations_total: Counter = Counter::default();
    /// Idle twins that let their actor go.
    passivations_total: Counter = Counter::default();
    /// Bytes of outputs that wait for their commit.
    gate_bytes: Gauge = Gauge::default();
    /// Requests refused because a queue, a gate or a rate was full.
    overloads_total: Counter = Counter::default();
    /// Duration of writing one shard's checkpoint.
    checkpoint_seconds: Histogram = Histogram::seconds();
    /// Checkpoints written.
    checkpoints_total: Counter = Counter::default();
    /// Twins written by checkpoints.
    checkpoint_twins_total: Counter = Counter::default();
    /// Bytes of states by which replicas are brought up that the log no longer reaches.
    snapshot_bytes_total: Labelled = Labelled::new("direction", DIRECTIONS);
    /// Bytes appended to the log.
    log_appended_bytes_total: Counter = Counter::default();
    /// Syncs of the log to disk.
    log_syncs_total: Counter = Counter::default();
    /// Duration of one sync of the log.
    log_sync_seconds: Histogram = Histogram::seconds();
    /// Segment files of the log, spare ones included.
    log_segments: Gauge = Gauge::default();
    /// Service calls by door, service, method and code (`ok` or the rejection's reason).
    calls_total: Calls = Calls::default();
    /// Duration of a call to a service, both doors together.
    call_seconds: Labelled<Histogram> = Labelled::with("method", Method::NAMES, Histogram::seconds);
    /// Open watches.
    watchers: Gauge = Gauge::default();
    /// Events sent to watchers.
    watch_events_total: Counter = Counter::default();
    /// Watches whose position was no longer kept, so that they got a full picture.
    watch_resets_total: Counter = Counter::default();
    /// The busiest twins, in messages per second, by rank.
    hot_twin_messages_per_second: HotTwins = HotTwins::default();
}

impl Metrics {
    /// All metrics as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("writing to a String cannot fail");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn encodes_every_kind() {
        let metrics = Metrics::new();
        metrics.acks_total.inc();
        metrics.devices_connected.set(3);
        metrics.hellos_total.of("welcome").inc();
        metrics.rejections_total.of("no such reason").inc();
        metrics.ack_seconds.observe(Duration::from_micros(700));
        metrics.calls_total.record(Door::Grpc, Method::TwinsGet, "ok");
        metrics.call_seconds.of(Method::TwinsGet.name()).observe(Duration::from_millis(2));
        let text = metrics.encode();
        for line in [
            "# TYPE pollux_acks counter",
            "pollux_acks_total 1",
            "pollux_devices_connected 3",
            "pollux_hellos_total{result=\"welcome\"} 1",
            "pollux_rejections_total{reason=\"other\"} 1",
            "pollux_ack_seconds_count 1",
            "pollux_ack_seconds_bucket{le=\"0.001\"} 1",
            "pollux_calls_total{door=\"grpc\",service=\"Twins\",method=\"Get\",code=\"ok\"} 1",
            "pollux_call_seconds_count{method=\"Twins.Get\"} 1",
            "pollux_process_resident_memory_bytes ",
            "# EOF",
        ] {
            assert!(text.contains(line), "no `{line}` in:\n{text}");
        }
    }

    #[test]
    fn labels_stay_bounded() {
        let metrics = Metrics::new();
        for n in 0..1000 {
            metrics.hellos_total.of(&format!("made up {n}")).inc();
        }
        assert_eq!(metrics.hellos_total.of("whatever").get(), 1000);
    }
}
