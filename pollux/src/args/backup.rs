//! Flags of the verbs that make backups, and nodes from them.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ClientFlags, NodeFlags};

pub(super) const BACKUP_EXAMPLES: &str = "\
Examples:
  pollux backup --out backups/monday         of the whole cluster, through any of its nodes
  pollux backup verify backups/monday        offline: every byte is looked at
  pollux restore --from backups/monday --data-dir data --shards 64";

pub(super) const RESTORE_EXAMPLES: &str = "\
Examples:
  pollux restore --from backups/monday --config pollux.toml
  pollux restore --from backups/monday --data-dir data --shards 64
  pollux restore --from backups/monday --data-dir data --lineage 4
Put pki/ of the first node of the old cluster into the empty data directory first, so that devices know the
new cluster; without it certificate authorities are made anew. Afterwards start the node, and take
others in with `pollux cluster token` and `pollux node join`.";

/// Flags of `backup`.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct BackupArgs {
    /// Instead of making one.
    #[command(subcommand)]
    pub(crate) verb: Option<BackupVerb>,
    /// Folder for the backup; made, or empty.
    #[arg(long, value_name = "DIR", required = true)]
    pub(crate) out: Option<PathBuf>,
    /// Take what replicas have of shards that no owner answers for: their majority is lost, and what
    /// was acknowledged last may be missing.
    #[arg(long)]
    pub(crate) stale: bool,
    /// The way to a node.
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

/// What else there is to do with backups.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum BackupVerb {
    /// Read a backup back, without a node: say whether every byte of it is as it was written.
    Verify {
        /// The backup's folder.
        dir: PathBuf,
    },
}

/// Flags of `restore`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RestoreArgs {
    /// The backup's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
    /// Flags of the node that is made.
    #[command(flatten)]
    pub(crate) node: NodeFlags,
    /// Number of shards of the new cluster, 1 to 4096; as configured unless given.
    #[arg(long)]
    pub(crate) shards: Option<u16>,
    /// The lineage to begin; by default the one after the backup's. Give one above all that
    /// `cluster status` ever showed since the backup was made, if a restore or a recovery was among them.
    #[arg(long)]
    pub(crate) lineage: Option<u64>,
}
