//! What a run has shown: the report, as JSON by serde and as text. The page is in `html`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Latencies in microseconds; all zero if nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Mean.
    pub mean_us: f64,
    /// Median.
    pub p50_us: u64,
    /// 90th percentile.
    pub p90_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// 99.9th percentile.
    pub p999_us: u64,
    /// Longest.
    pub max_us: u64,
}

/// One second of the measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Its end, in seconds from the beginning of the measurement.
    pub at_s: f64,
    /// How long it was.
    pub elapsed_s: f64,
    /// Reports acknowledged (or what the run is about instead).
    pub done: u64,
    /// Median.
    pub p50_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// Longest.
    pub max_us: u64,
}

/// Something that was done: how often and in what time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// How often.
    pub count: u64,
    /// How often a second.
    pub per_s: f64,
    /// In what time.
    pub latency: Latency,
}

/// The report of a run. Field names are stable: scripts rely on them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// What was run, in words.
    pub run: String,
    /// Devices.
    pub devices: u32,
    /// Seed.
    pub seed: u64,
    /// Length of the measurement.
    pub duration_s: f64,
    /// Bytes of one report as a frame on the stream, and of its acknowledgement.
    pub report_frame_bytes: u64,
    /// Bytes of one acknowledgement as a frame on the stream.
    pub ack_frame_bytes: u64,

    /// Reports acknowledged within the measurement.
    pub acked: u64,
    /// The same, a second.
    pub acked_per_s: f64,
    /// Median time from sending a report to its acknowledgement.
    pub ack_p50_us: u64,
    /// 90th percentile.
    pub ack_p90_us: u64,
    /// 99th percentile.
    pub ack_p99_us: u64,
    /// 99.9th percentile.
    pub ack_p999_us: u64,
    /// Longest.
    pub ack_max_us: u64,

    /// Sessions opened, while connecting or, in a run about connecting, within the measurement.
    pub connects: u64,
    /// The same, a second.
    pub connects_per_s: f64,
    /// From dialling to the welcome.
    pub connect_latency: Latency,
    /// Sessions of all devices, over the whole run.
    pub sessions: u64,
    /// Sessions lost or left, over the whole run.
    pub losses: u64,

    /// Connections that devices began, over the whole run.
    pub dials: u64,
    /// Connections begun beyond the first of each device: redirects, races, moves and returns.
    pub redials: u64,
    /// Redirects that devices followed.
    pub redirects: u64,
    /// Moves of their shard that devices followed.
    pub moves: u64,
    /// Times that a device found its owner silent for too long.
    pub silences: u64,
    /// Devices that lost their owner and had a report acknowledged by another, over the whole run.
    pub failovers: u64,
    /// Median time from the last that was heard of the lost owner to that acknowledgement.
    pub failover_p50_us: u64,
    /// 99th percentile.
    pub failover_p99_us: u64,
    /// Longest.
    pub failover_max_us: u64,
    /// Devices whose owner handed them over to another, over the whole run.
    pub handoffs: u64,
    /// Median time from the hand-over to the first acknowledgement of the new owner.
    pub handoff_p50_us: u64,
    /// 99th percentile.
    pub handoff_p99_us: u64,
    /// Longest.
    pub handoff_max_us: u64,

    /// Longest that each device waited for the acknowledgement of a report, over the whole run: the median
    /// device.
    pub pause_p50_us: u64,
    /// The same of the device that is worse off than 99 in 100.
    pub pause_p99_us: u64,
    /// The same of the one that is worst off.
    pub pause_max_us: u64,

    /// Acknowledged and not there at the end. 0 unless verified.
    pub lost: u64,
    /// Applied more than once.
    pub doubled: u64,
    /// Versions that went back, and desired sections that did not arrive.
    pub went_back: u64,
    /// Whether it was read back at the end.
    pub verified: bool,
    /// What went wrong, all together.
    pub errors: u64,
    /// What went wrong, by kind.
    pub errors_by_kind: BTreeMap<String, u64>,
    /// Histories of devices for which something was lost, doubled or went back.
    pub histories: Vec<String>,

    /// CPU seconds of the server process within the measurement.
    pub server_cpu_s: Option<f64>,
    /// Resident bytes of the server process at the end of the measurement.
    pub server_rss_bytes: Option<u64>,
    /// Resident bytes before the first device connected.
    pub server_rss_start_bytes: Option<u64>,
    /// What each device added to them.
    pub server_rss_per_device_bytes: Option<f64>,
    /// Reports acknowledged for each CPU second of the server.
    pub acked_per_server_cpu_s: Option<f64>,
    /// CPU seconds of the server process for the sessions in `connects`.
    pub connects_server_cpu_s: Option<f64>,
    /// Sessions opened for each CPU second of the server.
    pub connects_per_server_cpu_s: Option<f64>,
    /// Twins read for each CPU second of the server.
    pub reads_per_server_cpu_s: Option<f64>,
    /// CPU seconds of the simulator itself within the measurement.
    pub simulator_cpu_s: Option<f64>,
    /// Resident bytes of the simulator itself at the end of the measurement.
    pub simulator_rss_bytes: Option<u64>,

    /// Durable telemetry.
    pub telemetry: Done,
    /// Datagrams sent.
    pub volatile_sent: u64,
    /// Desired changes by services.
    pub desired: Done,
    /// Commands by services, answered by devices.
    pub commands: Done,
    /// Twins read by services.
    pub reads: Done,
    /// Calls of services that were made again, with the same key, perhaps to another node.
    pub retries: u64,
    /// The measurement, second by second.
    pub timeline: Vec<Second>,
}

