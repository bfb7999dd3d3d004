//! What the command line takes: verbs, flags, help. What they do is in the modules beside.

mod access;
mod artifacts;
mod backup;
mod cluster;
mod contexts;
mod devices;
mod fleet;
mod jobs;
mod node;
mod operate;
mod services;
mod simulate;
mod subscriptions;
mod tenants;

use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

pub(crate) use access::{
    AccessCommand, BootstrapArgs, PolicyArgs, PolicyCommand, PrincipalCommand,
};
pub(crate) use artifacts::{
    ArtifactCommand, ArtifactKeyCommand, GetArtifactArgs, ListArtifactsArgs, OneArtifact,
    PutArtifactArgs, SignArgs,
};
pub(crate) use backup::{BackupArgs, BackupVerb, RestoreArgs};
pub(crate) use cluster::{
    CaCommand, ClusterCommand, DemoArgs, DemoCommand, FailoverArgs, InitArgs, JoinArgs,
    NodeCommand, RecoverArgs, ShardCommand, StatusArgs,
};
pub(crate) use contexts::{ContextCommand, SetContextArgs};
pub(crate) use devices::{
    CredentialCommand, DeviceCertArgs, DeviceCommand, EnrollArgs, ImportArgs, ListDevicesArgs,
    OneDevice, RegisterArgs, StandingName,
};
pub(crate) use fleet::{
    ClaimCertArgs, EnrolmentArgs, EnrolmentCommand, GroupCommand, NamedThing, TypeCommand,
};
pub(crate) use jobs::{AwaitName, CreateJobArgs, JobCommand, JobDevicesArgs};
pub(crate) use node::{ConfigCommand, DevArgs, NodeFlags, StartArgs};
pub(crate) use operate::{DoctorArgs, TopArgs};
pub(crate) use services::{
    ClientFlags, CommandId, CommandVerb, GRPC, NamedFlags, PatchArgs, QueryArgs, SectionName,
    SendArgs, TenantFlags, TwinCommand, WatchArgs,
};
pub(crate) use simulate::{
    BenchArgs, BenchCommand, BenchJobArgs, BenchPoliciesArgs, BenchQueryArgs, BenchRegisterArgs,
    BenchStartArgs, BenchWatchArgs, BenchWritesArgs, LoadName, ServeArgs, ShapeName, SimArgs,
};
pub(crate) use subscriptions::{CreateArgs, SubscriptionCommand};
pub(crate) use tenants::TenantCommand;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  usage: the command line or the configuration is wrong
  3  no such twin or command
  4  conflict: another version, a used key, a command that is over
  5  refused: device offline, value too large or invalid, quarantined, not allowed
  6  unavailable: no node there, overloaded, or out of space; try again
  7  unknown: no answer in time; it may or may not have taken effect

Start with `pollux dev` (or just `pollux`), then `pollux twin list` in another terminal.";

