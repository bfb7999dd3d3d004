//! Flags of the verbs that speak to a node as a service does, by gRPC.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use pollux_twin::limits::COMMAND_DEADLINE_MS_MAX;

use super::{duration, within};

/// Where a node of this machine is reached, unless said otherwise.
pub(crate) const GRPC: &str = "http://127.0.0.1:4434";

/// How the node is reached.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClientFlags {
    /// Name under which `pollux context` remembers how the cluster is reached; the one in use, if not said.
    #[arg(long, value_name = "NAME", env = "POLLUX_CONTEXT")]
    pub(crate) context: Option<String>,
    /// Address of a node's gRPC endpoint; https:// for TLS. Of several, with commas between, another is asked where
    /// one does not answer. Without it and a context: http://127.0.0.1:4434.
    #[arg(long, value_name = "URL", env = "POLLUX_GRPC")]
    pub(crate) grpc: Option<String>,
    /// PEM file with the CA of that endpoint's certificate, if it is of your own making.
    #[arg(long, value_name = "FILE")]
    pub(crate) grpc_ca: Option<PathBuf>,
    /// Token by which the node knows who you are. Others see it in the list of processes: better name a file,
    /// or set the variable.
    #[arg(long, value_name = "TOKEN", env = "POLLUX_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// File with that token.
    #[arg(long, value_name = "FILE", env = "POLLUX_TOKEN_FILE", conflicts_with = "token")]
    pub(crate) token_file: Option<PathBuf>,
    /// How long to wait for an answer.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// A tenant, and the way to a node.
