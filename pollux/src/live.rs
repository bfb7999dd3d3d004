//! The live line of `dev`: what nodes count, read from their metrics as anybody could, and what happened in
//! the second since.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// What nodes have counted so far, all together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    devices: u64,
    acks: u64,
    commits: u64,
    rss_bytes: u64,
    /// Acknowledgements that took at most so many nanoseconds, by that bound; the last has none.
    ack_within: BTreeMap<u64, u64>,
}

impl Sample {
    /// What the text of a node's metrics says.
    pub(crate) fn read(text: &str) -> Self {
        let mut sample = Self::default();
        for line in text.lines() {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let count = whole(value);
            match name {
                "pollux_devices_connected" => sample.devices = count,
                "pollux_acks_total" => sample.acks = count,
                "pollux_batches_total" => sample.commits = count,
                "process_resident_memory_bytes" | "pollux_process_resident_memory_bytes" => {
                    sample.rss_bytes = count;
                }
                _ => {
                    if let Some(bound) = bucket(name, "pollux_ack_seconds_bucket") {
                        sample.ack_within.insert(bound, count);
                    }
                }
            }
        }
        sample
    }

    /// Both together.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.devices += other.devices;
        self.acks += other.acks;
        self.commits += other.commits;
        self.rss_bytes += other.rss_bytes;
        for (bound, count) in &other.ack_within {
            *self.ack_within.entry(*bound).or_default() += count;
        }
        self
    }

    /// What happened since `before`, and how it is now. A node that was restarted begins at nothing.
    pub(crate) fn since(&self, before: &Self) -> Value {
        let earlier = |bound: &u64| before.ack_within.get(bound).copied().unwrap_or(0);
        let within = self.ack_within.iter().map(|(b, n)| (*b, n.saturating_sub(earlier(b))));
        let within: Vec<_> = within.collect();
        json!({
            "devices_connected": self.devices,
            "acked_per_s": self.acks.saturating_sub(before.acks),
            "ack_p50_us": quantile(&within, 50).map(|ns| ns / 1000),
            "ack_p99_us": quantile(&within, 99).map(|ns| ns / 1000),
            "commits_per_s": self.commits.saturating_sub(before.commits),
            "rss_bytes": self.rss_bytes,
        })
    }
}

/// The whole part of a number; what is none counts as nothing.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what fits before"
)]
fn whole(text: &str) -> u64 {
    text.parse::<f64>().map_or(0, |number| number.clamp(0.0, 1e18) as u64)
}

/// The bound of a histogram's bucket in nanoseconds, if the name is of one.
fn bucket(name: &str, histogram: &str) -> Option<u64> {
    let bound = name.strip_prefix(histogram)?.strip_prefix("{le=\"")?.strip_suffix("\"}")?;
    if bound == "+Inf" {
        return Some(u64::MAX);
    }
    bound.parse::<f64>().ok().map(|seconds| whole(&(seconds * 1e9).to_string()))
}

/// The quantile of counts that are each of all up to a bound, by its place within its bucket.
fn quantile(within: &[(u64, u64)], percent: u64) -> Option<u64> {
    let all = within.last().map(|(_, count)| *count).filter(|count| *count > 0)?;
    let rank = (all * percent).div_ceil(100).max(1);
    let at = within.iter().position(|(_, count)| *count >= rank)?;
    let (low, below) = at.checked_sub(1).map_or((0, 0), |before| within[before]);
    let (high, upto) = within[at];
    let high = if high == u64::MAX { low } else { high };
    let room = u128::from(high - low) * u128::from(rank - below) / u128::from(upto - below);
    Some(low + u64::try_from(room).unwrap_or(0))
}

/// The line for people.
pub(crate) fn line(sample: &Value) -> String {
    let ms = |name: &str| match sample[name].as_u64() {
        Some(us) => format!("{}.{:02} ms", us / 1000, us % 1000 / 10),
        None => "-".into(),
    };
    format!(
        "{} devices | {} acked reports/s | ack p50 {} p99 {} | {} commits/s | {} MiB",
        sample["devices_connected"],
        sample["acked_per_s"],
        ms("ack_p50_us"),
        ms("ack_p99_us"),
        sample["commits_per_s"],
        sample["rss_bytes"].as_u64().unwrap_or(0) / (1024 * 1024),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pollux_runtime::metrics::Metrics;

    use super::*;

    fn counted(metrics: &Metrics) -> Sample {
        Sample::read(&metrics.encode())
    }

    #[test]
    fn what_a_node_counts_is_read_back() {
        let (a, b) = (Metrics::new(), Metrics::new());
        let before = counted(&a).and(&counted(&b));
        a.devices_connected.set(3);
        b.devices_connected.set(4);
        for _ in 0..98 {
            a.acks_total.inc();
            a.ack_seconds.observe(Duration::from_micros(150));
        }
        for _ in 0..2 {
            b.acks_total.inc();
            b.ack_seconds.observe(Duration::from_millis(40));
        }
        b.batches_total.inc_by(7);
        let since = counted(&a).and(&counted(&b)).since(&before);
        assert_eq!(since["devices_connected"], 7);
        assert_eq!(since["acked_per_s"], 100);
        assert_eq!(since["commits_per_s"], 7);
        let us = |name: &str| since[name].as_u64().unwrap();
        assert!((100..=200).contains(&us("ack_p50_us")), "{since}");
        assert!((30_000..=50_000).contains(&us("ack_p99_us")), "{since}");
        assert!(us("rss_bytes") > 0, "{since}");
        assert!(line(&since).starts_with("7 devices | 100 acked"), "{}", line(&since));
    }

    #[test]
    fn a_second_without_acknowledgements_has_no_latency() {
        let metrics = Metrics::new();
        let since = counted(&metrics).since(&counted(&metrics));
        assert_eq!(since["ack_p50_us"], Value::Null);
        assert_eq!(quantile(&[(100, 0), (u64::MAX, 5)], 50), Some(100), "above all bounds");
    }
}