impl Report {
    /// Whether something was lost, doubled or went back: the run has failed.
    pub fn failed(&self) -> bool {
        self.lost + self.doubled + self.went_back > 0
    }

    /// As JSON, in one line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a report has nothing that JSON cannot hold")
    }
}

fn optional<T: fmt::Display>(value: Option<T>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| value.to_string())
}

fn rounded(value: Option<f64>) -> String {
    optional(value.map(|value| format!("{value:.1}")))
}

impl Report {
    /// How devices have found their way from owner to owner, if they had to.
    fn fmt_ways(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.failovers > 0 {
            let (p50_us, p99_us) = (self.failover_p50_us, self.failover_p99_us);
            let (count, max_us) = (self.failovers, self.failover_max_us);
            writeln!(f, "  failovers   {count}; p50 {p50_us} p99 {p99_us} max {max_us} us")?;
        }
        if self.handoffs > 0 {
            let (p50_us, p99_us) = (self.handoff_p50_us, self.handoff_p99_us);
            let (count, max_us) = (self.handoffs, self.handoff_max_us);
            writeln!(f, "  handoffs    {count}; p50 {p50_us} p99 {p99_us} max {max_us} us")?;
        }
        if self.redirects + self.moves + self.silences > 0 {
            writeln!(
                f,
                "  ways        {} dials, {} redirects, {} moves, {} silences",
                self.dials, self.redirects, self.moves, self.silences
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} devices, seed {}, {:.1} s",
            self.run, self.devices, self.seed, self.duration_s
        )?;
        writeln!(
            f,
            "  reports     {} acknowledged, {:.0}/s; p50 {} p90 {} p99 {} p99.9 {} max {} us",
            self.acked,
            self.acked_per_s,
            self.ack_p50_us,
            self.ack_p90_us,
            self.ack_p99_us,
            self.ack_p999_us,
            self.ack_max_us
        )?;
        writeln!(
            f,
            "  connects    {}, {:.0}/s; p50 {} p99 {} us; {} sessions, {} lost or left",
            self.connects,
            self.connects_per_s,
            self.connect_latency.p50_us,
            self.connect_latency.p99_us,
            self.sessions,
            self.losses
        )?;
        self.fmt_ways(f)?;
        for (name, done) in [
            ("telemetry", &self.telemetry),
            ("desired", &self.desired),
            ("commands", &self.commands),
            ("reads", &self.reads),
        ] {
            if done.count > 0 {
                let Latency { p50_us, p99_us, max_us, .. } = done.latency;
                writeln!(
                    f,
                    "  {name:<11} {}, {:.0}/s; p50 {p50_us} p99 {p99_us} max {max_us} us",
                    done.count, done.per_s
                )?;
            }
        }
        writeln!(
            f,
            "  server      {} CPU s, {} bytes resident ({} per device); per CPU s: {} reports, \
             {} connects, {} reads",
            rounded(self.server_cpu_s),
            optional(self.server_rss_bytes),
            rounded(self.server_rss_per_device_bytes),
            rounded(self.acked_per_server_cpu_s),
            rounded(self.connects_per_server_cpu_s),
            rounded(self.reads_per_server_cpu_s)
        )?;
        write!(f, "  errors      {}", self.errors)?;
        for (kind, count) in &self.errors_by_kind {
            write!(f, "; {kind} {count}")?;
        }
        let checked = if self.verified { "verified" } else { "not verified" };
        write!(
            f,
            "\n  {checked}: {} lost, {} doubled, {} went back",
            self.lost, self.doubled, self.went_back
        )?;
        for history in &self.histories {
            write!(f, "\n{history}")?;
        }
        Ok(())
    }
}

/// How far a run is, once a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// What it is at.
    pub phase: Phase,
    /// Seconds since the run began.
    pub at_s: f64,
    /// Devices that got their first session.
    pub connected: u64,
    /// Devices of the run.
    pub devices: u32,
    /// The last second.
    pub second: Second,
    /// Errors so far.
    pub errors: u64,
}

/// The phases of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Devices connect.
    Connecting,
    /// Load, not yet measured.
    WarmUp,
    /// Load, measured.
    Measuring,
    /// The last acknowledgements come in.
    Draining,
    /// All is read back.
    Verifying,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.phase {
            Phase::Connecting => "connecting",
            Phase::WarmUp => "warm-up",
            Phase::Measuring => "measuring",
            Phase::Draining => "draining",
            Phase::Verifying => "verifying",
        };
        let Second { elapsed_s, done, p50_us, p99_us, .. } = self.second;
        let per_s = done as f64 / elapsed_s.max(0.001);
        write!(
            f,
            "{:>6.1} s  {phase:<10}  {}/{} devices  {per_s:>8.0}/s  p50 {p50_us} us  p99 {p99_us} us  {} errors",
            self.at_s, self.connected, self.devices, self.errors
        )
    }
}