#[derive(Args, Clone, Debug)]
pub(crate) struct TenantFlags {
    /// Tenant.
    #[arg(long, default_value = "default")]
    pub(crate) tenant: String,
    /// How to reach the node.
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

/// Something that a tenant knows by a name, and the way to a node.
#[derive(Args, Clone, Debug)]
pub(crate) struct NamedFlags {
    /// Its name.
    pub(crate) name: String,
    /// Tenant.
    #[arg(long, default_value = "default")]
    pub(crate) tenant: String,
    /// How to reach the node.
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

/// A section that services write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SectionName {
    /// What services note about the device; it never sees them.
    Tags,
    /// What the device should be.
    Desired,
}

/// Verbs about twins.
#[derive(Debug, Subcommand)]
pub(crate) enum TwinCommand {
    /// Print a twin.
    #[command(after_help = "Example:\n  pollux twin get sim-1")]
    Get {
        /// The device: `tenant/device`, or `device` of the default tenant.
        device: String,
        /// How to reach the node.
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Change tags or desired.
    #[command(after_help = "Examples:
  pollux twin patch pump-7 '{\"interval_s\":30}'
  pollux twin patch pump-7 '{\"site\":\"north\"}' --section tags
  pollux twin patch pump-7 '{\"interval_s\":null}' --expect 3
A merge patch (RFC 7396): objects merge, null removes, all else replaces.")]
    Patch(PatchArgs),
    /// List twins in order of their names.
    #[command(after_help = "Example:\n  pollux twin list --prefix sim- --limit 20")]
    List {
        /// Tenant.
        #[arg(long, default_value = "default")]
        tenant: String,
        /// Only devices whose name begins so.
        #[arg(long, default_value = "")]
        prefix: String,
        /// At most so many, 1 or more.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Go on after a page: what the page before printed as next.
        #[arg(long, default_value = "")]
        after: String,
        /// Whole twins instead of a line each (with --output json).
        #[arg(long)]
        full: bool,
        /// How to reach the node.
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Find twins by what is in them, or count them.
    #[command(after_help = "Examples:
  pollux twin query 'reported.temperature > 40.0 && presence.connected'
  pollux twin query --select reported.temperature,tags.site --order-by 'reported.temperature desc' --limit 10
  pollux twin query 'presence.seen < now - duration(\"7d\")' --count
  pollux twin query '!in_sync' --group-by tags.site
  pollux twin query 'tags.site == \"north\"' --count --explain
Expressions are of CEL's grammar, over id, tenant, version, tags, desired, reported, telemetry, presence,
meta, in_sync and now. A twin that lacks what a filter asks for is not found.")]
    Query(QueryArgs),
    /// Print changes as they become durable, until interrupted. Where the node is lost and comes back within
    /// --timeout, it goes on without a gap.
    #[command(after_help = "Examples:
  pollux twin watch pump-7 --picture
  pollux twin watch --prefix sim- --output json
  pollux twin watch --filter 'tags.site == \"north\"' --picture
  pollux twin watch --from POSITION      go on where an earlier watch ended")]
    Watch(WatchArgs),
    /// Delete a twin. Its versions are kept, so that a device that comes back continues them.
    #[command(after_help = "Example:\n  pollux twin delete pump-7 --expect 12")]
    Delete {
        /// The device: `tenant/device`, or `device` of the default tenant.
        device: String,
        /// The version that the whole twin must have.
        #[arg(long, value_name = "VERSION")]
        expect: Option<u64>,
        /// Idempotency key: makes a retry harmless.
        #[arg(long, default_value = "")]
        key: String,
        /// How to reach the node.
        #[command(flatten)]
        client: ClientFlags,
    },
}

/// Flags of `twin query`.
#[derive(Args, Clone, Debug)]
pub(crate) struct QueryArgs {
    /// Only twins for which it holds.
    #[arg(default_value = "")]
    pub(crate) filter: String,
    /// Tenant.
    #[arg(long, default_value = "default")]
    pub(crate) tenant: String,
    /// What to show of each twin: expressions with commas between; may be given several times.
    #[arg(long, value_name = "EXPRESSIONS", conflicts_with_all = ["count", "group_by"])]
    pub(crate) select: Vec<String>,
    /// What to sort by: expressions with commas between, each with ` desc` for greatest first. What a twin
    /// has not comes last.
    #[arg(long, value_name = "EXPRESSIONS", conflicts_with_all = ["count", "group_by"])]
    pub(crate) order_by: Vec<String>,
    /// At most so many rows, 1 to 10,000.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// Go on after an answer: the cursor that it printed.
    #[arg(long, default_value = "", conflicts_with_all = ["count", "group_by"])]
    pub(crate) cursor: String,
    /// Count the twins instead of showing them.
    #[arg(long)]
    pub(crate) count: bool,
    /// Print how each shard was looked at: which index was asked, how many twins were looked at.
    #[arg(long)]
    pub(crate) explain: bool,
    /// Count those apart that differ in these: expressions with commas between.
    #[arg(long, value_name = "EXPRESSIONS")]
    pub(crate) group_by: Vec<String>,
    /// How to reach the node.
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

/// Flags of `twin patch`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PatchArgs {
    /// The device: `tenant/device`, or `device` of the default tenant.
    pub(crate) device: String,
    /// The patch as JSON; `-` reads it from standard input.
    pub(crate) json: String,
    /// Which section.
    #[arg(long, value_enum, default_value_t = SectionName::Desired)]
    pub(crate) section: SectionName,
    /// Take the JSON as the whole new section instead of a merge patch.
    #[arg(long)]
    pub(crate) replace: bool,
    /// The version that the section must have; 0: never written.
    #[arg(long, value_name = "VERSION")]
    pub(crate) expect: Option<u64>,
    /// Idempotency key: makes a retry harmless. Without it one is made, for the attempts of this call.
    #[arg(long, default_value = "")]
    pub(crate) key: String,
    /// How to reach the node.
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

/// Flags of `twin watch`.
#[derive(Args, Clone, Debug)]
pub(crate) struct WatchArgs {
    /// One device: `tenant/device`, or `device` of the default tenant. Without it: a whole fleet.
    pub(crate) device: Option<String>,
    /// Tenant of the fleet.
    #[arg(long, default_value = "default", conflicts_with = "device")]
    pub(crate) tenant: String,
    /// Only devices whose name begins so.
    #[arg(long, default_value = "", conflicts_with = "device")]
    pub(crate) prefix: String,
    /// Resume after this position.
    #[arg(long, value_name = "POSITION", default_value = "")]
    pub(crate) from: String,
    /// Begin with the twins as they are.
    #[arg(long)]
    pub(crate) picture: bool,
    /// Also print telemetry that comes as datagrams, while it comes.
    #[arg(long)]
    pub(crate) telemetry: bool,
    /// Only changes of twins for which it holds after the change, or held before: an expression as of `query`.
    #[arg(long, value_name = "EXPRESSION", default_value = "")]
    pub(crate) filter: String,
    /// Stop after so many events.
    #[arg(long)]
    pub(crate) count: Option<u64>,
    /// How to reach the node.
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

/// Verbs about commands.
#[derive(Debug, Subcommand)]
pub(crate) enum CommandVerb {
    /// Send a command to a device. It runs at most once.
    #[command(after_help = "Examples:
  pollux command send sim-1 echo --wait
  pollux command send pump-7 calibrate '{\"points\":3}' --queue --deadline 2h")]
    Send(SendArgs),
    /// Print a command as it stands.
    Get(CommandId),
    /// Withdraw a command that still waits for its device.
    Cancel(CommandId),
    /// List the commands of a device that are kept, oldest first.
    List {
        /// The device: `tenant/device`, or `device` of the default tenant.
        device: String,
        /// How to reach the node.
        #[command(flatten)]
        client: ClientFlags,
    },
}

/// Flags of `command send`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SendArgs {
    /// The device: `tenant/device`, or `device` of the default tenant.
    pub(crate) device: String,
    /// What to do, in the device's own words.
    pub(crate) name: String,
    /// Arguments as JSON; `-` reads them from standard input.
    #[arg(default_value = "")]
    pub(crate) payload: String,
    /// For how long it is worth doing, 1 ms to a week.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = deadline)]
    pub(crate) deadline: Duration,
    /// Keep it for a device that is not connected.
    #[arg(long)]
    pub(crate) queue: bool,
    /// Wait until it is over; exits with 1 unless the device did it.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Idempotency key: makes a retry harmless.
    #[arg(long, default_value = "")]
    pub(crate) key: String,
    /// How to reach the node.
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

fn deadline(text: &str) -> Result<Duration, String> {
    within(text, Duration::from_millis(COMMAND_DEADLINE_MS_MAX))
}

/// One command.
#[derive(Args, Clone, Debug)]
pub(crate) struct CommandId {
    /// The device: `tenant/device`, or `device` of the default tenant.
    pub(crate) device: String,
    /// The command's number.
    pub(crate) id: u64,
    /// How to reach the node.
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}