/// Pollux: a runtime for device twins.
///
/// A device is switched off, loses its radio, drains its battery. Its twin here is always up, always
/// current, and never forgets what it acknowledged. Without a command, `dev` runs.
#[derive(Debug, Parser)]
#[command(name = "pollux", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    /// How results are printed: for people, or one JSON object (watches: one per line).
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For scripts.
    Json,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a node with simulated devices, to look around. The default.
    #[command(after_help = node::DEV_EXAMPLES)]
    Dev(DevArgs),
    /// Run a node.
    #[command(after_help = node::START_EXAMPLES)]
    Start(StartArgs),
    /// Form a cluster of several nodes, and see how it is.
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Take nodes into a cluster and out of it.
    #[command(subcommand)]
    Node(NodeCommand),
    /// Say where shards should be.
    #[command(subcommand)]
    Shard(ShardCommand),
    /// See what nodes, shards and the busiest twins do, again every second.
    #[command(after_help = operate::TOP_EXAMPLES)]
    Top(TopArgs),
    /// Find what is wrong with a node, its machine and its cluster, and what to do about it.
    #[command(after_help = operate::DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Write the state of all shards to a folder while the cluster runs, each as of one moment.
    #[command(after_help = backup::BACKUP_EXAMPLES)]
    Backup(BackupArgs),
    /// Make the first node of a new cluster from a backup, with the same number of shards or another.
    #[command(after_help = backup::RESTORE_EXAMPLES)]
    Restore(RestoreArgs),
    /// Say who may do what, and see what was changed by whom.
    #[command(subcommand)]
    Access(AccessCommand),
    /// Remember how clusters are reached, by name.
    #[command(subcommand)]
    Context(ContextCommand),
    /// Look at configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Read, write and watch twins.
    #[command(subcommand)]
    Twin(TwinCommand),
    /// Send commands to devices.
    #[command(subcommand)]
    Command(CommandVerb),
    /// Prepare devices, and decide which may come.
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Types of devices, with what their twins must be like.
    #[command(subcommand)]
    Type(TypeCommand),
    /// Groups of devices, by name or by a filter.
    #[command(subcommand)]
    Group(GroupCommand),
    /// Enrolments, by which devices that nobody registered come to credentials of their own.
    #[command(subcommand)]
    Enrolment(EnrolmentCommand),
    /// Say what tenants may have of the cluster, and see what they use.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Firmware and other software that devices come for.
    #[command(subcommand)]
    Artifact(ArtifactCommand),
    /// Do one thing to many devices, at a pace.
    #[command(subcommand)]
    Job(JobCommand),
    /// Watches that the cluster remembers by name, with how far their consumers are.
    #[command(subcommand)]
    Subscription(SubscriptionCommand),
    /// Put a node under the load of a simulated fleet, and report.
    #[command(after_help = simulate::SIM_EXAMPLES)]
    Sim(SimArgs),
    /// See a cluster on this machine lose an owner, be restarted, or grow under load.
    #[command(subcommand)]
    Demo(DemoCommand),
    /// Measure a node, mostly beside a bare server.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Print a completion script for a shell.
    #[command(
        after_help = "Example:\n  pollux completions bash > ~/.local/share/bash-completion/completions/pollux"
    )]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Reads `500ms`, `30s`, `5m` or `2h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || format!("{text:?} is no duration; write 500ms, 30s, 5m or 2h");
    let end = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wanted)?;
    let number: u64 = text[..end].parse().map_err(|_| wanted())?;
    let ms = match &text[end..] {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => None,
    };
    ms.map(Duration::from_millis).ok_or_else(wanted)
}

/// Reads a duration of 1 ms to `most`.
fn within(text: &str, most: Duration) -> Result<Duration, String> {
    let given = duration(text)?;
    if given.is_zero() || given > most {
        return Err(format!("it takes 1 ms to {} ms", most.as_millis()));
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for text in ["", "s", "5", "5d", "99999999999999999999s", "18446744073709551615h", "-1s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_variable_of_a_flag_is_taken_for_configuration() {
        fn check(command: &clap::Command) {
            for name in command.get_arguments().filter_map(clap::Arg::get_env) {
                let name = name.to_str().expect("variables are named in ASCII");
                assert!(pollux_runtime::config::COMMAND_LINE_VARIABLES.contains(&name), "{name}");
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn what_would_mean_something_else_is_refused() {
        let refused = |args: &str| {
            let parsed = Cli::try_parse_from(args.split(' '));
            parsed.expect_err("it must be refused").to_string()
        };
        let text = refused("pollux command send pump restart --deadline 0s");
        assert!(text.contains("1 ms to 604800000 ms"), "{text}");
        assert!(
            refused("pollux command send pump restart --deadline 169h").contains("604800000 ms")
        );
        assert!(refused("pollux twin list --limit 0").contains("--limit"));
        assert!(refused("pollux cluster token --good-for 25h").contains("1 ms to 86400000 ms"));
        assert!(refused("pollux sim --devices 0").contains("--devices"));
    }

    #[test]
    fn every_verb_explains_itself() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} says nothing", command.get_name());
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{} {}", command.get_name(), arg.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
