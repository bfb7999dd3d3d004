//! Counts and latencies of a run, overall and second by second.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;

use crate::limits::{LATENCY_DIGITS, LATENCY_US_MAX};
use crate::report::{Latency, Second};

/// What is counted and timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A report, or an echoed message, acknowledged.
    Report,
    /// Telemetry acknowledged.
    Telemetry,
    /// A session opened.
    Connect,
    /// A desired change written.
    Desired,
    /// A command answered.
    Command,
    /// A twin read.
    Read,
    /// A device's report acknowledged by a new owner, after the old one was lost.
    Failover,
    /// The same, after the old one has handed over.
    Handoff,
}

const KINDS: usize = 8;
/// Kinds that are timed over the whole run: what happens to a cluster does not wait for the measurement.
const WHOLE_RUN: [Kind; 2] = [Kind::Failover, Kind::Handoff];

pub(crate) struct Tally {
    inner: Mutex<Inner>,
    connected: AtomicU64,
}

struct Inner {
    measuring: bool,
    kinds: [Histogram<u64>; KINDS],
    /// What the timeline shows: reports, or what the run is about instead.
    shown: Kind,
    second: Histogram<u64>,
    timeline: Vec<Second>,
    errors: BTreeMap<String, u64>,
    retries: u64,
}

/// What a measurement has come to.
pub(crate) struct Counted {
    pub(crate) kinds: [(u64, Latency); KINDS],
    pub(crate) timeline: Vec<Second>,
}

impl Counted {
    pub(crate) fn of(&self, kind: Kind) -> (u64, Latency) {
        self.kinds[kind as usize]
    }
}

pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, LATENCY_DIGITS)
        .expect("constant bounds are valid")
}

pub(crate) fn latency(histogram: &Histogram<u64>) -> Latency {
    Latency {
        mean_us: histogram.mean(),
        p50_us: histogram.value_at_quantile(0.5),
        p90_us: histogram.value_at_quantile(0.9),
        p99_us: histogram.value_at_quantile(0.99),
        p999_us: histogram.value_at_quantile(0.999),
        max_us: histogram.max(),
    }
}

impl Tally {
    pub(crate) fn new(shown: Kind) -> Self {
        let inner = Inner {
            measuring: false,
            kinds: std::array::from_fn(|_| histogram()),
            shown,
            second: histogram(),
            timeline: Vec::new(),
            errors: BTreeMap::new(),
            retries: 0,
        };
        Self { inner: Mutex::new(inner), connected: AtomicU64::new(0) }
    }

    /// Something was done, in so many microseconds.
    pub(crate) fn done(&self, kind: Kind, us: u64) {
        let mut inner = self.lock();
        if inner.measuring || kind == Kind::Connect || WHOLE_RUN.contains(&kind) {
            inner.kinds[kind as usize].saturating_record(us);
        }
        if inner.shown == kind {
            inner.second.saturating_record(us);
        }
    }

    /// Something went wrong, whenever it was.
    pub(crate) fn error(&self, kind: &str) {
        let mut inner = self.lock();
        if let Some(count) = inner.errors.get_mut(kind) {
            *count += 1;
        } else {
            inner.errors.insert(kind.to_owned(), 1);
        }
    }

    pub(crate) fn connected(&self) {
        self.connected.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn connected_count(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }

    pub(crate) fn errors_count(&self) -> u64 {
        self.lock().errors.values().sum()
    }

    /// The measurement begins.
    pub(crate) fn begin(&self) {
        let mut inner = self.lock();
        inner.measuring = true;
        for (at, kind) in inner.kinds.iter_mut().enumerate() {
            if WHOLE_RUN.iter().all(|whole| *whole as usize != at) {
                kind.reset();
            }
        }
        inner.second.reset();
        inner.timeline.clear();
    }

    /// A second is over.
    pub(crate) fn tick(&self, elapsed_s: f64) -> Second {
        let mut inner = self.lock();
        let Latency { p50_us, p99_us, max_us, .. } = latency(&inner.second);
        let second =
            Second { at_s: 0.0, elapsed_s, done: inner.second.len(), p50_us, p99_us, max_us };
        inner.second.reset();
        if inner.measuring {
            let at_s = inner.timeline.last().map_or(0.0, |last| last.at_s) + elapsed_s;
            inner.timeline.push(Second { at_s, ..second });
        }
        second
    }

    /// The measurement is over.
    pub(crate) fn end(&self) -> Counted {
        let mut inner = self.lock();
        inner.measuring = false;
        let kinds = std::array::from_fn(|at| (inner.kinds[at].len(), latency(&inner.kinds[at])));
        Counted { kinds, timeline: inner.timeline.clone() }
    }

    /// All errors, once the run is over.
    pub(crate) fn errors(&self) -> BTreeMap<String, u64> {
        self.lock().errors.clone()
    }

    /// A call is made again, with the same key.
    pub(crate) fn retry(&self) {
        self.lock().retries += 1;
    }

    pub(crate) fn retries(&self) -> u64 {
        self.lock().retries
    }

    /// How connecting went, before the measurement begins.
    pub(crate) fn connects(&self) -> (u64, Latency) {
        self.so_far(Kind::Connect)
    }

    /// How something went so far.
    pub(crate) fn so_far(&self, kind: Kind) -> (u64, Latency) {
        let inner = self.lock();
        let done = &inner.kinds[kind as usize];
        (done.len(), latency(done))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
