//! A histogram of atomics: an observation is three relaxed additions and takes no lock.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Upper bounds in nanoseconds: 50 µs, half a disk sync, to 30 s, the longest call.
const SECONDS: &[u64] = &[
    50_000,
    100_000,
    200_000,
    300_000,
    500_000,
    700_000,
    1_000_000,
    1_500_000,
    2_000_000,
    3_000_000,
    5_000_000,
    7_000_000,
    10_000_000,
    15_000_000,
    20_000_000,
    30_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    3_000_000_000,
    10_000_000_000,
    30_000_000_000,
];

/// Upper bounds in bytes: from one small change to a full batch.
const BYTES: &[u64] = &[
    128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536, 131_072, 262_144, 524_288,
    1_048_576,
];

/// A distribution with fixed buckets. Clones share it.
#[derive(Clone)]
pub struct Histogram(Arc<Inner>);

struct Inner {
    bounds: &'static [u64],
    /// Raw units (nanoseconds, bytes) per base unit (second, byte).
    scale: f64,
    /// One more than bounds: the last takes what is above all.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// A copy of a histogram's counts, for quantiles of a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    bounds: &'static [u64],
    buckets: Vec<u64>,
}

impl Histogram {
    /// Of durations, shown in seconds.
    pub fn seconds() -> Self {
        Self::new(SECONDS, 1e9)
    }

    /// Of sizes in bytes.
    pub fn bytes() -> Self {
        Self::new(BYTES, 1.0)
    }

    fn new(bounds: &'static [u64], scale: f64) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Inner { bounds, scale, buckets, sum: AtomicU64::new(0) }))
    }

    /// Counts a duration (of a histogram made by [`Self::seconds`]).
    pub fn observe(&self, duration: Duration) {
        self.observe_raw(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Counts as many durations of about this length.
    pub fn observe_many(&self, duration: Duration, times: u64) {
        self.count_raw(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), times);
    }

    /// Counts a size (of a histogram made by [`Self::bytes`]).
    pub fn observe_bytes(&self, bytes: usize) {
        self.observe_raw(bytes as u64);
    }

    fn observe_raw(&self, raw: u64) {
        self.count_raw(raw, 1);
    }

    fn count_raw(&self, raw: u64, times: u64) {
        let index = self.0.bounds.partition_point(|bound| *bound < raw);
        self.0.buckets[index].fetch_add(times, Ordering::Relaxed);
        self.0.sum.fetch_add(raw.saturating_mul(times), Ordering::Relaxed);
    }

    /// A copy of the counts.
    pub fn counts(&self) -> Counts {
        let buckets = self.0.buckets.iter().map(|b| b.load(Ordering::Relaxed)).collect();
        Counts { bounds: self.0.bounds, buckets }
    }
}

impl Counts {
    /// What was counted since `earlier`, a copy of the same histogram.
    pub fn since(&self, earlier: &Self) -> Self {
        let at = |i: usize| earlier.buckets.get(i).copied().unwrap_or(0);
        let buckets =
            self.buckets.iter().enumerate().map(|(i, n)| n.saturating_sub(at(i))).collect();
        Self { bounds: self.bounds, buckets }
    }

    /// Each bucket's upper bound, in nanoseconds or bytes, and how many fell in it; the last has the largest.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let bounds = self.bounds.iter().copied().chain([u64::MAX]);
        bounds.zip(self.buckets.iter().copied())
    }

    /// How many observations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The `q`-quantile (0 to 1) in nanoseconds or bytes, by its place within its bucket; `None`
    /// without observations.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an estimate between two bounds, both far below 2^53"
    )]
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = q.clamp(0.0, 1.0) * count as f64;
        let mut below = 0.0;
        for (index, n) in self.buckets.iter().enumerate() {
            let n = *n as f64;
            if n > 0.0 && below + n >= rank {
                let last = self.bounds.last().copied().unwrap_or(0);
                let low = index.checked_sub(1).map_or(0, |i| self.bounds[i]);
                let high = self.bounds.get(index).copied().unwrap_or(last);
                let within = (rank - below) / n;
                return Some((low as f64 + (high.saturating_sub(low)) as f64 * within) as u64);
            }
            below += n;
        }
        self.bounds.last().copied()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Histogram").field(&self.counts().count()).finish()
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    #[expect(clippy::cast_precision_loss, reason = "what is printed is read by people and graphs")]
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let counts = self.counts();
        let bounds = self.0.bounds.iter().map(|b| *b as f64 / self.0.scale).chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(counts.buckets.iter().copied()).collect();
        let sum = self.0.sum.load(Ordering::Relaxed) as f64 / self.0.scale;
        encoder.encode_histogram::<NoLabelSet>(sum, counts.count(), &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_window() {
        let histogram = Histogram::seconds();
        histogram.observe(Duration::from_secs(9));
        let before = histogram.counts();
        for _ in 0..99 {
            histogram.observe(Duration::from_micros(150));
        }
        histogram.observe(Duration::from_millis(40));
        let window = histogram.counts().since(&before);
        assert_eq!(window.count(), 100);
        let p50 = window.quantile(0.5).unwrap();
        assert!((100_000..=200_000).contains(&p50), "{p50}");
        let p995 = window.quantile(0.995).unwrap();
        assert!((30_000_000..=50_000_000).contains(&p995), "{p995}");
        assert_eq!(Histogram::seconds().counts().quantile(0.5), None);
    }

    #[test]
    fn bounds_are_inclusive_and_the_last_is_open() {
        let histogram = Histogram::bytes();
        histogram.observe_bytes(128);
        histogram.observe_bytes(129);
        histogram.observe_bytes(usize::MAX);
        let counts = histogram.counts();
        assert_eq!((counts.buckets[0], counts.buckets[1]), (1, 1));
        assert_eq!(counts.buckets.last(), Some(&1));
    }
}
