//! Bounds of jobs, each with its reason.

use std::time::Duration;

use pollux_twin::limits::{COMMAND_DEADLINE_MS_MAX, KEY_WINDOW_MS};

/// Devices of one job: what is known of each while it is under way takes some hundred bytes.
pub(crate) const DEVICES_MAX: usize = 1_000_000;
/// Devices that a selector may name one by one: they are kept in the job's own twin.
pub(crate) const NAMED_MAX: usize = 1_000;
/// Bytes of what a job is about, as JSON: beside it the twin has some hundred bytes more, of 64 KiB.
pub(crate) const SPEC_BYTES_MAX: usize = 48 * 1024;
/// Jobs of a tenant: a year of one a day and some, and what all nodes look through now and then.
pub(crate) const JOBS_MAX: usize = 1_000;
/// Devices of a part: written as a whole whenever some of them moved on, about 10 KiB.
pub(crate) const PART_DEVICES_MAX: usize = 250;
/// Bytes of the names in a part: half of what a section holds.
pub(crate) const PART_BYTES_MAX: usize = 32 * 1024;
/// Bytes of the reason that is kept for a device: with all the rest of a full part below a section's bound.
pub(crate) const REASON_BYTES_MAX: usize = 120;
/// Devices whose calls are made at once: as many as an import's, which fill batches of all shards.
pub(crate) const CALLS_MAX: usize = 1_024;
/// Devices whose calls are made or were taken just now, without a word of them so far: very many that are begun with
/// before the first have answered keep nodes and devices from doing so, and would all be looked at.
pub(crate) const YOUNG_MAX: usize = 4_096;
/// Fewer than this are begun with only if there are no more: each beginning is a write of its part.
pub(crate) const CALLS_CHUNK: usize = 128;
/// Parts read or listed at once.
pub(crate) const PARTS_AT_ONCE: usize = 16;
/// Looks in a row that see nothing before a job that ends goes on without: some minutes without its shard.
pub(crate) const UNSEEN_MAX: u32 = 10;
/// Jobs that a node carries out at once, those that are paused among them: each hears of all of its tenant.
pub(crate) const JOBS_AT_ONCE: usize = 128;
/// Parts that are read for a page of devices in one state: the page may be short.
pub(crate) const PARTS_READ_MAX: u32 = 64;
/// Looks at devices that are made at once.
pub(crate) const LOOKS_MAX: usize = 256;
/// News of devices that wait for a job: what a moment's batches bring.
pub(crate) const NEWS_MAX: usize = 1_024;
/// How long the ends of devices may wait to be written: they are known from the twins until then.
pub(crate) const FLUSH_MS: u64 = 250;
/// For how long after a device was marked its call may be made again: its twin knows the key for twice as long and
/// more, even if its shard's time runs at twice the speed, and clocks of owners differ by seconds at most.
pub(crate) const RESEND_MS: u64 = 2 * 60 * 1000;
const _: () = assert!(RESEND_MS * 2 < KEY_WINDOW_MS, "a key outlives its repetitions");
/// How soon a call is made again that had no effect, or of which that is not known.
pub(crate) const RESEND_AFTER_MS: u64 = 500;
/// When a device is looked at that nothing was heard of: its word may have come before the call's answer. Until then it
/// is [young](YOUNG_MAX), so a job goes on with this many a second where none answers.
pub(crate) const LOOK_FIRST_MS: u64 = 1_000;
/// By how much the next look is later.
pub(crate) const LOOK_TIMES: u64 = 8;
/// The longest between two looks: what a watch tells in time anyway.
pub(crate) const LOOK_MS_MAX: u64 = 10 * 60 * 1000;
/// How often a device is looked at once its time is over.
pub(crate) const LOOK_LATE_MS: u64 = 2_000;
/// How long after its deadline a command's end is waited for, which its twin decides by its own time.
pub(crate) const COMMAND_GRACE_MS: u64 = 60_000;
/// Devices that must be over before the share of those that failed says something.
pub(crate) const JUDGED_FROM: u64 = 20;
/// The longest that an attempt may take: a command's longest life.
pub(crate) const TIMEOUT_MS_MAX: u64 = COMMAND_DEADLINE_MS_MAX;
/// The shortest: a device that is there answers in less.
pub(crate) const TIMEOUT_MS_MIN: u64 = 1_000;
/// How long an attempt may take, if nothing is said.
pub(crate) const TIMEOUT_MS: u64 = 3600 * 1000;
/// Repetitions for one device.
pub(crate) const RETRIES_MAX: u32 = 10;
/// How long is waited before one, if nothing is said.
pub(crate) const RETRY_AFTER_MS: u64 = 10_000;
/// The longest that can be said: a day.
pub(crate) const RETRY_AFTER_MS_MAX: u64 = 24 * 3600 * 1000;
/// Devices a second that can be asked for: beyond it a rate is none.
pub(crate) const RATE_MAX: u32 = 100_000;
/// How far ahead a start may be: a year.
pub(crate) const START_MS_MAX: u64 = 366 * 24 * 3600 * 1000;
/// How long a job is kept once it is over, if nothing is said: a week.
pub(crate) const KEEP_MS: u64 = 7 * 24 * 3600 * 1000;
/// The longest that can be said: a year.
pub(crate) const KEEP_MS_MAX: u64 = 366 * 24 * 3600 * 1000;
/// How often the shards that are owned here are looked through for jobs, and a job for what is wished of it.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Jobs of one shard that are looked through: those of a hundred tenants that have all they may.
pub(crate) const SEEN_MAX: usize = 100 * JOBS_MAX;
/// How often jobs that are over are looked at: whether their time is over, too.
pub(crate) const OVER_LOOK: Duration = Duration::from_secs(10);
/// How often a job writes down how far it is: what people and programs see.
pub(crate) const TOLD_EVERY: Duration = Duration::from_millis(500);
/// How long a call to a twin may take.
pub(crate) const CALL_TIME_MAX: Duration = Duration::from_secs(30);
/// How long after a failure a job is begun again from what was written: an election.
pub(crate) const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often something is read and written again when others write it at the same moment.
pub(crate) const TRIES: usize = 10;
/// Where in desired an artifact is named, if nothing else is said.
pub(crate) const ARTIFACT_AT: &str = "firmware";
/// How deep in desired one may be named.
pub(crate) const ARTIFACT_AT_PARTS_MAX: usize = 4;
/// Bytes of each name on the way there.
pub(crate) const ARTIFACT_AT_PART_MAX: usize = 64;
