//! So many writes in flight, and how long each takes.

use std::fmt;
use std::time::Duration;

use pollux_runtime::clock::Clock;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::failed;
use crate::exit::Failure;

/// Bytes of what is written.
pub(crate) const VALUE_BYTES: usize = 100;

/// Someone who writes one thing after the other.
pub(crate) trait Writer: Send + 'static {
    /// Writes once; acknowledged when it ends.
    fn write(&mut self) -> impl Future<Output = Result<(), Status>> + Send;
}

/// What is written: each time something else.
pub(crate) fn value(number: u64) -> String {
    format!("{number:0width$}", width = VALUE_BYTES)
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) per_s: f64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
}

impl Figures {
    pub(crate) fn json(self) -> Value {
        json!({"acked_per_s": self.per_s, "p50_us": self.p50_us, "p99_us": self.p99_us})
    }
}

impl fmt::Display for Figures {
    #[expect(clippy::cast_precision_loss, reason = "a text for people")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |us: u64| us as f64 / 1e3;
        let Self { per_s, p50_us, p99_us } = *self;
        write!(f, "{per_s:>8.0} acks/s  p50 {:>7.2} ms  p99 {:>7.2} ms", ms(p50_us), ms(p99_us))
    }
}

/// A channel to each.
pub(crate) async fn channels(
    urls: impl IntoIterator<Item = String>,
) -> Result<Vec<Channel>, Failure> {
    let mut channels = Vec::new();
    for url in urls {
        let endpoint = Endpoint::from_shared(url).map_err(|error| failed("dial", &error))?;
        channels.push(endpoint.connect_lazy());
    }
    Ok(channels)
}

/// Has all of them write until the time is over; what is acknowledged after the warm-up counts.
#[expect(clippy::cast_precision_loss, reason = "a rate")]
pub(crate) async fn measure<W: Writer>(
    writers: Vec<W>,
    warm_up: Duration,
    duration: Duration,
) -> Result<Figures, Failure> {
    let clock = Clock::new();
    let (begin, end) = (warm_up, warm_up + duration);
    let mut running = JoinSet::new();
    for mut writer in writers {
        running.spawn(async move {
            let mut laps = Vec::new();
            loop {
                let began = clock.elapsed();
                if began >= end {
                    return Ok::<_, Status>(laps);
                }
                writer.write().await?;
                let now = clock.elapsed();
                if (begin..end).contains(&now) {
                    let took = (now - began).as_micros();
                    laps.push(u64::try_from(took).unwrap_or(u64::MAX));
                }
            }
        });
    }
    let mut laps: Vec<u64> = Vec::new();
    while let Some(ended) = running.join_next().await {
        laps.extend(ended.map_err(|error| failed("write", &error))??);
    }
    laps.sort_unstable();
    let at = |part: usize| laps.get(laps.len() * part / 100).copied().unwrap_or_default();
    let per_s = laps.len() as f64 / duration.as_secs_f64();
    Ok(Figures { per_s, p50_us: at(50), p99_us: at(99) })
}
