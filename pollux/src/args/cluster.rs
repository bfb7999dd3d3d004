//! Flags of the verbs that form and run a cluster.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{ClientFlags, NodeFlags, duration, within};
use crate::limits::{LOCAL_NODES_MAX, TOKEN_TIME_MAX};

const JOIN_EXAMPLES: &str = "\
Examples:
  pollux cluster token                         on a node of the cluster: prints a token
  pollux node join --via 10.0.0.1:4436 --token pollux-join.… --config pollux.toml
  pollux node join … --replace 2               in place of node 2, whose disk is lost
  pollux start --config pollux.toml            afterwards, and each time from then on";

const RECOVER_EXAMPLES: &str = "\
Examples:
  pollux cluster recover --data-dir a --data-dir b --dry-run
  pollux cluster recover --data-dir a --data-dir b --accept-loss
Stop every node first. A node that is not among the directories can never come back: its id is burned,
and its lineage is refused. Devices and services see versions jump, and watches begin anew.";

const STATUS_EXAMPLES: &str = "\
Examples:
  pollux cluster status
  pollux cluster status --settled-within 2m    between two restarts: every node answers, every shard
                                               has its replicas, and none is behind";

const REBALANCE_EXAMPLES: &str = "\
Examples:
  pollux cluster rebalance --dry-run           what it would move, and why
  pollux cluster rebalance                     begin with it; `pollux cluster status` shows how far it is";

const UPGRADE_EXAMPLES: &str = "\
Restart the nodes one after the other with the new program, then finish:
  pollux cluster upgrade                       each node's version and levels, and the cluster's level
  pollux cluster upgrade --finish              refused, naming the node, while one is not upgraded";

/// Verbs about the cluster as a whole.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Make the first node of a new cluster: its data directory, its CAs, its number of shards.
    /// `start` does the same with the configured number where the directory is empty.
    #[command(after_help = "Example:\n  pollux cluster init --data-dir data --shards 64")]
    Init(InitArgs),
    /// Show nodes, shards, owners, what is behind, and what is not as it should be.
    #[command(after_help = STATUS_EXAMPLES)]
    Status(StatusArgs),
    /// Make a token by which one node may join.
    #[command(after_help = "Example:\n  pollux cluster token --good-for 10m")]
    Token {
        /// For how long it is good, at most a day.
        #[arg(long, value_name = "TIME", value_parser = token_time, default_value = "1h")]
        good_for: Duration,
        /// The way to a node.
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Stop moving shards for the sake of balance.
    Pause(ClientFlags),
    /// Move shards for the sake of balance again.
    Resume(ClientFlags),
    /// Even replicas and owners now, although balancing is paused, and for less than it usually takes.
    #[command(after_help = REBALANCE_EXAMPLES)]
    Rebalance {
        /// Change nothing, only print what would be moved and why.
        #[arg(long)]
        dry_run: bool,
        /// The way to a node.
        #[command(flatten)]
        client: ClientFlags,
    },
    /// See how far an upgrade of all nodes is, and finish it.
    #[command(after_help = UPGRADE_EXAMPLES)]
    Upgrade {
        /// Raise the level at which the cluster writes. There is no way back to older programs.
        #[arg(long)]
        finish: bool,
        /// The level to raise to; by default the highest of the node that is asked.
        #[arg(long, requires = "finish", value_parser = clap::value_parser!(u32).range(1..))]
        level: Option<u32>,
        /// The way to a node.
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Replace the authority by whose certificates nodes know each other.
    #[command(subcommand)]
    Ca(CaCommand),
    /// Go on after a majority is lost for good: begin the next lineage in the data directories that are
    /// left. Offline; the newest log of each shard wins, and what may be lost is printed.
    #[command(after_help = RECOVER_EXAMPLES)]
    Recover(RecoverArgs),
}

/// Verbs about the cluster's certificate authority.
#[derive(Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// Make a new one that issues the certificates of all nodes from now on. The one before is accepted
    /// until `--finish`. All nodes have to run; a rotation that is cut short goes on with the same command.
    #[command(
        after_help = "Examples:\n  pollux cluster ca rotate\n  pollux cluster ca rotate --finish"
    )]
    Rotate {
        /// End what was begun: no longer accept the one before.
        #[arg(long)]
        finish: bool,
        /// The way to a node.
        #[command(flatten)]
        client: ClientFlags,
    },
}

/// Flags of `cluster recover`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RecoverArgs {
    /// Data directory of a node that is left; repeat it for each, as every one may have the newest log.
    #[arg(long = "data-dir", value_name = "DIR", required = true)]
    pub(crate) data_dirs: Vec<PathBuf>,
    /// TOML file with the nodes' configuration.
    #[arg(long, value_name = "FILE", env = "POLLUX_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Only print what would become of each shard.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do it, and lose what only the missing nodes had.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) accept_loss: bool,
}

