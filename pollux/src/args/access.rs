//! Flags of the verbs about who may do what.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{ClientFlags, within};
use crate::limits::ACCESS_TOKEN_TIME_MAX;

const BOOTSTRAP_EXAMPLES: &str = "\
Example:
  pollux access bootstrap --data-dir data > operator.token    on the node's own machine
Makes principal `admin`, a policy that allows it everything, and a token, with the secret that a node with
access.mode = \"enforced\" keeps in its data directory. It may be run again, also to come back in after a policy
gone wrong: what is there stays, but for that policy.";

const PUT_EXAMPLES: &str = "\
Examples:
  pollux access policy put readers --to dashboard --action twin:read,twin:query,twin:watch --on 'acme/*'
  pollux access policy put limits --to tuner --action twin:write --on 'acme/pump-*' --section desired.limits
  pollux access policy put no-deletes --deny --to '*' --action twin:delete --on 'acme/safe-*'
  pollux access policy put berlin --to berlin --action 'twin:*' --on 'acme/*' --filter 'tags.site == \"berlin\"'
  pollux access policy put north --to north --action twin:read,command:send --on 'acme/*' --group north
Actions: twin:read, twin:write, twin:delete, twin:query, twin:watch, command:send, device:manage, job:read, job:manage,
tenant:limit, artifact:read, artifact:manage, cluster:read, cluster:admin, cluster:backup, access:read, access:admin;
twin:* is all of a kind, * is all.
What no policy allows is refused; what one denies is refused whatever others allow.";

const CHECK_EXAMPLES: &str = "\
Examples:
  pollux access policy check dashboard twin:read acme/pump-7
  pollux access policy check tuner twin:write acme/pump-7 --section desired.limits
  pollux access policy check dashboard twin:watch 'acme/pump-*'
  pollux access policy check berlin twin:query 'acme/*' --filter 'tags.site == \"berlin\" && reported.level > 40'
  pollux access policy check deploy cluster:admin
Exits with 0 if it is allowed, and with 5 if it is not.";

/// Verbs about access.
#[derive(Debug, Subcommand)]
pub(crate) enum AccessCommand {
    /// Make the first operator of a cluster, with the secret in a node's data directory.
    #[command(after_help = BOOTSTRAP_EXAMPLES)]
    Bootstrap(BootstrapArgs),
    /// Print who the node takes you for.
    Whoami(ClientFlags),
    /// Services and operators, and their tokens.
    #[command(subcommand)]
    Principal(PrincipalCommand),
    /// What they may do.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Print what was changed, by whom, and what came of it; the newest first.
    Audit {
        /// At most so many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Only entries before this number.
        #[arg(long, default_value_t = 0)]
        before: u64,
        /// How to reach the node.
        #[command(flatten)]
        client: ClientFlags,
    },
}

/// Flags of `access bootstrap`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BootstrapArgs {
    /// Data directory of the node that is asked, which runs on this machine.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Name of the operator.
    #[arg(long, default_value = "admin")]
    pub(crate) name: String,
    /// For how long the token is good, at most two years.
    #[arg(long, value_name = "TIME", value_parser = token_time, default_value = "2160h")]
    pub(crate) good_for: Duration,
    /// How to reach the node.
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

/// Verbs about principals.
#[derive(Debug, Subcommand)]
pub(crate) enum PrincipalCommand {
    /// Add a principal, or change its note and subjects. It may do nothing until a policy says so.
    #[command(after_help = "Examples:
  pollux access principal add dashboard --note 'the wall in the lobby'
  pollux access principal add ops --subject https://id.example=248289761001")]
    Add {
        /// Its name.
        name: String,
        /// For people: what it is, who answers for it.
        #[arg(long, default_value = "")]
        note: String,
        /// Whom it is known as by an issuer of signed tokens; may be given several times.
        #[arg(long, value_name = "ISSUER=SUBJECT")]
        subject: Vec<String>,
        /// How to reach the node.
        #[command(flatten)]
        client: ClientFlags,
    },
    /// List principals, and what is known of their tokens.
    List(ClientFlags),
    /// Take a principal away, with its tokens.
    Remove {
        /// Its name.
        name: String,
        /// How to reach the node.
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Make a further token of a principal, or revoke one. A token is printed this once.
    #[command(after_help = "Examples:
  pollux access principal token dashboard --good-for 720h > dashboard.token
  pollux access principal token --revoke 8c3f0a1b2c3d4e5f")]
    Token {
        /// The principal.
        #[arg(required_unless_present = "revoke")]
        name: Option<String>,
        /// For how long it is good, 1s to two years.
        #[arg(long, value_name = "TIME", value_parser = token_time, default_value = "2160h")]
        good_for: Duration,
        /// For people: where it is used.
        #[arg(long, default_value = "")]
        note: String,
        /// Make the token of this id worth nothing instead.
        #[arg(long, value_name = "ID", conflicts_with_all = ["name", "note"])]
        revoke: Option<String>,
        /// How to reach the node.
        #[command(flatten)]
        client: ClientFlags,
    },
}

/// Verbs about policies.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Add a policy, or replace the one of that name.
    #[command(after_help = PUT_EXAMPLES)]
    Put(PolicyArgs),
    /// List policies.
    List(ClientFlags),
    /// Take a policy away.
    Remove {
        /// Its name.
        name: String,
        /// How to reach the node.
        #[command(flatten)]
        client: ClientFlags,
    },
    /// Say whether a principal may do something, and why. Nothing is done.
    #[command(after_help = CHECK_EXAMPLES)]
    Check {
        /// The principal.
        principal: String,
        /// The action.
        action: String,
        /// `tenant/device`, or `tenant/prefix*` for lists, queries and watches; nothing for the cluster.
        #[arg(default_value = "")]
        on: String,
        /// Of twin:write, the part that is written.
        #[arg(long, default_value = "")]
        section: String,
        /// Of a query, a watch or a job: its filter.
        #[arg(long, default_value = "")]
        filter: String,
        /// How to reach the node.
        #[command(flatten)]
        client: ClientFlags,
    },
}

/// Flags of `access policy put`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PolicyArgs {
    /// Its name.
    pub(crate) name: String,
    /// Deny instead of allow.
    #[arg(long)]
    pub(crate) deny: bool,
    /// To whom: principals with commas between, or `*`.
    #[arg(long, value_name = "PRINCIPALS", value_delimiter = ',', required = true)]
    pub(crate) to: Vec<String>,
    /// What: actions with commas between.
    #[arg(long, value_name = "ACTIONS", value_delimiter = ',', required = true)]
    pub(crate) action: Vec<String>,
    /// On which twins, with commas between: `*` (all, and the cluster), `tenant/*`, `tenant/prefix*`,
    /// `tenant/device`.
    #[arg(long, value_name = "SELECTORS", value_delimiter = ',', required = true)]
    pub(crate) on: Vec<String>,
    /// With twin:write alone: which parts may be written, such as `desired` or `desired.limits`.
    #[arg(long, value_name = "PATHS", value_delimiter = ',')]
    pub(crate) section: Vec<String>,
    /// Of those twins the ones for which this holds: a filter over `id`, `groups` and `tags`, as queries have them.
    #[arg(long, value_name = "EXPRESSION", default_value = "")]
    pub(crate) filter: String,
    /// Of those twins the ones of devices that were put in this group: short for --filter '"GROUP" in groups'.
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
    /// How to reach the node.
    #[command(flatten)]
    pub(crate) client: ClientFlags,
}

fn token_time(text: &str) -> Result<Duration, String> {
    within(text, ACCESS_TOKEN_TIME_MAX)
}
