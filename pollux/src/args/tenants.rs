//! Flags of the verbs about tenants.

use clap::{Args, Subcommand};

use super::services::ClientFlags;

/// Verbs about tenants.
#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// List tenants that have limits, with what they use.
    List(ClientFlags),
    /// Show what a tenant may have, and what it uses.
    Show {
        /// The tenant.
        #[arg(default_value = "default")]
        tenant: String,
        /// How to reach the node.
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Say what a tenant may have of the cluster.
    #[command(after_help = "Examples:
  pollux tenant limit acme --devices 10000 --messages-per-s 2000 --writes-per-s 200
  pollux tenant limit acme                       # as much as it likes
What is not said is not limited: say all of it each time. A limit below what there is takes nothing away; it refuses
what would be more.")]
    Limit(LimitArgs),
}

/// Flags of `tenant limit`.
#[derive(Args, Clone, Debug)]
pub(crate) struct LimitArgs {
    /// The tenant.
    pub(crate) tenant: String,
    /// Devices that may be there.
    #[arg(long)]
    pub(crate) devices: Option<u64>,
    /// Reports and telemetry of its devices a second.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) messages_per_s: Option<u64>,
    /// Writes of services to its twins a second.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) writes_per_s: Option<u64>,
    /// Bytes of its twins.
    #[arg(long)]
    pub(crate) bytes: Option<u64>,
    /// For people.
    #[arg(long, default_value = "")]
    pub(crate) note: String,
    /// How to reach the node.
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}
