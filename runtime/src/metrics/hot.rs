//! Which twins are busiest: a small sketch fed by a sample of the messages, shown by rank, so that
//! the number of lines is fixed however many twins there are.
//!
//! The sketch is Space-Saving (Metwally, Agrawal, El Abbadi 2005): a twin with more than
//! 1/[`TRACKED`] of the sampled messages is always in it.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pollux_twin::TwinKey;
use prometheus_client::encoding::{EncodeGaugeValue, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;

/// Ranks shown: enough to name the culprits, few enough for any dashboard.
const RANKS: usize = 10;
/// Twins tracked at a time: several times the ranks, so that the tail does not push out the top.
const TRACKED: usize = 64;
/// One message in so many is looked at: the cost is spread to a few nanoseconds each.
const SAMPLE: u32 = 16;

/// The busiest twins of the last window. Clones share it.
#[derive(Clone, Default)]
pub struct HotTwins(Arc<Inner>);

#[derive(Default)]
struct Inner {
    seen: AtomicU32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tracked: Vec<(TwinKey, u64)>,
    top: Vec<HotTwin>,
}

/// A twin and how busy it was.
#[derive(Clone, Debug, PartialEq)]
pub struct HotTwin {
    /// Which.
    pub key: TwinKey,
    /// Messages per second, from the sample.
    pub per_second: f64,
}

impl HotTwins {
    /// Notes a message of a twin. Never waits: where another thread is at it, the note is lost.
    pub fn note(&self, key: &TwinKey) {
        if !self.0.seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(SAMPLE) {
            return;
        }
        if let Ok(mut state) = self.0.state.try_lock() {
            state.note(key);
        }
    }

    /// Ends a window of this length: its top becomes what is shown.
    pub fn roll(&self, window: Duration) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).roll(window);
    }

    /// The top of the last window, busiest first.
    pub fn top(&self) -> Vec<HotTwin> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).top.clone()
    }
}

impl State {
    fn note(&mut self, key: &TwinKey) {
        if let Some((_, count)) = self.tracked.iter_mut().find(|(tracked, _)| tracked == key) {
            *count += 1;
        } else if self.tracked.len() < TRACKED {
            self.tracked.push((key.clone(), 1));
        } else if let Some(least) = self.tracked.iter_mut().min_by_key(|(_, count)| *count) {
            *least = (key.clone(), least.1 + 1);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate for people and graphs")]
    fn roll(&mut self, window: Duration) {
        let seconds = window.as_secs_f64().max(f64::EPSILON);
        self.tracked.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        self.top = self
            .tracked
            .drain(..)
            .take(RANKS)
            .map(|(key, n)| HotTwin { key, per_second: n as f64 * f64::from(SAMPLE) / seconds })
            .collect();
    }
}

impl fmt::Debug for HotTwins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HotTwins")
    }
}

impl EncodeMetric for HotTwins {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (index, twin) in self.top().iter().enumerate() {
            let rank = (index + 1).to_string();
            let labels = [("rank", rank.as_str()), ("twin", twin.key.as_str())];
            encoder.encode_family(&labels)?.encode_gauge(&Rate(twin.per_second))?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

#[derive(Debug)]
struct Rate(f64);

impl EncodeGaugeValue for Rate {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::GaugeValueEncoder<'_>,
    ) -> fmt::Result {
        self.0.encode(encoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_hot_one_among_many() {
        let hot = HotTwins::default();
        for n in 0..10_000_u32 {
            // The sample must not fall into step with the pattern: 17 is prime to 16.
            let device = if n % 17 < 9 { "hot".to_owned() } else { format!("d{n}") };
            hot.note(&TwinKey::parse(&device).unwrap());
        }
        hot.roll(Duration::from_secs(10));
        let top = hot.top();
        assert_eq!(top.len(), RANKS);
        assert_eq!(top[0].key.as_str(), "default/hot");
        assert!((400.0..700.0).contains(&top[0].per_second), "{:?}", top[0]);
        hot.roll(Duration::from_secs(10));
        assert!(hot.top().is_empty(), "a quiet window has no hot twin");
    }
}
