//! Bounds of the simulator, each with its reason.

use std::time::Duration;

/// Devices of one run: what the memory of a large machine holds.
pub const DEVICES_MAX: u32 = 1_000_000;
/// Connections being made at once when no rate is given: enough to keep the node busy, few enough
/// that none waits long for its handshake.
pub const CONNECTING_MAX: usize = 128;
/// Steps of a device's history kept for the case that something is wrong.
pub const HISTORY_LEN_MAX: usize = 48;
/// Devices whose history is printed: more would bury the first.
pub const HISTORIES_MAX: usize = 5;
/// Longest latency that the histograms tell apart, in microseconds.
pub const LATENCY_US_MAX: u64 = 120_000_000;
/// Significant digits of the histograms.
pub const LATENCY_DIGITS: u8 = 3;
/// Services that write desired, each with its own devices.
pub const CALLERS: usize = 8;
/// Reads under way at once while a run is verified.
pub const READING_MAX: usize = 32;
/// A call of a service that has no answer by then is made again with the same key.
pub const CALL_MS: u64 = 5_000;
/// How often a call is made again before its outcome counts as unknown.
pub const CALLS_MAX: u32 = 12;
/// How long a device's command may take.
pub const COMMAND_MS: u64 = 5_000;
/// What is still unacknowledged this long after the load has ended counts as lost.
pub const DRAIN_MS: u64 = 30_000;
/// How long all devices together may take to connect before the run is given up, beyond the time
/// that the connect rate asks for.
pub const CONNECT_MS: u64 = 60_000;
/// Bytes of one simulated report.
pub const REPORT_BYTES_MAX: usize = 60_000;
/// The pacer's step: at most so many reports a millisecond are late by so much.
pub const PACE_MS: u64 = 1;
/// Messages that a device of a paced load may have waiting before reports are skipped and counted.
pub const QUEUE_LEN_MAX: usize = 256;
/// Moments of a timeline that wait to be read: several of each device of a large demonstration.
pub const TIMELINE_LEN_MAX: usize = 65_536;
/// How often a command whose answer was lost is read until it is over.
pub const COMMAND_READ_MS: u64 = 100;
/// Points of a plot: more cannot be told apart on a screen.
pub const PLOT_POINTS_MAX: usize = 600;
/// Buffers asked of the kernel for the echo server's socket: as a node does.
pub const ECHO_SOCKET_BYTES: usize = 4 * 1024 * 1024;
/// How long a device that comes and goes tries before it counts as failed.
pub const COME_AND_GO_MS: u64 = 15_000;
/// Steps of a script of faults: an hour of one each two seconds.
pub const SCRIPT_STEPS_MAX: usize = 2_000;
/// Longest time in a script: a day.
pub const SCRIPT_TIME_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Devices that share a socket: what comes in at one, one task reads, and its buffer holds what that many answer at once.
pub const SOCKET_DEVICES_MAX: u32 = 4_096;
