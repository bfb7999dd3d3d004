//! Flags of the verbs that run a node or prepare one.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::duration;
use crate::limits::LOCAL_NODES_MAX;

pub(super) const DEV_EXAMPLES: &str = "\
Examples:
  pollux dev                          1,000 devices, one report a second each
  pollux dev --devices 100 --rate 10  100 devices, 10 reports a second in all
  pollux dev --no-sim                 the node alone, for devices of your own
  pollux dev --nodes 3                three nodes that form a cluster, and devices over all of them
State is kept in .pollux-dev of the current directory, that of several nodes in .pollux-dev-cluster;
remove it to start anew. With several nodes the flags for addresses are those of the first; the ports of
the next are 10 above.";

pub(super) const START_EXAMPLES: &str = "\
Examples:
  pollux config show > pollux.toml    every key with its default and its meaning
  pollux start --config pollux.toml
Every key can also be set by a variable: POLLUX_LOG__SEGMENT_BYTES is log.segment_bytes.";

/// Flags of every node; they win over variables, which win over the file.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct NodeFlags {
    /// TOML file with the node's configuration.
    #[arg(long, value_name = "FILE", env = "POLLUX_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Directory that holds everything the node must not lose.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<String>,
    /// Where devices connect, by QUIC over UDP.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) devices_listen: Option<String>,
    /// Where services connect, by gRPC.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) grpc_listen: Option<String>,
    /// Where services and people connect, by HTTP.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) http_listen: Option<String>,
    /// Where the cluster's other nodes connect, by QUIC over UDP.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) peers_listen: Option<String>,
    /// What is traced: error, warn, info, debug, trace, or directives such as
    /// info,pollux_runtime::session=debug.
    #[arg(long, value_name = "FILTER")]
    pub(crate) trace: Option<String>,
}

/// Flags of `dev`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DevArgs {
    /// Flags of the node.
    #[command(flatten)]
    pub(crate) node: NodeFlags,
    /// Nodes. With more than one each is a process of its own, and together they are a cluster.
    #[arg(long, default_value_t = 1, value_parser = local_nodes)]
    pub(crate) nodes: usize,
    /// Simulated devices.
    #[arg(long, default_value_t = 1000)]
    pub(crate) devices: u32,
    /// Reports a second of all devices together; by default one of each.
    #[arg(long)]
    pub(crate) rate: Option<u32>,
    /// Do not simulate devices.
    #[arg(long)]
    pub(crate) no_sim: bool,
    /// Stop after this time.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
}

impl Default for DevArgs {
    fn default() -> Self {
        let node = NodeFlags::default();
        Self { node, nodes: 1, devices: 1000, rate: None, no_sim: false, duration: None }
    }
}

/// Flags of `start`.
#[derive(Args, Clone, Debug)]
pub(crate) struct StartArgs {
    /// Flags of the node.
    #[command(flatten)]
    pub(crate) node: NodeFlags,
    /// Stop in order when standard input closes, too; for nodes that are children.
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
}

/// Verbs about configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether a configuration is good, or everything that is wrong with it.
    #[command(after_help = "Example:\n  pollux config check --config pollux.toml")]
    Check(NodeFlags),
    /// Print the configuration as it would be used: every key, its meaning, its value.
    #[command(after_help = "Example:\n  pollux config show > pollux.toml")]
    Show(NodeFlags),
}

/// Nodes of a cluster on this machine.
pub(super) fn local_nodes(text: &str) -> Result<usize, String> {
    let wrong = || format!("{text:?} is no number of nodes; it takes 1 to {LOCAL_NODES_MAX}");
    text.parse().ok().filter(|nodes| (1..=LOCAL_NODES_MAX).contains(nodes)).ok_or_else(wrong)
}
