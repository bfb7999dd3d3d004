//! Flags of the verbs for who looks after a cluster.

use std::time::Duration;

use clap::Args;

use super::node::NodeFlags;
use super::services::ClientFlags;
use super::within;
use crate::limits::TOP_EVERY_MAX;

pub(super) const TOP_EXAMPLES: &str = "\
Examples:
  pollux top
  pollux top --every 5s --grpc https://node.example:4434 --token-file operator.token
  pollux top --count 2 --output json
On a terminal, q ends it and space holds it. Elsewhere each picture is printed below the one before.";

/// Flags of `top`.
#[derive(Args, Clone, Debug)]
pub(crate) struct TopArgs {
    /// Time between two pictures; rates are of this time.
    #[arg(long, value_name = "TIME", value_parser = every, default_value = "1s")]
    pub(crate) every: Duration,
    /// End after so many pictures.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: Option<u32>,
    /// The way to a node.
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

fn every(text: &str) -> Result<Duration, String> {
    within(text, TOP_EVERY_MAX)
}

pub(super) const DOCTOR_EXAMPLES: &str = "\
Examples:
  pollux doctor
  pollux doctor --config /etc/pollux.toml
  pollux doctor --cluster-only --grpc https://node.example:4434 --token-file operator.token
Exits with 1 if something is wrong; what is only noted works.";

/// Flags of `doctor`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DoctorArgs {
    /// Leave this machine alone: ask the cluster only.
    #[arg(long)]
    pub(crate) cluster_only: bool,
    /// Flags of the node that runs here, or is to.
    #[command(flatten)]
    pub(crate) node: NodeFlags,
    /// The way to a node.
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}
