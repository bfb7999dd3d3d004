//! Flags of the verbs about subscriptions.

use clap::{Args, Subcommand};

use super::services::{NamedFlags, TenantFlags};

/// Verbs about subscriptions.
#[derive(Debug, Subcommand)]
pub(crate) enum SubscriptionCommand {
    /// Make a subscription that stands at this moment. Safe to repeat.
    #[command(after_help = "Examples:
  pollux subscription create billing
  pollux subscription create alarms --prefix pump- --filter 'reported.temperature > 90.0'
  pollux subscription create mirror --picture
  pollux subscription create orders --shared")]
    Create(CreateArgs),
    /// List subscriptions, with their consumers.
    List(TenantFlags),
    /// Print a subscription: what it is about, its consumers, how far behind they are.
    #[command(visible_alias = "show")]
    Get(NamedFlags),
    /// Forget a subscription; its consumer's stream ends.
    Delete(NamedFlags),
    /// Take a subscription over, or share it, and print its events, each acknowledged once it is printed.
    #[command(after_help = "Examples:
  pollux subscription consume billing --output json
  pollux subscription consume billing --count 10
  pollux subscription consume orders --consumer worker-1
What was not printed, or printed and not acknowledged in time, comes again to the next consumer.")]
    Consume {
        /// Which, and how to reach a node.
        #[command(flatten)]
        named: NamedFlags,
        /// One of those that share the subscription: a newer one of that name takes over what it holds. Without it, one
        /// of a shared subscription gets a name.
        #[arg(long, default_value = "")]
        consumer: String,
        /// Stop after so many events.
        #[arg(long)]
        count: Option<u64>,
    },
}

/// Flags of `subscription create`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CreateArgs {
    /// Which, and how to reach a node.
    #[command(flatten)]
    pub(crate) named: NamedFlags,
    /// Only this device.
    #[arg(long, conflicts_with = "prefix")]
    pub(crate) device: Option<String>,
    /// Only devices whose name begins so.
    #[arg(long, default_value = "")]
    pub(crate) prefix: String,
    /// Only changes of twins for which it holds, or held before.
    #[arg(long, default_value = "")]
    pub(crate) filter: String,
    /// Begin with the twins as they are.
    #[arg(long)]
    pub(crate) picture: bool,
    /// Also tell telemetry that comes as datagrams, while there is a consumer.
    #[arg(long)]
    pub(crate) telemetry: bool,
    /// For several consumers at once, at most 64, which share its shards.
    #[arg(long, conflicts_with = "device")]
    pub(crate) shared: bool,
}