/// Flags of `cluster status`.
#[derive(Args, Clone, Debug)]
pub(crate) struct StatusArgs {
    /// Wait until the cluster is at rest, at most for this long; exits with 6 if it is not then.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) settled_within: Option<Duration>,
    /// The way to a node.
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

/// Flags of `cluster init`.
#[derive(Args, Clone, Debug)]
pub(crate) struct InitArgs {
    /// Flags of the node.
    #[command(flatten)]
    pub(crate) node: NodeFlags,
    /// Number of shards, 1 to 4096; fixed for good.
    #[arg(long)]
    pub(crate) shards: Option<u16>,
}

/// Verbs about one node of a cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Make this machine's data directory one of a node of an existing cluster.
    #[command(after_help = JOIN_EXAMPLES)]
    Join(JoinArgs),
    /// Move everything away from a node; it serves until nothing is left on it.
    Drain {
        /// Its id, as `cluster status` shows it.
        node: u64,
        /// Take the order back instead.
        #[arg(long)]
        undo: bool,
        /// The way to a node.
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Take a drained node out for good.
    Remove {
        /// Its id, as `cluster status` shows it.
        node: u64,
        /// The way to another node.
        #[command(flatten)]
        client: ClientFlags,
    },
}

/// Flags of `node join`.
#[derive(Args, Clone, Debug)]
pub(crate) struct JoinArgs {
    /// Flags of the node.
    #[command(flatten)]
    pub(crate) node: NodeFlags,
    /// Where a node of the cluster listens for peers.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) via: String,
    /// The token that `pollux cluster token` printed.
    #[arg(long, env = "POLLUX_JOIN_TOKEN", hide_env_values = true)]
    pub(crate) token: String,
    /// The id of a node whose disk is lost: the new node takes its place, and the old id is burned.
    #[arg(long, value_name = "NODE")]
    pub(crate) replace: Option<u64>,
}

const FAILOVER_EXAMPLES: &str = "\
Examples:
  pollux demo failover --devices 1000
  POLLUX_RAFT__HEARTBEAT_MS=60 POLLUX_RAFT__ELECTION_MIN_MS=200 POLLUX_RAFT__ELECTION_MAX_MS=260 \
    pollux demo failover --kills 200 --devices 300
Its nodes take all configuration from variables, too, as the second shows.";

/// Things to see.
#[derive(Debug, Subcommand)]
pub(crate) enum DemoCommand {
    /// Three nodes, a fleet that reports, a `kill -9` of the owner of most shards, and the timeline of
    /// what follows: nothing acknowledged is lost or doubled.
    #[command(after_help = FAILOVER_EXAMPLES)]
    Failover(FailoverArgs),
    /// Three nodes, a fleet that reports, and every node restarted in turn, as for an upgrade: no call
    /// fails, and nothing acknowledged is lost or doubled.
    #[command(after_help = "Example:\n  pollux demo rolling --devices 1000")]
    Rolling(DemoArgs),
    /// Three nodes, a fleet that reports, and a fourth node that takes its share: no call fails, and
    /// nothing acknowledged is lost or doubled.
    #[command(after_help = "Example:\n  pollux demo rebalance --devices 1000")]
    Rebalance(DemoArgs),
}

/// Flags of demonstrations.
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoArgs {
    /// Nodes, each a process.
    #[arg(long, default_value_t = 3, value_parser = nodes)]
    pub(crate) nodes: usize,
    /// Simulated devices.
    #[arg(long, default_value_t = 3000)]
    pub(crate) devices: u32,
    /// Reports a second of all devices together; by default one of each.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// How long the fleet reports; the other demonstrations go on until they have shown what they show.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "15s")]
    pub(crate) duration: Duration,
    /// Decides every choice of the fleet.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// Flags of `demo failover`.
#[derive(Args, Clone, Debug)]
pub(crate) struct FailoverArgs {
    /// How often an owner is killed; with several, how long each took is told, not the story of one.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) kills: u32,
    /// What all demonstrations take.
    #[command(flatten)]
    pub(crate) demo: DemoArgs,
}

/// Verbs about shards.
#[derive(Debug, Subcommand)]
pub(crate) enum ShardCommand {
    /// Make a node that holds a replica of a shard its owner.
    #[command(after_help = "Example:\n  pollux shard move 3 --to 2")]
    Move {
        /// The shard.
        shard: u32,
        /// The node, as `cluster status` shows it.
        #[arg(long, value_name = "NODE")]
        to: u64,
        /// The way to a node.
        #[command(flatten)]
        client: ClientFlags,
    },
}

fn token_time(text: &str) -> Result<Duration, String> {
    within(text, TOKEN_TIME_MAX)
}

/// Nodes of a demonstration: with fewer than three the loss of one stops shards.
fn nodes(text: &str) -> Result<usize, String> {
    let wrong = || format!("{text:?} is no number of nodes; it takes 3 to {LOCAL_NODES_MAX}");
    text.parse().ok().filter(|nodes| (3..=LOCAL_NODES_MAX).contains(nodes)).ok_or_else(wrong)
}
