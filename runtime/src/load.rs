//! What a node does, in the figures that people look at first. Owns which of its counts those are; a rate is
//! what two of them say that were taken one after the other.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::metrics::{Metrics, cpu_seconds, resident_bytes};

/// What a node does; counts since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeLoad {
    /// For how long it has run; 0 of a node that tells nothing of its load.
    pub uptime_ms: u64,
    /// Devices with an open session.
    pub devices: u64,
    /// Numbered frames of devices acknowledged as durable.
    pub acks: u64,
    /// Of those, how many took up to each bound, in microseconds; the last bound has none above.
    pub acks_within_us: Vec<(u64, u64)>,
    /// Calls of services, however they ended.
    pub calls: u64,
    /// Batches of changes committed.
    pub batches: u64,
    /// Open watches.
    pub watches: u64,
    /// Requests refused for want of room.
    pub overloads: u64,
    /// Processor time of its process; 0 where the system does not tell.
    pub cpu_ms: u64,
    /// Memory of its process that is in RAM; 0 where the system does not tell.
    pub resident_bytes: u64,
    /// When it read the keys of the issuer of signed tokens last, in milliseconds since 1970; 0: it has none.
    pub issuer_keys_at_ms: u64,
    /// Its busiest twins lately, with their messages a second.
    pub hot: Vec<(String, u64)>,
}

impl NodeLoad {
    /// As these metrics say, of a process that has run for this long.
    pub(crate) fn of(metrics: &Metrics, uptime: Duration) -> Self {
        let there = |gauge: i64| u64::try_from(gauge).unwrap_or(0);
        let hot = metrics.hot_twin_messages_per_second.top();
        let acks = metrics.ack_seconds.counts();
        Self {
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
            devices: there(metrics.devices_connected.get()),
            acks: metrics.acks_total.get(),
            acks_within_us: acks.buckets().map(|(ns, count)| (ns / 1000, count)).collect(),
            calls: metrics.calls_total.all(),
            batches: metrics.batches_total.get(),
            watches: there(metrics.watchers.get()),
            overloads: metrics.overloads_total.get(),
            cpu_ms: cpu_seconds().map_or(0, |seconds| whole(seconds * 1000.0)),
            resident_bytes: there(resident_bytes().unwrap_or(0)),
            issuer_keys_at_ms: there(metrics.issuer_keys_timestamp_seconds.get()) * 1000,
            hot: hot.into_iter().map(|hot| (hot.key.to_string(), whole(hot.per_second))).collect(),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what fits before"
)]
fn whole(number: f64) -> u64 {
    number.clamp(0.0, 1e15).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_are_those_of_the_metrics() {
        let metrics = Metrics::new();
        metrics.devices_connected.set(3);
        metrics.acks_total.inc_by(5);
        metrics.ack_seconds.observe_many(Duration::from_micros(700), 5);
        metrics.calls_total.record(
            crate::metrics::Door::Http,
            crate::metrics::Method::TwinsGet,
            "ok",
        );
        let load = NodeLoad::of(&metrics, Duration::from_secs(2));
        assert_eq!((load.uptime_ms, load.devices, load.acks, load.calls), (2000, 3, 5, 1));
        let counted: Vec<_> = load.acks_within_us.iter().filter(|(_, n)| *n > 0).collect();
        assert!(matches!(counted[..], [(us, 5)] if (700..=1000).contains(us)), "{counted:?}");
        assert!(load.resident_bytes > 0);
        let old: NodeLoad = serde_json::from_str("{}").unwrap();
        assert_eq!(old, NodeLoad::default());
    }
}
