//! Flags of the verbs about jobs.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::duration;
use super::services::{NamedFlags, TenantFlags};

/// Verbs about jobs.
#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Make a job: set tags or desired of many devices, send each a command, or have it come for an artifact. Safe to repeat.
    #[command(after_help = "Examples:
  pollux job create faster --prefix pump- --desired '{\"interval_s\":10}' --wait
  pollux job create north --filter 'tags.site == \"north\"' --tags '{\"team\":\"blue\"}'
  pollux job create reboot --device pump-1 --device pump-2 --command reboot --attempt-timeout 1m
  pollux job create fw-2.1 --filter 'tags.model == \"p7\"' --artifact pump-fw@2.1.0 --canary 10 --abort-above 5
  pollux job create rollout --prefix '' --desired '{\"mode\":\"eco\"}' --canary 10 --batch 500 \\
      --rate 200 --abort-above 5 --start-at 2030-01-31T03:00:00Z
Where a job stops by itself (--abort-above), devices that failed and those of which nobody knows count.")]
    Create(Box<CreateJobArgs>),
    /// List jobs, with how far they are.
    #[command(after_help = "Example:\n  pollux job list --limit 20")]
    List {
        /// Whose, and how to reach a node.
        #[command(flatten)]
        of: TenantFlags,
        /// At most so many, 1 to 1,000; without it all.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        limit: Option<u32>,
        /// Go on after an answer: the cursor that it printed.
        #[arg(long, default_value = "")]
        cursor: String,
    },
    /// Print a job.
    Get {
        /// Which, and how to reach a node.
        #[command(flatten)]
        named: NamedFlags,
        /// Stay until it is over, and show how far it is.
        #[arg(long)]
        wait: bool,
    },
    /// List a job's devices, with where each stands.
    #[command(after_help = "Examples:
  pollux job devices rollout --state failed
  pollux job devices rollout --limit 100000 --output json")]
    Devices(JobDevicesArgs),
    /// Begin with no further device for now; those under way go on.
    Pause(NamedFlags),
    /// Go on with a paused job.
    Resume(NamedFlags),
    /// Begin with no further device for good; commands that wait for their device are withdrawn.
    Cancel(NamedFlags),
    /// Forget a job that is over.
    Delete(NamedFlags),
}

/// When a device is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AwaitName {
    /// Once it acknowledged what it should be.
    Applied,
    /// Once that is written.
    Written,
}

/// Flags of `job create`.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("whose").required(true).multiple(true).args(["prefix", "filter", "devices"]))]
#[command(group = ArgGroup::new("action").required(true).args(["tags", "desired", "command", "artifact"]))]
pub(crate) struct CreateJobArgs {
    /// Which, and how to reach a node.
    #[command(flatten)]
    pub(crate) named: NamedFlags,
    /// Devices whose name begins so; an empty one is the whole tenant.
    #[arg(long)]
    pub(crate) prefix: Option<String>,
    /// Only devices for which it holds (see docs/query.md).
    #[arg(long)]
    pub(crate) filter: Option<String>,
    /// This device; may be given several times.
    #[arg(long = "device", value_name = "DEVICE", conflicts_with_all = ["prefix", "filter"])]
    pub(crate) devices: Vec<String>,
    /// Merge into the tags of each; - for standard input.
    #[arg(long, value_name = "JSON")]
    pub(crate) tags: Option<String>,
    /// Merge into the desired of each; - for standard input.
    #[arg(long, value_name = "JSON")]
    pub(crate) desired: Option<String>,
    /// Send each this command.
    #[arg(long, value_name = "NAME")]
    pub(crate) command: Option<String>,
    /// Its arguments; - for standard input.
    #[arg(long, value_name = "JSON", requires = "command")]
    pub(crate) payload: Option<String>,
    /// Not to devices that are offline; without it, the command waits for them.
    #[arg(long, requires = "command")]
    pub(crate) connected_only: bool,
    /// Have each come for this artifact, `name@version`: it is named in its desired.
    #[arg(long, value_name = "ARTIFACT")]
    pub(crate) artifact: Option<String>,
    /// Where in desired it is named, names joined by dots. By default `firmware`.
    #[arg(long, value_name = "PLACE", requires = "artifact")]
    pub(crate) at: Option<String>,
    /// When a device is done with desired.
    #[arg(long = "await", value_enum)]
    pub(crate) awaits: Option<AwaitName>,
    /// Devices begun with in a second. By default as many as go.
    #[arg(long, value_name = "DEVICES", value_parser = rate)]
    pub(crate) rate: Option<u32>,
    /// Devices of which all must be over before the next are begun with.
    #[arg(long, value_name = "DEVICES")]
    pub(crate) batch: Option<u32>,
    /// Devices that go first, alone.
    #[arg(long, value_name = "DEVICES")]
    pub(crate) canary: Option<u32>,
    /// Stop when more than this share of those that are over failed: 0 to 99.
    #[arg(long, value_name = "PERCENT")]
    pub(crate) abort_above: Option<u32>,
    /// When to start, such as 2030-01-31T03:00:00Z. By default at once.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) start_at: Option<u64>,
    /// How long an attempt at a device may take. By default an hour.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) attempt_timeout: Option<Duration>,
    /// How often a device that failed, or was not reached, is tried again.
    #[arg(long, value_name = "TIMES")]
    pub(crate) retries: Option<u32>,
    /// How long to wait before that. By default ten seconds.
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "retries")]
    pub(crate) retry_after: Option<Duration>,
    /// How long the job is kept once it is over. By default a week.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) keep: Option<Duration>,
    /// Stay until it is over, and show how far it is.
    #[arg(long)]
    pub(crate) wait: bool,
}

/// Flags of `job devices`.
#[derive(Args, Clone, Debug)]
pub(crate) struct JobDevicesArgs {
    /// Which, and how to reach a node.
    #[command(flatten)]
    pub(crate) named: NamedFlags,
    /// Only those: waiting, under_way, done, failed, unknown or cancelled.
    #[arg(long, value_parser = state)]
    pub(crate) state: Option<pollux_proto::v1::JobDeviceState>,
    /// At most so many.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) limit: usize,
}

fn state(text: &str) -> Result<pollux_proto::v1::JobDeviceState, String> {
    use pollux_proto::convert::{JOB_DEVICE_STATES, job_device_state_named};
    let right = || format!("takes one of {}", JOB_DEVICE_STATES.map(|(name, _)| name).join(", "));
    job_device_state_named(text).ok_or_else(right)
}

/// Reads how many devices a second. Nobody who writes 0 means all at once.
fn rate(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(0) => Err("takes more than 0; leave it out for no limit".to_owned()),
        Ok(rate) => Ok(rate),
        Err(_) => Err("takes a whole number of devices a second".to_owned()),
    }
}

/// Reads a moment as milliseconds since 1970.
fn moment(text: &str) -> Result<u64, String> {
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;
    let parsed = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| format!("{text:?} is no moment; write 2030-01-31T03:00:00Z"))?;
    u64::try_from(parsed.unix_timestamp_nanos() / 1_000_000)
        .map_err(|_| format!("{text:?} is before 1970"))
}
