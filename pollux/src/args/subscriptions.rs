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
  pollux subscription create mirror --picture")]
    Create(CreateArgs),
    /// List subscriptions, with what was acknowledged.
    List(TenantFlags),
    /// Print a subscription.
    Get(NamedFlags),
    /// Forget a subscription; its consumer's stream ends.
    Delete(NamedFlags),
    /// Take a subscription over and print its events, each acknowledged once it is printed.
    #[command(after_help = "Examples:
  pollux subscription consume billing --output json
  pollux subscription consume billing --count 10
What was not printed, or printed and not acknowledged in time, comes again to the next consumer.")]
    Consume {
        /// Which, and how to reach a node.
        #[command(flatten)]
        named: NamedFlags,
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
}
