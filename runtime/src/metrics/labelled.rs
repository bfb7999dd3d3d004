//! A metric with one label of fixed values: an array, so that no text from outside can add a line.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Where values land that are not in the set.
const OTHER: &str = "other";

/// One metric per value of a label; values outside the set count as `other`.
pub struct Labelled<M = Counter> {
    label: &'static str,
    values: &'static [&'static str],
    metrics: Arc<[M]>,
}

impl Labelled<Counter> {
    /// Counters at zero.
    pub fn new(label: &'static str, values: &'static [&'static str]) -> Self {
        Self::with(label, values, Counter::default)
    }
}

impl<M> Labelled<M> {
    /// Metrics made by `make`.
    pub fn with(
        label: &'static str,
        values: &'static [&'static str],
        make: impl Fn() -> M,
    ) -> Self {
        // One more than values: the last is `other`.
        Self { label, values, metrics: (0..=values.len()).map(|_| make()).collect() }
    }

    /// The metric of a value. A scan of a short list: keep a clone where even that is too much.
    pub fn of(&self, value: &str) -> &M {
        let index = self.values.iter().position(|v| *v == value).unwrap_or(self.values.len());
        &self.metrics[index]
    }

    /// Every value with its metric.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &M)> {
        self.values.iter().copied().chain([OTHER]).zip(self.metrics.iter())
    }
}

impl<M> Clone for Labelled<M> {
    fn clone(&self) -> Self {
        Self { label: self.label, values: self.values, metrics: Arc::clone(&self.metrics) }
    }
}

impl<M> fmt::Debug for Labelled<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Labelled").field("label", &self.label).finish_non_exhaustive()
    }
}

impl<M: EncodeMetric + TypedMetric> EncodeMetric for Labelled<M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (value, metric) in self.each() {
            metric.encode(encoder.encode_family(&[(self.label, value)])?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }
}
